"""A tiny random model behind `ask`: probabilities and words, one clip for many questions, stops, and every failure."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import fake_scene, fake_track

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from tiny_vlm import tiny_qwen3_vl, tiny_qwen25_vl

import dsr_core
from dsr_core.errors import DeclineError
from dsr_core.vlm.answering import AnsweringConfig, VlmAnswerer
from dsr_core.vlm.compose import compose
from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.prompts import PromptConfig
from dsr_core.vlm.replies import option_log_probabilities
from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.values import Clip, GeometryTokens, VlmError

CHOICES = ["increasing", "constant", "decreasing"]
CLOSER = "how does the distance between the forklift and the robot change?"


@pytest.fixture(scope="module")
def scene():
    return fake_scene(fake_track("1", "forklift", (10, 2, 0), (-1, 0, 0)), fake_track("2", "car", (20, 5, 0)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved model that sees the scene, whole."""
    base = GeometryVLM.load(tiny_qwen25_vl(tmp_path_factory.mktemp("base")), device="cpu")
    torch.manual_seed(0)
    config = GeometryConfig(mode="gsm", queries=4, heads=4, out_scale=1.0)
    made = tmp_path_factory.mktemp("models") / "tiny-gsm"
    GeometryVLM.of(base.base, base.tokenizer, config).save(made, whole=True)
    return made


@pytest.fixture(scope="module")
def answerer(folder):
    made = VlmAnswerer.load(folder, "cpu")
    made.warm_up()
    return made


def clip(seed=0, count=4):
    rng = np.random.default_rng(seed)
    return Clip([rng.integers(0, 255, (56, 56, 3), np.uint8) for _ in range(count)], [0.5 * i for i in range(count)])


@contextmanager
def counted(module):
    """How often a module is called."""
    calls = []
    hook = module.register_forward_hook(lambda *_: calls.append(1))
    yield calls
    hook.remove()


def logs(answer):
    return np.log(answer.choice_probabilities)


def model_of(answerer):
    return answerer._engine.model


def ask(scene, answerer, question=CLOSER, choices=CHOICES, **options):
    return dsr_core.ask(scene, question, choices=choices, backend="vlm", answerer=answerer, **options)


def test_a_training_question_with_its_window_beside_it_is_answered_as_in_training(scene, answerer):
    """A robot's question comes with its window; what the grammar reads off the text must stay as it was learned."""
    question = (
        "Between 1.0s and 4.0s, from the perspective of car 2 at 2.0s, how does the direction of forklift 1 to camera"
        " change?"
    )
    model = model_of(answerer)
    asked = compose(question, CHOICES, scene=scene, window=(1.0, 4.0), sources=model.sources)
    learned = np.exp(option_log_probabilities(model, [asked])[0])
    for window in (None, (1.0, 4.0)):
        got = ask(scene, answerer, question, window=window).choice_probabilities
        np.testing.assert_allclose(got, learned, rtol=1e-4)


def test_options_get_probabilities_and_the_answer_is_valid(scene, answerer):
    jsonschema = pytest.importorskip("jsonschema")
    answer = ask(scene, answerer, now_s=6.0)
    assert answer.declined is None and answer.backend == "vlm" and answer.kind == "distance"
    odds = np.array(answer.choice_probabilities)
    assert len(odds) == 3 and odds.sum() == pytest.approx(1.0) and (odds > 0).all()
    assert answer.choice_index == odds.argmax() and answer.choice == answer.answer == CHOICES[answer.choice_index]
    assert answer.confidence == pytest.approx(odds.max()) and answer.data_age_s == pytest.approx(1.0)
    told = {"model": "tiny-gsm", "pictures": 0, "geometry_tokens": {"scene": 3}}
    assert answer.details == told | {"probabilities": list(answer.choice_probabilities)}
    schema = json.loads((Path(__file__).parents[1] / "docs" / "schemas" / "answer.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(answer.to_dict(), allow_nan=False)))
    assert ask(scene, answerer, now_s=6.0) == answer


def test_the_scene_matters_and_so_does_the_window(scene, answerer):
    other = fake_scene(fake_track("1", "forklift", (3, 2, 0), (2, 0, 0)), fake_track("2", "car", (20, 5, 0)))
    answers = [ask(s, answerer, window=w).choice_probabilities for s in (scene, other) for w in (None, (1.0, 2.0))]
    assert len({tuple(np.round(a, 6)) for a in answers}) == 4


def test_an_open_question_gets_words(scene, answerer):
    answer = ask(scene, answerer, "what is love?", choices=None)
    assert answer.declined is None and answer.answer and answer.choice_index == -1 and answer.choice_probabilities == ()
    assert 0 < answer.confidence <= 1
    model = model_of(answerer)
    seen = answerer._engine.compose("what is love?", (), scene, None, None)
    ids = model.generate(model.inputs([seen]), max_new_tokens=answerer.config.max_new_tokens)[0]
    assert model.tokenizer.decode(ids, skip_special_tokens=True).strip() == answer.answer
    # The mean over its tokens of what the model gives each, by one pass over prompt and reply.
    batch = model.inputs([seen])
    batch["input_ids"] = torch.cat([batch["input_ids"], ids[None].cpu()], 1)
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    batch["mm_token_type_ids"] = torch.zeros_like(batch["input_ids"]).int()
    with torch.no_grad():
        logits = model(batch).logits[0, -len(ids) - 1 : -1].float()
    logits[:, model.unsaid_ids] = -torch.inf
    mean = torch.log_softmax(logits, -1).gather(1, ids[:, None].cpu()).mean()
    assert answer.confidence == pytest.approx(float(mean.exp()), rel=1e-4)


@pytest.mark.parametrize("tiny", [tiny_qwen25_vl, tiny_qwen3_vl])
@pytest.mark.parametrize("reply", ["letter", "text"])
def test_one_clip_is_encoded_once_and_the_answers_are_the_same(scene, tmp_path, tiny, reply):
    base = GeometryVLM.load(tiny(tmp_path), device="cpu")
    torch.manual_seed(0)
    config = GeometryConfig(mode="gated", queries=4, heads=4)
    model = GeometryVLM.of(base.base, base.tokenizer, config, PromptConfig(reply=reply))
    made, shown, questions = VlmAnswerer(model.eval(), "tiny"), clip(), (CLOSER, "is the car moving?", "what is love?")
    with counted(model.base.model.visual) as calls:
        answers = [ask(scene, made.given(lambda window: shown), question) for question in questions]
        said = made.given(lambda window: shown).answer(scene, "what is love?")
        assert len(calls) == 1
        again = [ask(scene, made.given(lambda window: clip()), question) for question in questions]
        assert len(calls) == 4
    for answer, fresh in zip(answers, again, strict=True):
        assert logs(answer) == pytest.approx(logs(fresh), abs=1e-3)
    assert said.details["pictures"] == 4 and answers[0].details["geometry_tokens"] == {"scene": 3}
    other = ask(scene, made.given(lambda window: clip(1)))
    assert logs(other) != pytest.approx(logs(answers[0]), abs=1e-2)


@pytest.mark.parametrize(
    ("question", "from_zero"),
    [
        ("is the forklift moving?", True),
        ("did the forklift move in the last 2 s?", True),
        ("what is love?", True),
        ("is the forklift moving between 3601 and 3602 s?", False),
        ("what did love do at 3602 s?", False),
        ("has the forklift moved since 3601 s?", False),
    ],
)
def test_times_count_from_zero_unless_the_question_tells_seconds(tmp_path, question, from_zero, monkeypatch):
    """Of a robot that has run for an hour."""
    base = GeometryVLM.load(tiny_qwen3_vl(tmp_path), device="cpu")
    track = fake_track("1", "forklift", (10, 2, 0), (-1, 0, 0))
    late = fake_scene(replace(track, stamps_s=track.stamps_s + 3600))
    late = replace(late, stamps_s=late.stamps_s + 3600)
    made, times = VlmAnswerer(base.eval(), "tiny"), []
    shown = Clip(clip().frames, [3600.5, 3601.0, 3601.5, 3602.0])
    expanded = type(base.inputs.video).block
    monkeypatch.setattr(
        type(base.inputs.video),
        "block",
        lambda self, grid, seen: times.append(list(seen)) or expanded(self, grid, seen),
    )
    answer = ask(late, made.given(lambda window: shown), question)
    assert answer.declined is None
    assert times[-1] == ([0.0, 0.5, 1.0, 1.5] if from_zero else shown.times_s)
    assert answer.window[0] >= 3600.0


class Looking(GeometrySource):
    """Tokens of a clip that count how often they are made."""

    name, features, hidden, looks_at = "scene", 4, None, "clip"

    def __init__(self):
        self.calls = 0

    def tokens(self, context):
        self.calls += 1
        return GeometryTokens(np.full((2, 4), context.clip.frames[0].mean() / 255))

    def settings(self):
        return {}


def test_a_network_that_looks_at_pictures_looks_once(scene, tmp_path):
    base = GeometryVLM.load(tiny_qwen25_vl(tmp_path), device="cpu")
    looking, shown = Looking(), clip()
    model = GeometryVLM.of(base.base, base.tokenizer, GeometryConfig(queries=4, heads=4), sources={"scene": looking})
    made = VlmAnswerer(model.eval(), "tiny").given(lambda window: shown)
    for question in (CLOSER, "is the car moving?"):
        assert ask(scene, made, question).declined is None
    assert looking.calls == 1
    ask(scene, made.given(lambda window: clip(1)))
    assert looking.calls == 2


def test_a_model_with_a_memory_looks_at_the_newest_seconds(scene, folder):
    model = VlmAnswerer.load(folder, "cpu", config=AnsweringConfig(memory_s=2.0))
    answer = ask(scene, model, "what is love?")
    assert answer.window == (3.0, 5.0)
    named = ask(scene, model, "what is love?", window=(3.0, 5.0))
    assert named.window == (3.0, 5.0) and ask(scene, model, "what is love?", window=(0.0, 1.0)).window == (0.0, 1.0)


def test_a_question_stops_at_the_next_layer(scene, answerer):
    layers = [m for m in model_of(answerer).base.modules() if isinstance(m, torch.nn.ModuleList)]
    first = layers[-1][0]
    with counted(first) as calls:
        ask(scene, answerer, "what is love?", choices=None)
        whole = len(calls)
        calls.clear()
        budget = iter(range(12))

        def check():
            if next(budget, None) is None:
                raise DeclineError("TIMEOUT", "the question was withdrawn")

        answer = ask(scene, answerer.given(check=check), "what is love?", choices=None)
        assert answer.declined.code == "TIMEOUT" and 0 < len(calls) < whole
    assert not any(layer._forward_pre_hooks for many in layers for layer in many)
    assert ask(scene, answerer).declined is None


def test_stages_are_reported(scene, answerer):
    stages = []
    ask(scene, answerer.given(report=stages.append))
    assert stages == ["encoding", "answering"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to allocate"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_a_decline_and_the_next_question_is_answered(scene, answerer, error, monkeypatch):
    layer = model_of(answerer).base.model.language_model.layers[1]
    before = ask(scene, answerer)
    with monkeypatch.context() as patch:
        patch.setattr(layer, "forward", lambda *a, **k: (_ for _ in ()).throw(error))
        declined = ask(scene, answerer.given(lambda window: clip())).declined
    assert declined.code == "BACKEND_UNAVAILABLE" and "fewer or smaller pictures" in declined.message
    assert answerer._engine._encoded is None
    assert ask(scene, answerer) == before


def test_memory_that_is_really_short_is_a_decline(scene, folder):
    """The process gets 100 MB more than it has, and a clip whose pixels alone take 375 MB as numbers."""
    resource = pytest.importorskip("resource")
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("how large this process is can only be read on Linux")
    made = VlmAnswerer.load(folder, "cpu")
    made.warm_up()
    inputs = model_of(made).inputs
    inputs.max_pixels = inputs.max_tokens = 10**9
    large = Clip([np.zeros((1400, 1400, 3), np.uint8)] * 16, [0.1 * i for i in range(16)])
    before, limits = ask(scene, made), resource.getrlimit(resource.RLIMIT_AS)
    size = int(statm.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 100_000_000, limits[1]))
    try:
        declined = ask(scene, made.given(lambda window: large)).declined
        after = ask(scene, made)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert declined.code == "BACKEND_UNAVAILABLE" and "too little memory" in declined.message
    assert after == before


def test_whatever_a_model_raises_is_a_decline(scene, answerer, monkeypatch):
    layer = model_of(answerer).base.model.language_model.layers[0]
    with monkeypatch.context() as patch:
        patch.setattr(layer, "forward", lambda *a, **k: 1 / 0)
        declined = ask(scene, answerer).declined
    assert declined.code == "BACKEND_UNAVAILABLE" and "ZeroDivisionError" in declined.message
    assert ask(scene, answerer).declined is None


def test_numbers_that_are_not_finite_are_no_answer(scene, folder):
    broken = VlmAnswerer.load(folder, "cpu")
    with torch.no_grad():
        model_of(broken).base.model.language_model.norm.weight.fill_(torch.nan)
    for choices in (CHOICES, None):
        declined = ask(scene, broken, choices=choices).declined
        assert declined.code == "BACKEND_UNAVAILABLE" and "not finite" in declined.message
    with pytest.raises(VlmError, match="not finite"):
        broken.warm_up()


def test_what_the_model_cannot_take_is_declined(scene, answerer):
    many = ask(scene, answerer, choices=[f"{i} m" for i in range(30)]).declined
    assert many.code == "BAD_REQUEST" and "30 options" in many.message
    nothing = fake_scene(duration_s=1.0)
    nothing = type(nothing)(stamps_s=nothing.stamps_s)
    assert ask(nothing, answerer, "what is love?").declined.code == "NOT_OBSERVED"


def test_a_model_that_is_not_sure_declines(scene, folder):
    careful = VlmAnswerer.load(folder, "cpu", config=AnsweringConfig(min_confidence=1.0))
    careful.warm_up()
    declined = ask(scene, careful).declined
    assert declined.code == "TOO_UNCERTAIN" and "100 % are asked" in declined.message
    assert declined.candidates == tuple(CHOICES)


def test_questions_of_several_threads_take_turns(scene, answerer):
    alone, answers = ask(scene, answerer), []
    threads = [threading.Thread(target=lambda: answers.append(ask(scene, answerer))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [alone] * 4


def test_missing_models_and_wrong_settings_are_named(tmp_path):
    with pytest.raises(VlmError, match="nowhere"):
        VlmAnswerer.load(tmp_path / "nowhere", "cpu")
    for wrong in ({"memory_s": 0.0}, {"min_confidence": 2.0}, {"max_new_tokens": 0}):
        with pytest.raises(VlmError, match=next(iter(wrong))):
            AnsweringConfig(**wrong)


def test_auto_with_a_real_model(scene, answerer):
    answer = dsr_core.ask(scene, "what would squash my toes?", choices=["a car", "a bus"], answerer=answerer)
    assert answer.backend == "vlm" and answer.details["geometry"]["declined"]["code"] == "NOT_UNDERSTOOD"
    both = dsr_core.ask(scene, CLOSER, choices=CHOICES, answerer=answerer, second_opinion=True)
    assert both.choice == "decreasing" and both.details["vlm"]["agrees"] in (True, False)
    begun = time.monotonic()
    assert dsr_core.ask(scene, CLOSER, answerer=answerer).declined is None and time.monotonic() - begun < 1.0
