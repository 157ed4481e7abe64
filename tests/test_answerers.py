"""Two engines, one answer: when a model is asked beside the geometry, and what is told of both."""

from dataclasses import replace

import pytest
from fakes import fake_scene, fake_track

import dsr_core
from dsr_core.answerers import CAN_HELP, in_words
from dsr_core.errors import DeclineError
from dsr_core.language.parse import parse
from dsr_core.reasoning.answer import DECLINE_CODES, Answer

CLOSER = "is the forklift getting closer to me?"


class Model:
    """Says what it is told to, and keeps what it was asked."""

    def __init__(self, index=0, text="Yes, I think so.", error=None):
        self.index, self.text, self.error, self.asked = index, text, error, []

    def answer(self, scene, question, choices=(), window=None, now_s=None):
        self.asked.append((scene, question, choices, window, now_s))
        if self.error is not None:
            raise self.error
        if not choices:
            return Answer(self.text, confidence=0.5, backend="vlm")
        odds = tuple(0.7 if i == self.index else 0.3 / (len(choices) - 1) for i in range(len(choices)))
        choice = choices[self.index]
        return Answer(choice, confidence=0.7, choice=choice, choice_index=self.index, choice_probabilities=odds,
                      backend="vlm", window=window)  # fmt: skip


@pytest.fixture(scope="module")
def scene():
    return fake_scene(fake_track("1", "forklift", (10, 2, 0), (-1, 0, 0)), fake_track("2", "car", (20, 5, 0)))


def test_backend_vlm_asks_the_model_alone(scene):
    model = Model(1)
    answer = dsr_core.ask(scene, CLOSER, choices=["yes", "no"], backend="vlm", answerer=model, now_s=6.0)
    assert answer.backend == "vlm" and answer.choice == "no" and answer.choice_probabilities == (0.3, 0.7)
    assert answer.kind == "distance" and answer.declined is None
    seen, question, choices, window, now_s = model.asked[0]
    assert seen is scene and (question, choices, window, now_s) == (CLOSER, ("yes", "no"), None, 6.0)
    assert dsr_core.ask(scene, "what is love?", backend="vlm", answerer=model).answer == model.text


def test_nothing_later_than_until_is_shown(scene):
    model = Model()
    dsr_core.ask(scene, CLOSER, backend="vlm", answerer=model, until=2.0)
    assert model.asked[0][0].end_s == 2.0 and model.asked[0][4] == 2.0


def test_numbers_as_choices_are_texts_for_a_model(scene):
    answer = dsr_core.ask(scene, "how many cars are there?", choices=[1, 2.5], backend="vlm", answerer=Model(1))
    assert answer.choice == "2.5"


@pytest.mark.parametrize(
    ("question", "told", "window"),
    [
        ("is the forklift moving between 1 and 3 s?", {}, (1.0, 3.0)),
        ("did the forklift move in the last 2 s?", {}, (3.0, 5.0)),
        ("did the forklift move in the first 2 s?", {}, (0.0, 2.0)),
        ("what is love?", {"window": (1.0, 2.0)}, (1.0, 2.0)),
        ("what is love?", {}, None),
    ],
)
def test_the_model_learns_what_time_is_asked_about(scene, question, told, window):
    model = Model()
    dsr_core.ask(scene, question, backend="vlm", answerer=model, **told)
    assert model.asked[0][3] == window


@pytest.mark.parametrize(
    "question",
    [
        "how far is car 2 from the forklift?",
        "is the forklift moving?",
        "where is it?",
        "Between 2.0s and 6.0s, following the perspective of camera, how does the speed of car 2 change?",
        "Between 1.0s and 3.5s, from the perspective of car 3 at 2.0s, compare the speed between car 2 and car 1.",
        "Following the perspective of car with bounding box coordinates [1,2,30,40], compare the speed between car 2"
        " and forklift 1.",
    ],
)
@pytest.mark.parametrize("window", [None, (2.0, 6.0), (3.0, 3.4)])
@pytest.mark.parametrize(
    "viewpoint", [None, "car 2", "robot", {"agent": "forklift 1"}, {"agent": "camera", "mode": "absolute", "at": 2.5}]
)
def test_fields_become_words_that_mean_the_same(question, window, viewpoint):
    words = in_words(question, window, viewpoint)
    assert words.lower().count("between 2.0s") <= 1 and words.count("perspective") <= 1
    if question == "where is it?":
        assert words.endswith(question[1:])
        return
    assert parse(words).query == parse(question, window=window, viewpoint=viewpoint).query
    if viewpoint is None and window in (None, parse(question).query.window):
        assert words == question


def test_auto_asks_the_geometry_first(scene):
    model = Model()
    answer = dsr_core.ask(scene, CLOSER, answerer=model)
    assert not model.asked and answer == dsr_core.ask(scene, CLOSER)


def test_auto_falls_back_to_the_model_and_tells_why(scene):
    model = Model(2)
    choices = ["a dog", "a cat", "a bus"]
    answer = dsr_core.ask(scene, "what would squash my toes?", choices=choices, answerer=model)
    assert answer.backend == "vlm" and answer.choice == "a bus" and answer.declined is None
    told = answer.to_dict()["details"]["geometry"]["declined"]
    assert told["code"] == "NOT_UNDERSTOOD" and told["message"]
    for question, code in (
        ("is the dog moving?", "NO_SUCH_OBJECT"),
        ("which way is the car facing?", "NO_ORIENTATION"),
    ):
        answer = dsr_core.ask(scene, question, answerer=Model())
        assert answer.backend == "vlm" and answer.details["geometry"]["declined"]["code"] == code


@pytest.mark.parametrize(
    ("question", "options", "code"),
    [
        ("", {}, "BAD_REQUEST"),
        ("is the car moving between 4 and 2 s?", {}, "BAD_WINDOW"),
        ("is the car moving between 80 and 90 s?", {}, "BAD_WINDOW"),
        ("is the car moving?", {"now_s": 60.0, "stale_s": 5.0}, "STALE_DATA"),
        ({"kind": "taste", "subject": "1"}, {}, "BAD_REQUEST"),
    ],
)
@pytest.mark.parametrize("backend", ["auto", "vlm"])
def test_what_is_wrong_for_every_engine_is_not_put_to_the_model(scene, question, options, code, backend):
    model = Model()
    answer = dsr_core.ask(scene, question, answerer=model, backend=backend, **options)
    assert answer.declined.code == code and not model.asked


def test_codes_that_a_model_can_help_with_are_codes():
    assert set(CAN_HELP) < set(DECLINE_CODES)
    assert not {"BAD_REQUEST", "BAD_WINDOW", "STALE_DATA", "TIMEOUT"} & set(CAN_HELP)


def test_old_data_without_a_window_is_not_shown_as_the_present(scene):
    model = Model()
    old = {"now_s": 60.0, "stale_s": 5.0, "backend": "vlm", "answerer": model}
    assert dsr_core.ask(scene, "what is love?", **old).declined.code == "STALE_DATA"
    assert dsr_core.ask(scene, "what is love?", window=(1.0, 2.0), **old).declined is None


def test_when_both_decline_the_first_decline_counts(scene):
    model = Model(error=DeclineError("TIMEOUT", "too slow"))
    answer = dsr_core.ask(scene, "what is love?", answerer=model)
    assert answer.declined.code == "NOT_UNDERSTOOD" and answer.backend == "geometry"
    assert answer.details["vlm"]["declined"]["code"] == "TIMEOUT"
    alone = dsr_core.ask(scene, "what is love?", answerer=model, backend="vlm")
    assert alone.declined.code == "TIMEOUT" and alone.backend == "vlm" and alone.answer == "No answer: too slow."


@pytest.mark.parametrize(("index", "agrees"), [(0, True), (1, False)])
def test_a_second_opinion_never_changes_the_answer(scene, index, agrees):
    choices = ["yes", "no"]
    alone = dsr_core.ask(scene, CLOSER, choices=choices)
    both = dsr_core.ask(scene, CLOSER, choices=choices, answerer=Model(index), second_opinion=True)
    told = both.to_dict()["details"].pop("vlm")
    assert told["agrees"] is agrees and told["choice"] == choices[index] and sum(told["probabilities"]) == 1.0
    assert replace(both, details={k: v for k, v in both.details.items() if k != "vlm"}) == alone


@pytest.mark.parametrize(("index", "said", "agrees"), [(0, "Yes.", True), (1, "No.", False)])
def test_a_yes_or_no_without_options_has_a_probability(scene, index, said, agrees):
    model = Model(index)
    alone = dsr_core.ask(scene, CLOSER, answerer=model, backend="vlm")
    assert model.asked[0][2] == ("yes", "no") and alone.answer == said and alone.confidence == 0.7
    assert alone.choice is None and alone.choice_index == -1 and alone.choice_probabilities == ()
    assert alone.details["options"] == ["yes", "no"] and alone.kind == "distance"
    both = dsr_core.ask(scene, CLOSER, answerer=model, second_opinion=True)
    assert both.answer.startswith("Yes") and both.details["vlm"]["agrees"] is agrees


@pytest.mark.parametrize("text", ["it grows", "Yes, it does", ""])
def test_other_words_are_told_but_not_compared(scene, text):
    question = "how does the distance between the forklift and the robot change?"
    both = dsr_core.ask(scene, question, answerer=Model(text=text), second_opinion=True)
    assert both.details["vlm"]["answer"] == text and both.details["vlm"]["agrees"] is None


def test_a_second_opinion_that_fails_is_told(scene):
    model = Model(error=DeclineError("BACKEND_UNAVAILABLE", "no memory"))
    both = dsr_core.ask(scene, CLOSER, answerer=model, second_opinion=True)
    assert both.declined is None and both.details["vlm"]["declined"]["code"] == "BACKEND_UNAVAILABLE"


def test_a_typed_query_needs_the_geometry(scene):
    model, query = Model(), {"kind": "motion", "subject": "2"}
    assert dsr_core.ask(scene, query, answerer=model, second_opinion=True).backend == "geometry"
    declined = dsr_core.ask(scene, query, answerer=model, backend="vlm").declined
    assert declined.code == "BAD_REQUEST" and "English" in declined.message and not model.asked


def test_without_a_model_the_next_step_is_told(scene):
    declined = dsr_core.ask(scene, CLOSER, backend="vlm").declined
    assert declined.code == "BACKEND_UNAVAILABLE" and "vlm.model" in declined.message
    assert dsr_core.ask(scene, "what is love?").declined.code == "NOT_UNDERSTOOD"
