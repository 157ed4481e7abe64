"""Random, mutated and malformed questions: nothing raises, all answers fit the schema (see benchmarks)."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("jsonschema")
_PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "fuzz_questions.py"
_SPEC = importlib.util.spec_from_file_location("fuzz_questions", _PATH)
fuzz = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(fuzz)


@pytest.mark.parametrize("seed", [101, 102])
def test_no_question_raises(seed):
    result = fuzz.run(1000, seed, validate_every=1)
    assert result["failures"] == []
    outcomes = result["outcomes"]
    assert outcomes["answered"] >= 50, outcomes  # it does ask what can be answered
    assert min(outcomes[code] for code in ("NOT_UNDERSTOOD", "BAD_REQUEST", "NO_SUCH_OBJECT", "BAD_WINDOW")) >= 10


def test_inputs_are_reproducible():
    scenes = fuzz.make_scenes()
    assert all(repr(fuzz.make_input(3, i, scenes)) == repr(fuzz.make_input(3, i, scenes)) for i in range(100))
    assert fuzz.make_input(3, 7, scenes)[1] != fuzz.make_input(4, 7, scenes)[1]


def test_what_does_not_fit_is_told():
    """The check itself: a raised error and an answer that breaks the schema are failures."""
    validator = fuzz.schema_validator()
    answer = fuzz.dsr_core.ask(fuzz.make_scenes()["full"], "is car 1 moving?")
    assert fuzz.unfit(answer, validator) is None
    from dataclasses import replace

    assert "schema" in fuzz.unfit(replace(answer, kind="colour"), validator)
    assert "no JSON" in fuzz.unfit(replace(answer, details={"x": object()}), validator)
