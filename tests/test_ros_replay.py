"""KITTI with a real detector's boxes -> bag -> real nodes -> service: the same answers as offline."""

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from action_msgs.msg import GoalStatus
from data import shared
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.action import ActionClient
from ros_helpers import Graph, Peer, document, seconds, wait_until, without_age
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker, MarkerArray

import dsr_core
from dsr_core.sources import open_source
from dsr_core.sources.convert import BAG_START_NS
from dsr_core.sources.convert import convert as write_bag
from dsr_ros import convert, qos
from dsr_ros.action import AskLong
from dsr_ros.srv import GetTracks

SEQUENCE = "0012"
END_S = 7.7


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """The bag, and the scenes of the two offline roads."""
    root = shared("kitti_tracking")
    folder = tmp_path_factory.mktemp("replay")
    source = open_source(root, sequence=SEQUENCE, detections="pointrcnn")
    bag = write_bag(source, "bag", folder / "kitti", image_format="raw")
    return bag, dsr_core.load_scene(bag), dsr_core.load_scene(root, sequence=SEQUENCE, detections="pointrcnn"), folder


@pytest.fixture(scope="module")
def graph(recording):
    with Graph(recording[3]) as graph:
        graph.nodes(memory={"scene_path": recording[3] / "remembered.scene.npz"})
        yield graph


@pytest.fixture(scope="module")
def peer(graph):
    with Peer() as peer:
        yield peer


@pytest.fixture(scope="module")
def first(graph, peer, recording):
    """Answers after the first replay; the service is asked from this process while the bag plays, too."""
    markers = peer.listen(MarkerArray, "markers", qos.results())
    diagnostics = peer.listen(DiagnosticArray, "/diagnostics", qos.diagnostics())
    # The client has found the service before the bag begins: discovery may take two seconds.
    assert peer.ask("is the car moving?").declined_code == "NOT_OBSERVED"
    process = graph.start("player", "--bag", recording[0], "--rate", 3, "--lockstep", "true")
    tracks = peer.tracks()
    during = []
    while process.poll() is None:
        if tracks:
            during.append(peer.ask(query=queries(recording[1])[0]))
        else:
            wait_until(lambda: tracks or process.poll() is not None, 30)
    assert process.returncode == 0 and "no tracks for the frame" not in graph.output(), graph.output()
    return {"answers": ask_all(peer, recording[1]), "during": during, "markers": markers, "diagnostics": diagnostics}


def queries(scene):
    """Every kind, for every track that lives long enough, in fixed windows."""
    out = []
    others = [i for i, t in scene.tracks.items() if len(t) >= 20]
    for number, track_id in enumerate(others):
        track = scene.tracks[track_id]
        start, end = float(track.stamps_s[0]), float(track.stamps_s[-1])
        window = [round(start + 0.2, 1), round(end - 0.2, 1)]
        other = others[(number + 1) % len(others)]
        for kind, subject, reference in (
            ("distance", track_id, "robot"), ("distance", track_id, other), ("direction", track_id, "robot"),
            ("orientation", track_id, None), ("speed", track_id, None), ("speed_comparison", track_id, other),
            ("direction_prediction", track_id, None), ("motion", track_id, None),
        ):  # fmt: skip
            out.append({"kind": kind, "subject": subject, "object": reference, "window": window})
    return out


def ask_all(peer, scene):
    return [document(peer.ask(query=query)) for query in queries(scene)]


def test_the_answers_equal_the_offline_ones(first, recording):
    _, from_bag, from_folder, _ = recording
    asked = queries(from_bag)
    assert len(asked) >= 30
    assert sum(a["declined"] is None for a in first["answers"]) > 0.6 * len(asked), first["answers"]
    for query, online in zip(asked, first["answers"], strict=True):
        assert online == without_age(dsr_core.ask(from_bag, query)), query
        assert online == without_age(dsr_core.ask(from_folder, query)), query


def test_another_process_asked_while_the_bag_played(first, recording):
    during = [a for a in first["during"] if not a.declined_code]
    assert len(first["during"]) >= 10 and during
    for answer in during:
        # What was known then: nothing later than the newest data of that moment.
        until = seconds(answer, answer.header.stamp)
        offline = dsr_core.ask(recording[1].until(until), queries(recording[1])[0])
        assert document(answer)["states"] == offline.to_dict()["states"]


def test_the_fields_of_a_live_answer(first, peer, recording):
    query = next(
        q
        for q, a in zip(queries(recording[1]), first["answers"], strict=True)
        if a["kind"] == "distance" and a["states"]
    )
    answer = peer.ask(query=query)
    assert answer.header.frame_id == "odom"
    assert convert.from_time(answer.origin) == BAG_START_NS
    assert seconds(answer, answer.header.stamp) == pytest.approx(END_S)
    assert answer.track_ids[0] == query["subject"] and answer.unit == "m" and answer.value > 0
    assert answer.states[0].label in ("increasing", "constant", "decreasing")
    assert [seconds(answer, answer.start), seconds(answer, answer.end)] == pytest.approx(
        document(answer)["evidence"]["window"]
    )


def test_fields_do_what_the_query_does(first, peer, recording):
    typed = next(
        q for q, a in zip(queries(recording[1]), first["answers"], strict=True) if a["kind"] == "motion" and a["states"]
    )
    start_s, end_s = typed["window"]
    bare = {k: v for k, v in typed.items() if k != "window"}
    fields = peer.ask(
        query=bare, start_ns=BAG_START_NS + round(start_s * 1e9), end_ns=BAG_START_NS + round(end_s * 1e9)
    )
    assert document(fields) == document(peer.ask(query=typed))
    choices = ["It moves.", "It stands still."]
    chosen = peer.ask(query=typed, choices=choices)
    assert chosen.choice_index in (0, 1) and chosen.choice == choices[chosen.choice_index]


def test_markers_and_diagnostics_tell_what_is_there(first):
    last = first["markers"][-1].markers
    assert {m.ns for m in last} == {"boxes", "names", "velocities", "paths"}
    assert all(m.header.frame_id == "odom" and m.lifetime.sec == 1 for m in last)
    assert len({(m.ns, m.id) for m in last}) == len(last)
    status = {s.name: s for m in first["diagnostics"] for s in m.status}
    assert set(status) == {"dsr/observer", "dsr/memory"}
    for name, keys in (
        ("dsr/observer", {"why no answer", "TF misses", "dropped frames", "camera detections rate (Hz)"}),
        ("dsr/memory", {"why no answer", "input rate (Hz)", "data age (s)"}),
    ):
        assert keys <= {v.key for v in status[name].values}


def test_get_tracks_gives_the_histories(first, peer, recording):
    scene = recording[1]
    everything = peer.call(GetTracks, "get_tracks", GetTracks.Request())
    assert everything.success and convert.from_time(everything.origin) == BAG_START_NS
    stamps = [convert.from_time(f.header.stamp) for f in everything.frames]
    assert stamps == sorted(stamps) and sum(len(f.tracks) for f in everything.frames) == sum(
        map(len, scene.tracks.values())
    )
    track_id, track = max(scene.tracks.items(), key=lambda item: len(item[1]))
    start_s, end_s = float(track.stamps_s[3]), float(track.stamps_s[8])
    request = GetTracks.Request(
        ids=[track_id],
        start=convert.to_time(BAG_START_NS + round(start_s * 1e9)),
        end=convert.to_time(BAG_START_NS + round(end_s * 1e9)),
    )
    part = peer.call(GetTracks, "get_tracks", request)
    assert [len(f.tracks) for f in part.frames] == [1] * 6
    x = [f.tracks[0].pose.pose.position.x for f in part.frames]
    assert x == pytest.approx(track.positions_world_m[3:9, 0], abs=1e-9)
    unknown = peer.call(GetTracks, "get_tracks", GetTracks.Request(ids=["nobody"]))
    assert not unknown.success and "nobody" in unknown.message


def test_the_scene_can_be_saved(first, peer, recording):
    response = peer.call(Trigger, "memory/save_scene", Trigger.Request())
    assert response.success, response.message
    saved = dsr_core.load_scene(response.message)
    assert list(saved.tracks) == list(recording[1].tracks) and saved.origin_ns == BAG_START_NS
    query = queries(recording[1])[0]
    assert without_age(dsr_core.ask(saved, query)) == first["answers"][0]


def _goal(peer, client, **fields):
    feedback = []
    future = client.send_goal_async(AskLong.Goal(**fields), feedback_callback=lambda m: feedback.append(m.feedback))
    wait_until(future.done, 10, "the goal's acceptance")
    assert future.result().accepted
    return future.result(), feedback


def test_ask_long_answers_reports_and_can_be_cancelled(first, peer, recording):
    import json

    client = ActionClient(peer.node, AskLong, "/dsr/ask_long")
    assert client.wait_for_server(10)
    query = queries(recording[1])[0]
    goal, feedback = _goal(peer, client, query_json=json.dumps(query))
    result = goal.get_result_async()
    wait_until(result.done, 10, "the result")
    assert result.result().status == GoalStatus.STATUS_SUCCEEDED
    assert document(result.result().result.answer) == first["answers"][0]
    wait_until(lambda: len(feedback) >= 2, 5, "feedback")
    assert feedback[0].stage == "understanding" and feedback[-1].stage == "wording" and feedback[-1].progress == 1.0

    future_window = {**query, "window": [1.0, 1000.0]}
    goal, feedback = _goal(peer, client, query_json=json.dumps(future_window))
    wait_until(lambda: any(f.stage == "measuring" for f in feedback), 5, "the stage measuring")
    assert not goal.get_result_async().done()
    cancelled = goal.cancel_goal_async()
    wait_until(cancelled.done, 10, "the cancellation")
    result = goal.get_result_async()
    wait_until(result.done, 10, "the cancelled result")
    assert result.result().status == GoalStatus.STATUS_CANCELED

    goal, _ = _goal(peer, client, query_json=json.dumps(future_window), timeout=convert.to_duration(0.3))
    result = goal.get_result_async()
    wait_until(result.done, 10, "the result after the timeout")
    assert not result.result().result.success and result.result().result.answer.declined_code == "TIMEOUT"
    client.destroy()


def test_a_looped_bag_clears_the_memory_says_so_and_answers_as_the_first_time(first, graph, peer, recording):
    """The same bag twice more into the same nodes: the clock jumps back twice."""
    markers = first["markers"]
    markers.clear()
    graph.play(recording[0], "--loop", 2)
    graph.wait_for_output("memory cleared", count=2)
    assert any(m.action == Marker.DELETEALL for message in markers for m in message.markers)
    assert ask_all(peer, recording[1]) == first["answers"]
    status = [s for m in first["diagnostics"] for s in m.status if s.name == "dsr/memory"]
    assert any(v.key == "last clear" and "jumped back" in v.value for s in status for v in s.values)


def test_reset_empties_the_memory_and_the_service_goes_on(first, graph, peer, recording):
    assert peer.call(Trigger, "memory/reset", Trigger.Request()).success
    answer = peer.ask(query=queries(recording[1])[0])
    assert answer.declined_code == "NOT_OBSERVED" and "memory is empty" in answer.declined_message
    assert not peer.call(Trigger, "memory/save_scene", Trigger.Request()).success
    assert graph.alive()
