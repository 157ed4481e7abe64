"""A tiny vision-language model behind a memory node: it may be slow, full or broken, the node goes on."""

import importlib.util
import json
import math
import threading
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")
pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from ros_helpers import Graph, Peer, wait_until
from sensor_msgs.msg import Image
from tiny_vlm import tiny_qwen25_vl

from dsr_core.values import FrameObservations, Observation
from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.model import GeometryVLM
from dsr_ros import convert, doctor
from dsr_ros.action import AskLong
from dsr_ros.image import fill
from dsr_ros.memory import MemoryNode
from dsr_ros.msg import DetectionArray
from dsr_ros.srv import Ask

START_NS = 5_000_000_000_000
CHOICES = ["increasing", "constant", "decreasing"]
DISTANCE = "how does the distance between the cart and the robot change?"
ODD = "Yo, is that cart thing gonna squash my toes or what?"


def frame(i, stamp_ns=None):
    cart = Observation("cart", np.array([30.0 - 0.2 * i, 1.0, 0.0]), np.eye(3) * 0.0025, id="7")
    stamp_ns = START_NS + i * 100_000_000 if stamp_ns is None else stamp_ns
    return FrameObservations(stamp_ns, (cart,), T_world_camera=np.eye(4), T_world_base=np.eye(4))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a tiny model, and of one with so many layers that it takes seconds to say something."""
    folder = tmp_path_factory.mktemp("models")
    base = GeometryVLM.load(tiny_qwen25_vl(folder / "base"), device="cpu")
    config = GeometryConfig(queries=4, heads=4)
    torch.manual_seed(0)
    GeometryVLM.of(base.base, base.tokenizer, config).save(folder / "quick", whole=True)
    told = base.base.config
    told.text_config.num_hidden_layers = 1000
    told.text_config.layer_types = ["full_attention"] * 1000
    told.text_config.max_window_layers = 1000
    deep = type(base.base)(told)
    deep.generation_config.min_new_tokens = 48  # or it might have nothing to say, at once
    GeometryVLM.of(deep, base.tokenizer, config).save(folder / "slow", whole=True)
    return folder


class World:
    """A memory node with a model, that has seen a cart come closer."""

    def __init__(self, folder, namespace, peer, **parameters):
        self.peer, self.graph = peer, Graph(folder, namespace)
        self.graph.start("memory", stale_s=0.0, reliability="reliable", **parameters)
        self.tracks = peer.tracks()
        self.told = peer.listen(DiagnosticArray, "/diagnostics")

    def __enter__(self):
        try:
            self.observations = self.peer.publisher(DetectionArray, "observations")
            self.publish(0, 60)
            self.graph.wait_for_output("is ready", 120)
        except BaseException:
            self.graph.__exit__()
            raise
        return self

    def __exit__(self, *error):
        self.graph.__exit__(*error)

    def publish(self, start, end):
        for i in range(start, end):
            self.observations.publish(convert.observations_to_message(frame(i), "odom"))
        self.wait_for(end - 1)

    def wait_for(self, i):
        wait_until(
            lambda: self.tracks and convert.from_time(self.tracks[-1].header.stamp) >= START_NS + i * 100_000_000,
            15,
            lambda: f"frame {i}; {self.graph.output()}",
        )

    def status(self):
        """The newest values of the memory's line in /diagnostics, with its level and line."""
        own = [s for m in self.told[-4:] for s in m.status if s.name == f"{self.peer.namespace}/memory"]
        if not own:
            return {}
        return {v.key: v.value for v in own[-1].values} | {"level": own[-1].level, "line": own[-1].message}

    def questions(self):
        """How many questions the model has had, by news that are newer than this call."""
        count = len(self.told)
        wait_until(lambda: len(self.told) >= count + 2, 10, "diagnostics")
        return int(self.status()["vlm questions"])


@pytest.fixture(scope="module")
def quick(models, tmp_path_factory):
    with Peer("vlm") as peer:
        pictures = {"vlm__frames": 4, "vlm__max_pixels": 3136, "vlm__memory_s": 4.0}
        pictures |= {"vlm__image_topic": "/vlm_eyes/color", "vlm__second_opinion": True}
        world = World(tmp_path_factory.mktemp("quick"), "vlm", peer, vlm__model=models / "quick", vlm__device="cpu",
                      vlm__threads=1, **pictures)  # fmt: skip
        with world:
            yield world


@pytest.fixture(scope="module")
def slow(models, tmp_path_factory):
    with Peer("vlm_slow") as peer:
        world = World(tmp_path_factory.mktemp("slow"), "vlm_slow", peer, vlm__model=models / "slow", vlm__device="cpu",
                      vlm__threads=1, vlm__queue=1)  # fmt: skip
        with world:
            yield world


def test_the_model_answers_with_probabilities(quick):
    answer = quick.peer.ask(DISTANCE, choices=CHOICES, backend="vlm")
    assert not answer.declined_code and answer.backend == "vlm" and answer.choice in CHOICES, answer.json
    odds = np.array(answer.choice_probabilities)
    assert len(odds) == 3 and odds.sum() == pytest.approx(1.0, abs=1e-5) and answer.choice_index == odds.argmax()
    assert answer.confidence == pytest.approx(odds.max()) and answer.kind == "distance"
    details = json.loads(answer.json)["details"]
    assert details.pop("probabilities") == pytest.approx(odds, abs=1e-5)
    assert details == {"model": "quick", "pictures": 0, "geometry_tokens": {"scene": 2}}
    said = quick.peer.ask("what is love?", backend="vlm")
    assert not said.declined_code and said.answer and said.choice_index == -1


def test_auto_asks_the_model_where_the_geometry_does_not_understand(quick):
    answer = quick.peer.ask(ODD, choices=["yes", "no"])
    assert not answer.declined_code and answer.backend == "vlm" and answer.choice in ("yes", "no")
    assert json.loads(answer.json)["details"]["geometry"]["declined"]["code"] == "NOT_UNDERSTOOD"


def test_a_second_opinion_is_told_and_changes_nothing(quick):
    answer = quick.peer.ask(DISTANCE, choices=CHOICES)
    assert answer.backend == "geometry" and answer.choice == "decreasing" and answer.states[-1].label == "decreasing"
    told = json.loads(answer.json)["details"]["vlm"]
    assert sum(told["probabilities"]) == pytest.approx(1.0, abs=1e-5)
    assert told["agrees"] is (told["choice"] == "decreasing")
    assert "vlm" not in json.loads(quick.peer.ask(DISTANCE, backend="geometry").json)["details"]


def test_what_is_wrong_is_declined_by_the_model_too(quick):
    assert quick.peer.ask("", backend="vlm").declined_code == "BAD_REQUEST"
    typed = quick.peer.ask(query={"kind": "motion", "subject": "cart"}, backend="vlm")
    assert typed.declined_code == "BAD_REQUEST" and "English" in typed.declined_message
    many = quick.peer.ask(DISTANCE, choices=[f"{i} m" for i in range(30)], backend="vlm")
    assert many.declined_code == "BAD_REQUEST" and "30 options" in many.declined_message
    late = quick.peer.ask(DISTANCE, backend="vlm", start_ns=START_NS + 10**12, end_ns=START_NS + 2 * 10**12)
    assert late.declined_code == "BAD_WINDOW"
    assert quick.graph.alive() and not quick.peer.ask(DISTANCE).declined_code


def test_diagnostics_tell_of_the_model(quick):
    asked = quick.questions()
    quick.peer.ask(DISTANCE, choices=CHOICES, backend="vlm")
    assert quick.questions() == asked + 1
    assert quick.status()["vlm waiting"] == "0" and float(quick.status()["vlm last duration (s)"]) > 0


def test_doctor_tells_of_the_model(quick):
    found = {check["name"].strip(): check for check in doctor.checks(6.0)}
    assert found["vlm"]["ok"] and "quick" in found["vlm"]["detail"]
    assert not found["vlm pictures"]["ok"] and "/vlm_eyes/color" in found["vlm pictures"]["detail"]


def test_pictures_roll_and_are_forgotten_with_the_memory(quick):
    peer = quick.peer
    color = peer.publisher(Image, "/vlm_eyes/color")
    for i in range(60):
        message = fill(Image(), np.full((120, 160, 3), 4 * i, np.uint8), "rgb8")
        message.header.stamp, message.header.frame_id = convert.to_time(START_NS + i * 100_000_000), "camera"
        color.publish(message)
    wait_until(lambda: quick.status().get("vlm pictures kept") == "8", 10, lambda: quick.status())
    assert float(quick.status()["vlm pictures (MB)"]) <= 8 * 3136 * 3 / 1e6

    def pictures(**fields):
        answer = peer.ask(DISTANCE, choices=CHOICES, backend="vlm", **fields)
        assert not answer.declined_code, answer.json
        return json.loads(answer.json)["details"]["pictures"]

    assert pictures() == 4
    # Pictures go back to 2 s; before that the model sees what is remembered alone.
    assert pictures(start_ns=START_NS, end_ns=START_NS + 10**9) == 0
    for i in range(5):
        again = frame(i, START_NS - 20 * 10**9 + i * 10**8)
        quick.observations.publish(convert.observations_to_message(again, "odom"))
    wait_until(lambda: quick.status().get("vlm pictures kept") == "0", 10, lambda: quick.status())
    assert pictures() == 0


def test_a_slow_model_stops_nobody(slow):
    """While the model thinks, frames are taken and the geometry answers; then its time is over."""
    client = slow.peer.node.create_client(Ask, slow.peer.name("ask"))
    assert client.wait_for_service(10)
    timeout = convert.to_duration(5.0)
    begun = time.monotonic()
    slowly = client.call_async(Ask.Request(question="what is love?", backend="vlm", timeout=timeout))
    time.sleep(0.3)
    for i in range(60, 70):
        slow.publish(i, i + 1)
    answer = slow.peer.ask("is the cart moving?")
    assert answer.states[-1].label == "moving" and not slowly.done()
    wait_until(slowly.done, 10, "the slow answer")
    assert 4.9 < time.monotonic() - begun < 8.0
    response = slowly.result()
    assert not response.success and response.answer.declined_code == "TIMEOUT"
    assert "5 s" in response.answer.declined_message
    slow.peer.node.destroy_client(client)
    # The model has stopped at it: the next question is not kept waiting.
    assert not slow.peer.ask(DISTANCE, choices=CHOICES, backend="vlm").declined_code


def test_what_waits_is_bounded_and_the_same_question_is_asked_once(slow):
    asked = slow.questions()
    responses = {}

    def call(name, question):
        request = Ask.Request(question=question, backend="vlm", timeout=convert.to_duration(5.0))
        responses[name] = slow.peer.call(Ask, "ask", request)

    def start(name, question):
        thread = threading.Thread(target=call, args=(name, question))
        thread.start()
        time.sleep(0.3)
        return thread

    threads = [start(f"first {i}", "what is love?") for i in range(3)]
    threads += [start("second", "what is hate?"), start("third", "what is hope?")]
    for thread in threads:
        thread.join(30)
    codes = {name: response.answer.declined_code for name, response in responses.items()}
    third = responses["third"].answer
    assert codes.pop("third") == "BACKEND_UNAVAILABLE" and "wait for the model" in third.declined_message
    assert set(codes.values()) == {"TIMEOUT"}
    assert slow.questions() == asked + 2


def test_ask_long_tells_its_stage_and_is_cancelled_inside_the_model(slow):
    client = ActionClient(slow.peer.node, AskLong, slow.peer.name("ask_long"))
    assert client.wait_for_server(10)
    stages = []

    def goal(question, **fields):
        future = client.send_goal_async(
            AskLong.Goal(question=question, backend="vlm", **fields),
            feedback_callback=lambda message: stages.append(message.feedback.stage),
        )
        wait_until(future.done, 10, "the goal's acceptance")
        return future.result()

    done = goal(DISTANCE, choices=CHOICES).get_result_async()
    wait_until(done.done, 20, "the result")
    assert done.result().status == GoalStatus.STATUS_SUCCEEDED and done.result().result.success
    assert stages[0] == "understanding" and stages[-1] == "wording"
    asked = slow.questions()
    long = goal("what is love?")
    wait_until(lambda: "answering" in stages, 10, lambda: stages)
    begun = time.monotonic()
    wait_until(long.cancel_goal_async().done, 10, "the cancellation")
    result = long.get_result_async()
    wait_until(result.done, 10, "the cancelled result")
    assert result.result().status == GoalStatus.STATUS_CANCELED
    assert slow.questions() == asked + 1 and slow.status()["vlm waiting"] == "0" and time.monotonic() - begun < 5.0
    client.destroy()


def test_out_of_memory_in_a_node_is_a_decline(models, monkeypatch):
    """The node runs in this process, so that its model can be made to fail."""
    with Peer("vlm_full") as peer:
        node = peer.add(MemoryNode, vlm__model=str(models / "quick"), vlm__device="cpu", stale_s=0.0,
                        reliability="reliable")  # fmt: skip
        tracks, observations = peer.tracks(), peer.publisher(DetectionArray, "observations")
        empty = peer.ask("what is love?", backend="vlm")
        assert empty.declined_code == "NOT_OBSERVED" and "memory is empty" in empty.declined_message
        assert peer.ask("", backend="vlm").declined_code == "BAD_REQUEST"
        for i in range(20):
            observations.publish(convert.observations_to_message(frame(i), "odom"))
        wait_until(lambda: tracks and node.vlm.worker.ready, 60, "the model")
        layer = type(GeometryVLM.load(models / "quick", device="cpu").base.model.language_model.layers[0])
        with monkeypatch.context() as patch:

            def full(*args, **kwargs):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

            patch.setattr(layer, "forward", full)
            answer = peer.ask(DISTANCE, choices=CHOICES, backend="vlm")
            assert answer.declined_code == "BACKEND_UNAVAILABLE" and "too little memory" in answer.declined_message
            auto = peer.ask(ODD)
            assert auto.declined_code == "NOT_UNDERSTOOD"
            assert json.loads(auto.json)["details"]["vlm"]["declined"]["code"] == "BACKEND_UNAVAILABLE"
        assert not peer.ask(DISTANCE, choices=CHOICES, backend="vlm").declined_code
        assert not peer.ask(DISTANCE).declined_code


def test_a_model_that_cannot_be_loaded_is_told_and_the_node_lives(tmp_path):
    with Peer("vlm_bad") as peer:
        node = peer.add(MemoryNode, vlm__model=str(tmp_path / "nowhere"), vlm__device="cpu", stale_s=0.0,
                        reliability="reliable")  # fmt: skip
        tracks, observations = peer.tracks(), peer.publisher(DetectionArray, "observations")
        for i in range(20):
            observations.publish(convert.observations_to_message(frame(i), "odom"))
        wait_until(lambda: tracks and node.vlm.failed, 60, "the model's failure")
        level, line, values = node.status()
        assert level != b"\x00" and "cannot be used" in line and "nowhere" in values["vlm"]
        answer = peer.ask(DISTANCE, choices=CHOICES, backend="vlm")
        assert answer.declined_code == "BACKEND_UNAVAILABLE" and "nowhere" in answer.declined_message
        assert peer.ask(DISTANCE, choices=CHOICES).choice == "decreasing"
        assert peer.ask(ODD).declined_code == "NOT_UNDERSTOOD"


def test_a_simulated_bag_is_asked_through_the_model(models, tmp_path):
    if importlib.util.find_spec("mujoco") is None:  # imported by the renderer, which sets up OpenGL before
        pytest.skip("the simulated bag needs mujoco: pip install 'dsr_ros[sim]'")
    from dsr_core.demo import make_recording

    bag, _ = make_recording(tmp_path / "out", duration_s=4.0)
    with Graph(tmp_path, "vlm_sim") as graph, Peer("vlm_sim") as peer:
        model = {"vlm__model": models / "quick", "vlm__device": "cpu", "vlm__frames": 4, "vlm__max_pixels": 3136}
        graph.nodes(memory=model)
        graph.wait_for_output("is ready", 120)
        graph.play(bag, rate=1, timeout=120)
        question = "between 0.5 and 3 s, how does the distance between the forklift and the robot change?"
        answer = peer.ask(question, choices=CHOICES, backend="vlm")
        assert not answer.declined_code and answer.choice in CHOICES, answer.json
        assert math.isclose(sum(answer.choice_probabilities), 1.0, abs_tol=1e-5)
        details = json.loads(answer.json)["details"]
        assert details["pictures"] >= 2 and details["geometry_tokens"]["scene"] >= 2
        assert peer.ask(question, choices=CHOICES, backend="geometry").choice == "decreasing"
