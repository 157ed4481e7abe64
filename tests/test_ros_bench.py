"""`dsr bench replay`: real nodes, a simulated bag, its ground truth."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("dsr_ros.msg")

from bags import Messages, S, write_bag
from ros_helpers import REPO, Graph

from dsr_core.api import ask
from dsr_core.bench.row import BenchError
from dsr_core.cli import main
from dsr_core.qa.config import QaConfig
from dsr_core.qa.files.files import write_items
from dsr_core.qa.files.readers import read_items
from dsr_core.qa.making.generate import candidates
from dsr_core.qa.options.options import with_options
from dsr_core.scene import Scene
from dsr_core.sources.convert import TRUTH_FILE, convert
from dsr_core.sources.simulator import Simulator
from dsr_ros.bench_replay import Evaluation
from dsr_ros.bench_rounds import Asked, Question, questions_at
from dsr_ros.bench_truth import truth_of


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return Path(convert(Simulator(duration_s=8.0, render=False), "bag", tmp_path_factory.mktemp("replay") / "bag"))


def replayed(capsys, *words):
    status = main(["bench", "replay", *map(str, words)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_replay_is_judged_by_the_bags_truth(bag, capsys):
    status, out, err = replayed(capsys, bag, "--rate", 6, "--every", 2, "--json")
    assert status == 0, err
    told = json.loads(out)
    assert {"distance", "direction", "orientation", "motion", "speed_comparison"} <= set(told["kinds"])
    everything = told["all"]
    assert everything["asked"] == sum(one["asked"] for one in told["kinds"].values()) >= 40
    assert everything["answered"] + sum(everything["declined"].values()) == everything["asked"]
    assert everything["agreement"] > 0.85 and everything["accuracy"] > 0.7, told
    assert everything["right"] + len(told["wrong"]) == everything["answered"]
    assert 0 < everything["latency_ms"]["p50"] <= everything["latency_ms"]["p99"] < 10_000
    assert 0 <= everything["data_age_ms"]["p50"] <= everything["data_age_ms"]["p99"]


def test_nodes_that_run_already_are_asked_and_wrong_truth_is_found_out(bag, tmp_path, capsys):
    """The truth is played backwards and moved aside: an evaluation that cannot fail would say nothing."""
    false = tmp_path / "false"
    shutil.copytree(bag, false)
    truth = Scene.load(false / TRUTH_FILE)
    moved = {
        id_: type(t)(id_, t.label, t.stamps_s, t.positions_world_m[::-1] + np.array([0.0, 8.0, 0.0]))
        for id_, t in truth.tracks.items()
    }
    replace(truth, tracks=moved).save(false / TRUTH_FILE)
    with Graph(tmp_path, namespace="robot1") as graph:
        graph.nodes()
        words = ("--running", "--service", "/robot1/ask", "--rate", 6, "--every", 3)
        status, out, err = replayed(capsys, false, *words)
    assert status == 0, err
    everything = out.splitlines()[-2].split()
    assert everything[0] == "all" and int(everything[1]) >= 20 and everything[5] == "%"
    assert float(everything[6]) < 70.0, out


@pytest.fixture(scope="module")
def questions(bag, tmp_path_factory):
    """A file of multiple-choice questions about the bag, predictions among them."""
    types = ("rel_dis", "abs_dir", "rel_spd_comp", "rel_dir_pred")
    config = QaConfig(per_scene=40, refer="classes", min_window_s=2.0, max_window_s=5.0, types=types)
    items, _ = with_options(candidates(truth_of(bag), config, 0, "bag"), "dsr", 0)
    assert {item.candidate.type for item in items} == set(types)
    path = tmp_path_factory.mktemp("questions") / "questions.parquet"
    write_items(path, items)
    return path


def test_a_set_of_questions_is_asked_when_their_windows_are_over(bag, questions, capsys):
    items = read_items(questions)
    predictions = sum(item.candidate.kind == "direction_prediction" for item in items)
    words = ("--data", questions, "--model", "geometry", "--rate", 6, "--json")
    status, out, err = replayed(capsys, bag, *words)
    assert status == 0, err
    told = json.loads(out)
    assert told["untold"] == predictions > 0 and told["all"]["asked"] == len(items) - predictions >= 15
    assert set(told["kinds"]) == {"distance", "direction", "speed_comparison"}
    assert told["all"]["accuracy"] >= 0.9 and told["all"]["confidence"] > 0.6, told


def test_a_set_of_questions_is_asked_of_a_model(bag, questions, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("peft")
    from tiny_vlm import tiny_qwen25_vl

    from dsr_core.vlm.config import GeometryConfig
    from dsr_core.vlm.model import GeometryVLM

    torch.manual_seed(0)
    base = GeometryVLM.load(tiny_qwen25_vl(tmp_path / "base"), device="cpu")
    GeometryVLM.of(base.base, base.tokenizer, GeometryConfig(queries=4, heads=4)).save(tmp_path / "model", whole=True)
    words = ("--data", questions, "--model", f"vlm:{tmp_path / 'model'}", "--rate", 6, "--limit", 12, "--json")
    status, out, err = replayed(capsys, bag, *words)
    assert status == 0, err
    told = json.loads(out)["all"]
    assert told["answered"] == told["asked"] >= 6 and 0.25 <= told["confidence"] < 1.0, told
    status, _, err = replayed(capsys, bag, "--data", questions, "--model", f"vlm:{questions.parent}")
    assert status == 2 and "no question can be put to the model" in err


def test_questions_are_asked_of_what_was_in_view(bag):
    truth = truth_of(bag)
    asked = questions_at(truth, 6.0)
    assert {q.kind for q in asked} == {"distance", "direction", "orientation", "speed", "speed_comparison", "motion"}
    assert all(q.query["window"] == [2.0, 6.0] and q.at_s == 6.0 for q in asked)
    assert all(ask(truth, q.text, window=(2.0, 6.0)).kind == q.kind for q in asked)
    first = next(iter(truth.tracks.values()))
    hidden = type(first)("1", first.label, first.stamps_s, first.positions_world_m, observed=first.stamps_s < 4.0)
    assert not questions_at(replace(truth, tracks={"1": hidden}), 6.0)


def test_things_of_one_class_are_shown_by_their_boxes(bag):
    truth = truth_of(bag)
    one = next(iter(truth.tracks.values()))
    boxes = np.tile([10.0, 20.0, 30.0, 40.0], (len(one), 1))
    twins = {
        id_: type(one)(
            id_, "car", one.stamps_s, one.positions_world_m + 3.0 * at, boxes_px=boxes, image_size=(640, 480)
        )
        for at, id_ in enumerate("ab")
    }
    asked = questions_at(replace(truth, tracks=twins), 6.0)
    assert asked and all(not q.text for q in asked)
    who = {"label": "car", "box": [10.0, 20.0, 30.0, 40.0], "image_size": [640, 480], "at": 6.0}
    assert asked[0].query["subject"] == who


def test_the_truth_is_a_labelled_topic(tmp_path):
    names = ("Track", "TrackArray")
    m = Messages({f"dsr_ros/msg/{name}": (REPO / "msg" / f"{name}.msg").read_text() for name in names})
    entries = []
    for at in range(20):
        stamp_ns = 100 * S + at * S // 10
        entries.append(("/tf", stamp_ns, m.tf(m.transform("odom", "base_link", stamp_ns, (0.1 * at, 0.0, 0.0)))))
        point = m.make("geometry_msgs/msg/Point", x=5.0, y=0.2 * at)
        pose = m.make(
            "geometry_msgs/msg/Pose", position=point, orientation=m.make("geometry_msgs/msg/Quaternion", w=1.0)
        )
        track = m.make(
            "dsr_ros/msg/Track",
            id="7",
            label="cart",
            observed=True,
            has_orientation=at > 2,
            pose=m.make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
            twist=m.make("geometry_msgs/msg/TwistWithCovariance", covariance=np.zeros(36)),
        )
        header = m.header(stamp_ns, "odom")
        entries.append(("/labels", stamp_ns, m.make("dsr_ros/msg/TrackArray", header=header, tracks=[track])))
    path = write_bag(tmp_path / "labelled", entries, store=m.store)
    for where in ("auto", "topic", "/labels"):
        track = truth_of(path, where).tracks["7"]
        assert track.label == "cart" and np.allclose(track.stamps_s, 0.1 * np.arange(20))
        assert np.allclose(track.positions_world_m[:, 1], 0.2 * np.arange(20))
        assert np.isnan(track.orientations_xyzw[2]).all() and track.orientations_xyzw[3, 3] == 1.0
    with pytest.raises(BenchError, match="no topic '/other'"):
        truth_of(path, "/other")
    with pytest.raises(BenchError, match="no truth lies beside"):
        truth_of(path, "sim")


def test_what_cannot_be_replayed_is_told(bag, questions, tmp_path, capsys):
    items = read_items(questions)
    predictions, two = tmp_path / "predictions.parquet", tmp_path / "two.parquet"
    write_items(predictions, [i for i in items if i.candidate.kind == "direction_prediction"][:3])
    write_items(two, [*items[:2], replace(items[2], candidate=replace(items[2].candidate, scene="other"))])
    bare = tmp_path / "bare"
    shutil.copytree(bag, bare)
    (bare / TRUTH_FILE).unlink()
    for words, message in (
        ((bare,), "0 topics of labelled tracks"),
        ((bag, "--service", "ask"), "give /NAMESPACE/ask"),
        ((bag, "--rate", 0), "must be positive"),
        ((bag, "--model", "vlm"), "give geometry, vlm:FOLDER"),
        ((bag, "--model", f"vlm:{tmp_path}"), "give --data QUESTIONS"),
        ((bag, "--data", questions, "--model", "vlm:none"), "none is no folder of a model"),
        ((bag, "--data", questions, "--frames", "1fps"), "--frames 1fps"),
        ((bag, "--data", predictions), "none of 3 questions can be asked in a replay"),
        ((bag, "--data", two), "asks about 2 recordings"),
        ((tmp_path / "none",), "none"),
    ):
        status, _, err = replayed(capsys, *words)
        assert status == 2 and message in err


def test_an_evaluation_without_answers_is_still_a_table_and_json():
    question = Question("distance", "How far?", {}, 4.0)
    found = Evaluation("bag", 1.0, (Asked(question, None, "NO_SUCH_OBJECT", 0.002, float("nan")),), 3)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["all"]["declined"] == {"NO_SUCH_OBJECT": 1} and told["all"]["accuracy"] is None
    assert told["kinds"]["distance"]["data_age_ms"] == {"p50": None, "p95": None, "p99": None}
    assert "– / – / –" in str(found) and "1 NO_SUCH_OBJECT" in str(found)
