"""Messages and core values: nothing is lost on the way, and the answer's fields say what its JSON says."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, Image

from dsr_core.errors import QueryError, SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.reasoning.answer import Answer, Declined, State
from dsr_core.sources import ros_image
from dsr_core.values import FrameObservations, Observation
from dsr_ros import convert, image, msg, validate
from dsr_ros.srv import Ask

ORIGIN_NS = 1_000_000_123_456_789
number = st.floats(-1e6, 1e6, allow_nan=False)
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
# What JSON shows is rounded to six decimals, ROS times to nanoseconds.
second = st.integers(0, 10**9).map(lambda us: us * 1e-6)


def through_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


@st.composite
def answers(draw):
    choices = draw(st.lists(text, min_size=1, max_size=4))
    index = draw(st.integers(-1, len(choices) - 1))
    declined = draw(st.none() | st.builds(Declined, st.sampled_from(["TIMEOUT", "NOT_METRIC"]), text, st.tuples(text)))
    optional = st.none() | number
    return Answer(
        answer=draw(text), kind=draw(st.sampled_from(["distance", ""])),
        states=tuple(draw(st.lists(st.builds(State, text, second, second), max_size=3))),
        value=draw(optional), sigma=draw(optional), margin=draw(optional),
        unit=draw(st.sampled_from([None, "m", "m/s"])),
        confidence=draw(st.integers(0, 64)) / 64, choice=choices[index] if index >= 0 else None, choice_index=index,
        choice_probabilities=tuple(draw(st.lists(st.sampled_from([0.25, 0.5]), max_size=4))), declined=declined,
        viewpoint=draw(st.sampled_from([{}, {"agent": "robot", "mode": "relative", "at": None}])),
        motion=draw(st.sampled_from([{"ego": None, "object": "still"}, {"ego": "moving", "object": None}])),
        tracks=tuple(draw(st.lists(text, max_size=3))), samples=draw(st.integers(0, 2**32 - 1)),
        window=draw(st.none() | st.tuples(second, second)), data_age_s=draw(st.none() | second),
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(answers())
def test_an_answers_fields_say_what_its_json_says(answer):
    message = through_the_wire(convert.answer_to_message(answer, ORIGIN_NS, ORIGIN_NS + 5, "odom"))
    assert json.loads(message.json) == answer.to_dict()
    assert convert.answer_from_message(message).to_dict() == answer.to_dict()
    assert message.choice_index == answer.choice_index and message.choice == (answer.choice or "")
    assert list(message.choice_probabilities) == list(answer.choice_probabilities)
    assert convert.from_time(message.origin) == ORIGIN_NS and convert.from_time(message.header.stamp) == ORIGIN_NS + 5
    assert math.isnan(message.value) == (answer.value is None)


def test_a_node_without_data_can_answer_too():
    message = convert.answer_to_message(Answer(answer="no", declined=Declined("NOT_OBSERVED", "no")), 0, 0, "odom")
    assert convert.answer_from_message(message).declined.code == "NOT_OBSERVED"


def _observation(rng, **fields):
    spread = rng.normal(size=(3, 3))
    given = {
        "label": "cart", "position_world_m": rng.normal(size=3), "covariance_world": spread @ spread.T,
        # The message's score has 32 bits, as a detector's has.
        "score": float(np.float32(rng.random())), "size_lwh_m": rng.random(3), "box_px": rng.random(4) * 100,
        "orientation_world_xyzw": tf.yaw_to_quaternion_xyzw(rng.random()), "orientation_sigma_rad": 0.3, "id": "7",
        "source": "front",
    } | fields  # fmt: skip
    return Observation(**given)


def test_observations_come_back_exactly():
    rng = np.random.default_rng(0)
    T = tf.make_transform(tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(0.7)), rng.normal(size=3))
    bare = _observation(rng, size_lwh_m=None, box_px=None, orientation_world_xyzw=None, id="")
    frame = FrameObservations(
        ORIGIN_NS, (_observation(rng), bare), T_world_camera=T, T_world_base=tf.invert(T),
        K=np.diag([5.0, 6.0, 1.0]), image_size=(640, 480),
    )  # fmt: skip
    back = convert.observations_from_message(through_the_wire(convert.observations_to_message(frame, "odom", "front")))
    assert back.stamp_ns == frame.stamp_ns and back.image_size == frame.image_size
    assert np.array_equal(back.K, frame.K)
    assert np.allclose(back.T_world_camera, T, atol=1e-14) and np.allclose(back.T_world_base, tf.invert(T), atol=1e-14)
    for sent, got in zip(frame.observations, back.observations, strict=True):
        for name, value in vars(sent).items():
            assert np.array_equal(getattr(got, name), value) if value is not None else getattr(got, name) is None, name
    empty = convert.observations_from_message(convert.observations_to_message(FrameObservations(5), "odom"))
    assert empty.observations == () and empty.T_world_camera is None and empty.K is None and empty.image_size is None


def _request(**fields):
    return Ask.Request(**fields)


def test_precedence_is_query_then_fields_then_text():
    newest_s = 9.0
    window = {"start": convert.to_time(ORIGIN_NS + 2 * 10**9), "end": convert.to_time(ORIGIN_NS + 5 * 10**9)}
    plain = convert.question_from_request(_request(question="is it moving?"), ORIGIN_NS, newest_s)
    assert plain == {
        "question": "is it moving?",
        "viewpoint": None,
        "window": None,
        "choices": None,
        "rules": "robust",
        "backend": "auto",
    }
    fields = convert.question_from_request(
        _request(question="q", viewpoint="camera", choices=["a", "b"], rules="dsr", **window), ORIGIN_NS, newest_s
    )
    assert (fields["viewpoint"], fields["window"], fields["choices"], fields["rules"]) == (
        "camera",
        (2.0, 5.0),
        ["a", "b"],
        "dsr",
    )
    query = {"kind": "distance", "subject": "1", "object": "robot"}
    typed = convert.question_from_request(
        _request(question="q", query_json=json.dumps(query), viewpoint="camera", **window), ORIGIN_NS, newest_s
    )
    assert typed["question"] == query | {"window": [2.0, 5.0], "viewpoint": {"agent": "camera"}}
    query |= {"window": [0.0, 1.0], "viewpoint": {"agent": "robot"}}
    own = convert.question_from_request(
        _request(query_json=json.dumps(query), viewpoint="camera", **window), ORIGIN_NS, newest_s
    )
    assert own["question"] == query
    open_end = convert.question_from_request(_request(question="q", start=window["start"]), ORIGIN_NS, newest_s)
    assert open_end["window"] == (2.0, newest_s)


@pytest.mark.parametrize("wrong", ["{", "[1]", "3", '"text"', "[" * 100_000])
def test_a_query_that_is_no_json_object_is_refused(wrong):
    with pytest.raises(QueryError, match="query_json"):
        convert.question_from_request(_request(query_json=wrong), 0, 0.0)


def test_the_gate_names_what_is_wrong():
    good = msg.Detection(label="a", score=1.0, has_box3d=True)
    bad = [
        msg.Detection(label="a", score=float("nan"), has_box3d=True),
        msg.Detection(label="a", score=1.0),
        msg.Detection(score=1.0, has_box3d=True),
    ]
    bad.append(msg.Detection(label="a", score=1.0, has_box=True, box=np.array([5.0, 5.0, 5.0, 9.0])))
    nan = msg.Detection(label="a", score=1.0, has_box3d=True)
    nan.pose.pose.position.x = float("nan")
    array = msg.DetectionArray(detections=[good, *bad, nan])
    with pytest.raises(validate.MessageError, match="stamp zero"):
        validate.detections(array, "/d")
    array.header.stamp.sec = 3
    with pytest.raises(validate.MessageError, match="frame_id"):
        validate.detections(array, "/d")
    array.header.frame_id = "camera"
    assert validate.detections(array, "/d") == (3 * 10**9, 5) and array.detections == [good]
    array.header.stamp.nanosec = 10**9
    with pytest.raises(validate.MessageError, match="is no time"):
        validate.header(array.header, "/d")
    with pytest.raises(validate.MessageError, match="not calibrated"):
        validate.camera_info(CameraInfo(width=4, height=3), "/i")


@pytest.mark.parametrize(
    ("encoding", "shape", "kind"),
    [("rgb8", (3, 4, 3), np.uint8), ("16UC1", (3, 4), np.uint16), ("32FC1", (3, 4), np.float32)],
)
def test_images_come_back(encoding, shape, kind):
    pixels = (np.random.default_rng(0).random(shape) * 200).astype(kind)
    message = through_the_wire(image.fill(Image(), pixels, encoding))
    assert np.array_equal(image.to_numpy(message), pixels)
    with pytest.raises(SourceError):
        image.fill(Image(), pixels, "bgra8")
    assert encoding in ros_image.ENCODINGS


@pytest.mark.skipif(bool(os.environ.get("ROS_PYTHON_CHECK_FIELDS")), reason="this is the checked run")
def test_all_of_this_with_the_messages_own_checks():
    """Older distributions check every field that is set; Jazzy does when it is asked to."""
    environment = {**os.environ, "ROS_PYTHON_CHECK_FIELDS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
