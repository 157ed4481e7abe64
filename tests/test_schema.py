"""The published JSON schemas, against what Python gives and what ROS messages carry."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import fake_scene, fake_track

from dsr_core import ask
from dsr_core.errors import QueryError
from dsr_core.reasoning.answer import DECLINE_CODES, Answer, Declined, State
from dsr_core.reasoning.kinds import REGISTRY
from dsr_core.reasoning.query import Query, Viewpoint

KINDS = tuple(REGISTRY)
jsonschema = pytest.importorskip("jsonschema")
DOCS = Path(__file__).resolve().parents[1] / "docs"


def validator(name):
    schema = json.loads((DOCS / "schemas" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


QUERY, ANSWER = validator("query"), validator("answer")


@pytest.fixture(scope="module")
def scene():
    return fake_scene(
        fake_track("12", "car", (30, 3, 0), yaw=0.0),
        fake_track("3", "pedestrian", (10, -5, 0), (0, 1.5, 0), yaw=math.pi / 2),
        fake_track("4", "box", (12, -5, 0), (0, 1.5, 0)),
        ego_velocity=(3, 0, 0),
    )


def query_of(kind):
    pair = kind in ("distance", "direction", "speed_comparison")
    window = (4.0, 5.0) if kind == "fastest_receding" else (1.0, 4.0)
    return Query(kind, "pedestrian", "car" if pair else None, window=window)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rules", ["robust", "dsr"])
def test_every_kind_of_answer_is_valid(scene, kind, rules):
    answer = ask(scene, query_of(kind), rules=rules)
    assert answer.declined is None, answer.answer
    ANSWER.validate(json.loads(json.dumps(answer.to_dict(), allow_nan=False)))
    QUERY.validate(query_of(kind).to_dict())


def test_answers_with_choices_are_valid(scene):
    answer = ask(scene, "is the car getting closer to me?", choices=["yes", "no"])
    assert answer.choice == "yes"
    ANSWER.validate(answer.to_dict())


@pytest.mark.parametrize(
    "question, options, code",
    [
        ("is the bus moving?", {}, "NO_SUCH_OBJECT"),
        ("is 12 moving between 8 and 9 s?", {}, "BAD_WINDOW"),
        ("is 12 moving between 4 and 2 s?", {}, "BAD_WINDOW"),
        ("which way is box 4 facing?", {}, "NO_ORIENTATION"),
        ("what is love?", {}, "NOT_UNDERSTOOD"),
        ("", {}, "BAD_REQUEST"),
        ({"kind": "colour", "subject": "car"}, {}, "BAD_REQUEST"),
        ("is the car moving?", {"backend": "vlm"}, "BACKEND_UNAVAILABLE"),
    ],
)
def test_declines_are_valid(scene, question, options, code):
    answer = ask(scene, question, **options)
    assert answer.declined is not None and answer.declined.code == code, answer.answer
    ANSWER.validate(answer.to_dict())


@pytest.mark.parametrize("code", DECLINE_CODES)
def test_every_code_is_in_the_schema_and_explained(code):
    ANSWER.validate(Answer(answer="No answer.", declined=Declined(code, "because", ("this",))).to_dict())
    assert f"`{code}`" in (DOCS / "answers.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_explained(kind):
    assert f"`{kind}`" in (DOCS / "answers.md").read_text()


QUERIES = [
    {"kind": "motion", "subject": "car 12"},
    {"kind": "distance", "subject": "12", "object": None, "viewpoint": None, "window": None},
    {"kind": "distance", "subject": {"label": "car", "box": [1, 2, 30, 40.5], "image_size": [640, 360], "at": 2}},
    {"kind": "speed", "subject": {"label": "car", "select": "fastest"}, "viewpoint": "camera"},
    {"kind": "speed", "subject": {"select": "nearest", "rank": 2}},
    {"kind": "speed_comparison", "subject": "a", "object": "b"},
    {"kind": "direction", "subject": "a", "viewpoint": {"agent": "b", "mode": "absolute", "at": 1.5}, "window": [0, 2]},
    {"kind": "direction", "subject": "a", "viewpoint": {"agent": {"label": "bus"}}},
    {},
    {"kind": "motion"},
    {"kind": "colour", "subject": "car"},
    {"kind": "motion", "subject": ""},
    {"kind": "motion", "subject": "  "},
    {"kind": "motion", "subject": 12},
    {"kind": "motion", "subject": {}},
    {"kind": "motion", "subject": {"name": "car"}},
    {"kind": "motion", "subject": {"box": [1, 2, 3]}},
    {"kind": "motion", "subject": {"box": [1, 2, 3, "4"]}},
    {"kind": "motion", "subject": {"label": "car", "select": "best"}},
    {"kind": "motion", "subject": {"label": "car", "select": "nearest", "rank": 0}},
    {"kind": "motion", "subject": {"label": "car", "select": "nearest", "rank": True}},
    {"kind": "motion", "subject": {"label": "car", "select": "nearest", "rank": 1.5}},
    {"kind": "motion", "subject": {"label": "car", "select": "moving", "rank": 1}},
    {"kind": "motion", "subject": {"label": "car", "rank": 1}},
    {"kind": "motion", "subject": {"label": "car", "image_size": [0, 1]}},
    {"kind": "motion", "subject": "car", "window": [1]},
    {"kind": "motion", "subject": "car", "window": [1, True]},
    {"kind": "motion", "subject": "car", "windows": [1, 2]},
    {"kind": "motion", "subject": "car", "viewpoint": {"who": "me"}},
    {"kind": "motion", "subject": "car", "viewpoint": {"mode": "sideways"}},
    {"kind": "motion", "subject": "car", "viewpoint": 3},
    {"kind": "speed_comparison", "subject": "car"},
    {"kind": "count", "subject": "car", "of": "speed_comparison", "asked": "same"},
    {"kind": "count", "subject": "car", "of": "speed_comparison", "asked": "same", "object": "robot"},
    {"kind": "speed_comparison", "subject": "car", "object": None},
    [],
    "motion",
]


@pytest.mark.parametrize("data", QUERIES, ids=json.dumps)
def test_schema_and_reader_agree_on_queries(data):
    """What the schema lets through is read, and what it refuses is refused."""
    try:
        query = Query.from_dict(data)
    except QueryError:
        query = None
    assert QUERY.is_valid(data) == (query is not None)
    if query is not None:
        QUERY.validate(query.to_dict())
        assert Query.from_dict(json.loads(json.dumps(query.to_dict()))) == query


def test_schema_refuses_answers_that_break_the_contract(scene):
    good = ask(scene, query_of("motion")).to_dict()
    ANSWER.validate(good)
    for change in (
        {"schema": 2},
        {"kind": "colour"},
        {"confidence": 1.5},
        {"unit": "feet"},
        {"states": []},
        {"states": [{"label": "front", "start": 0.0, "end": 1.0}]},
        {"states": [{"label": "moving", "start": 0.0}]},
        {"declined": {"code": "OOPS", "message": "x", "candidates": []}},
        {"extra": 1},
        {"motion": {"ego": "flying", "object": None}},
    ):
        assert not ANSWER.is_valid({**good, **change}), change
    assert not ANSWER.is_valid({k: v for k, v in good.items() if k != "evidence"})
    ordered = ask(scene, query_of("direction")).to_dict()
    assert not ANSWER.is_valid({**ordered, "states": [{"label": "left|front", "start": 0.0, "end": 1.0}]})


def test_numbers_that_are_none_stay_json():
    odd = Answer("x", "motion", (State("still", 0.0, 1.0),), value=np.nan, sigma=np.inf, margin=-np.inf)
    odd = replace(odd, viewpoint=Viewpoint().to_dict(), window=(0.0, 1.0))
    text = json.dumps(odd.to_dict(), allow_nan=False)
    ANSWER.validate(json.loads(text))


def ros_message(answer):
    """The answer through a serialised ROS message, as a client on the other side of the wire sees it."""
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    convert = pytest.importorskip("dsr_ros.convert", reason="the interfaces of dsr_ros are not built")
    from rclpy.serialization import deserialize_message, serialize_message

    message = convert.answer_to_message(answer, 10**18, 10**18 + 5 * 10**9, "odom")
    return deserialize_message(serialize_message(message), type(message)), convert


@pytest.mark.parametrize("kind", KINDS)
def test_the_message_carries_the_same_json(scene, kind):
    answer = ask(scene, query_of(kind))
    message, convert = ros_message(answer)
    carried = json.loads(message.json)
    ANSWER.validate(carried)
    assert carried == json.loads(json.dumps(answer.to_dict()))
    read = convert.answer_from_message(message).to_dict()
    ANSWER.validate(read)
    assert read["states"] == carried["states"] and read["value"] == carried["value"]
    assert (message.kind, message.unit, message.declined_code) == (answer.kind, answer.unit or "", "")


@pytest.mark.parametrize("code", DECLINE_CODES)
def test_the_message_of_a_decline_is_valid_too(code):
    message, _ = ros_message(Answer(answer="No answer.", declined=Declined(code, "because", ("this",))))
    carried = json.loads(message.json)
    ANSWER.validate(carried)
    assert message.declined_code == carried["declined"]["code"] == code
    assert list(message.candidates) == ["this"]
