"""Questions that other people wrote (VLM4D, real videos), against 150 labels made by reading them.

The questions' text is not in this repository: the labels hold ids.
"""

import json
from pathlib import Path

import pytest

from dsr_core.errors import DeclineError
from dsr_core.language import parse
from tests.data import shared

LABELS = json.loads((Path(__file__).parent / "vlm4d_labels.json").read_text())["labels"]
#: Of the labelled questions that are read, how many are read right.
LEAST_RIGHT = 0.95
#: Of the labelled questions about motion of whole things, how many are read right.
LEAST_COVERED = 0.75


@pytest.fixture(scope="module")
def questions():
    return {row["id"]: row["question"] for row in json.loads(shared("vlm4d/real_mc.json").read_text())}


def read(text):
    """What a question is read as, in the words of the labels; None where it is declined."""
    try:
        parsed = parse(text)
    except DeclineError as error:
        assert error.code == "NOT_UNDERSTOOD", error
        return None
    query = parsed.query
    found = {
        "kind": query.kind,
        "subject": query.subject,
        "object": query.object,
        "viewer": query.viewpoint.agent,
        "asked": query.asked or parsed.asked,
    }
    return found if query.of is None else {**found, "of": query.of}


def test_what_is_read_is_read_right(questions):
    found = [(row, read(questions[row["id"]])) for row in LABELS]
    wrong = [(questions[row["id"]], got) for row, got in found if got is not None and got != row["query"]]
    understood = [got for _, got in found if got is not None]
    assert len(understood) > 60
    assert len(wrong) <= (1.0 - LEAST_RIGHT) * len(understood), wrong


def test_most_questions_about_motion_of_whole_things_are_covered(questions):
    whole = [row for row in LABELS if row["whole_motion"]]
    covered = [row for row in whole if row["query"] is not None and read(questions[row["id"]]) == row["query"]]
    assert len(whole) > 80
    assert len(covered) >= LEAST_COVERED * len(whole)


def test_what_is_not_about_whole_things_is_declined(questions):
    """Hands, handling, spins and repetitions: no reading is right."""
    rest = [row for row in LABELS if not row["whole_motion"]]
    assert len(rest) > 20
    assert [questions[row["id"]] for row in rest if read(questions[row["id"]]) is not None] == []


def test_all_questions_are_read_or_declined(questions):
    outcomes = [read(text) is not None for text in questions.values()]
    assert len(outcomes) == 1371
    assert 0.4 < sum(outcomes) / len(outcomes) < 0.6
