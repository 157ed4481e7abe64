"""Benchmarks as data: published layouts -> rows, prompts, frames, replies -> outcomes."""

import json
import math
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsr_core.bench.dataset import options
from dsr_core.bench.frames import LAST_SECOND, FramePolicy, MissingVideoError, choose, clip_of, fit, locate
from dsr_core.bench.row import BenchError, Row
from dsr_core.bench.scores import MISSING, SCORED, UNPARSED
from dsr_core.bench.task import TASKS, find_task
from dsr_core.errors import DsrError
from tests.data import shared

DSR = {
    "videoID": "abc_0",
    "type": "rel_dir_pred",
    "question": "Following the perspective of camera, predict the moving direction of dog with final bounding box"
    " coordinates [1,2,30,40]",
    "options": ["A. (1) Behind|Below.", "B. (1) Front|Left.", "C. (1) Right.", "D. (1) Above."],
    "answer": "B",
}
STI = {
    "Video": "scene0001.mp4",
    "ID": 7,
    "Source": "ScanNet",
    "Scene": "indoor",
    "Task": "Spatial Relation",
    "time_start": 1.5,
    "time_end": 9.0,
    "Question": "Where is the chair?",
    "Candidates": {"A": "left", "B": "right", "C": "in front", "D": "behind", "E": "above"},
    "Answer": "C",
}
VSI = {
    "id": 3,
    "dataset": "scannet",
    "scene_name": "scene0002",
    "question_type": "object_rel_distance",
    "question": "Which is closest to the door?",
    "ground_truth": "B",
    "options": ["A. table", "B. chair", "C. bed", "D. sofa"],
    "pruned": False,
}
VSTI = {
    "video_path": "scannet/scene0003.mp4",
    "question_type": "camera_movement_direction",
    "question": "Which way did the camera move?",
    "options": ["A. forward", "B. backward"],
    "mc_answer": "A",
    "ground_truth": "forward",
}
MLLM = {
    "id": "q1",
    "video": "clip.mp4",
    "question": "How far did the camera move?",
    "options": {"A": "1.0 m", "B": "2.0 m", "C": "3.0 m", "D": "4.0 m"},
    "answer": "D",
    "task": "Camera absolute distance",
}


def write(path, records):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    elif path.suffix == ".json":
        path.write_text(json.dumps(records))
    else:
        cells = [list(records[0])] + [[str(v) for v in record.values()] for record in records]
        path.write_text("\n".join("\t".join(line) for line in cells) + "\n")
    return path


def test_every_task_says_what_a_result_needs():
    for name in TASKS:
        task = find_task(name)
        assert task.name == name and task.version >= 1 and task.title and task.source
        assert 0 < task.chance < 1 and task.prompt().name in task.prompts
        assert all(0 < reference.value < 1 and reference.source for reference in task.references)
        told = task.provenance(task.prompt(), task.frames)
        assert {"task_version", "prompt_version", "parser_version", "frames", "temperature"} <= set(told)
        json.dumps(told)


def test_tasks_are_found_by_their_usual_names():
    assert find_task("DSR-Bench").name == "dsr_bench"
    assert find_task("vlm4d").name == "vlm4d"
    assert find_task("STIBench").name == "sti_bench"
    with pytest.raises(BenchError, match="did you mean 'vsi_bench'"):
        find_task("vsi_bnch")
    with pytest.raises(BenchError, match="has no prompt 'brief'; it has cot, direct"):
        find_task("vlm4d").prompt("brief")


# --- DSR-Bench -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["benchmark.parquet", "questions.json", "questions.jsonl"])
def test_dsr_bench_is_read_from_its_file_and_others_like_it(tmp_path, name):
    row = find_task("dsr").read(write(tmp_path / name, [DSR, {**DSR, "type": "non_temp", "answer": "(D)"}]))
    assert row[0].choices == {"A": "(1) Behind|Below.", "B": "(1) Front|Left.", "C": "(1) Right.", "D": "(1) Above."}
    assert (row[0].answer, row[0].video, row[0].type, row[0].group) == ("B", "abc_0.mp4", "rel_dir_pred", "rel")
    assert (row[0].hide_from_s, row[1].hide_from_s) == (LAST_SECOND, None)
    assert row[1].answer == "D" and row[0].key != row[1].key


def test_dsr_bench_is_read_from_a_folder_and_from_easis_table(tmp_path):
    write(tmp_path / "benchmark.parquet", [DSR])
    assert find_task("dsr").read(tmp_path)[0].answer == "B"
    easi = {
        "index": 0,
        "video": "abc_0.mp4",
        "question": DSR["question"],
        "options": str(DSR["options"]),
        "answer": "B",
        "task_type": "rel_dir_pred",
    }
    row = find_task("dsr").read(write(tmp_path / "DSRBench.tsv", [easi]))[0]
    assert (row.answer, row.video, row.type, row.choices["C"]) == ("B", "abc_0.mp4", "rel_dir_pred", "(1) Right.")


def test_options_of_a_table_are_never_run(tmp_path):
    marker = tmp_path / "ran"
    evil = {**DSR, "options": f"[__import__('pathlib').Path({str(marker)!r}).touch()]"}
    with pytest.raises(DsrError, match="row 0"):
        find_task("dsr").read(write(tmp_path / "x.tsv", [evil]))
    assert not marker.exists()


def test_both_published_sizes_of_dsr_bench_are_known():
    task = find_task("dsr")
    row = Row("k", "v.mp4", "?", {"A": "x", "B": "y"}, "A")
    assert "published file" in task.about([row] * 1450)
    assert "paper" in task.about([row] * 1484)
    assert "do not compare" in task.about([row] * 1413)


def test_a_truncated_parquet_is_told_clearly(tmp_path):
    for name, record in (("dsr", DSR), ("sti", {**STI, "Candidates": json.dumps(STI["Candidates"])})):
        path = write(tmp_path / "benchmark.parquet", [record] * 50)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DsrError, match=r"benchmark\.parquet.* no whole parquet file.*fetch"):
            find_task(name).read(path)


def test_unreadable_files_are_told_with_their_row(tmp_path):
    task = find_task("vsi")
    with pytest.raises(BenchError, match="there is no file"):
        task.read(tmp_path / "none.jsonl")
    with pytest.raises(BenchError, match=r"holds none of test\.jsonl"):
        task.read(tmp_path)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(BenchError, match="is empty"):
        task.read(tmp_path / "empty.jsonl")
    cut = write(tmp_path / "cut.jsonl", [VSI, VSI])
    cut.write_text(cut.read_text()[:-20])
    with pytest.raises(BenchError, match=r"line 2: no JSON.*cut off"):
        task.read(cut)
    with pytest.raises(BenchError, match=r"row 1.*is none of"):
        task.read(write(tmp_path / "a.jsonl", [VSI, {**VSI, "ground_truth": "F"}]))
    with pytest.raises(BenchError, match="row 0 has no scene_name"):
        task.read(write(tmp_path / "b.jsonl", [{k: v for k, v in VSI.items() if k != "scene_name"}]))
    with pytest.raises(BenchError, match="row 0: the answer 'many' is no number"):
        task.read(write(tmp_path / "c.jsonl", [{**VSI, "options": None, "ground_truth": "many"}]))
    with pytest.raises(BenchError, match=r"is none of .parquet"):
        task.read(Path(__file__))


# --- the others ------------------------------------------------------------------------------------------------------


def test_vlm4d_keys_hold_the_file_because_ids_repeat():
    task = find_task("vlm4d")
    rows = task.read(shared("vlm4d"))
    assert len(rows) == 1816 and len({row.key for row in rows}) == 1816
    assert "both files" in task.about(rows)
    assert Counter(row.type for row in rows) == {"exo": 922, "ego": 449, "directional": 400, "false_positive": 45}
    by_key = {row.key: row for row in rows}
    assert by_key["real|validation_1"].question != by_key["synthetic|validation_1"].question
    assert by_key["real|validation_1"].video.startswith("videos_real/davis/")
    twins = by_key["real|validation_633"]
    assert twins.letters == ("C", "D")
    assert {task.outcome(twins, letter).score for letter in "CD"} == {1.0}
    assert task.outcome(twins, twins.choices["C"]).status == UNPARSED


def test_vlm4d_with_numbers_as_options_repeated_ids_and_answers_that_are_no_option(tmp_path):
    task = find_task("vlm4d")
    record = {"id": "validation_5", "video": "https://h/x/resolve/main/a/b.mp4", "question": "How many?"}
    record |= {"choices": {"A": 1, "B": 2, "C": 0, "D": 13}, "answer": 2}
    rows = task.read(write(tmp_path / "synthetic_mc.json", [record, {**record, "answer": 0}]))
    assert [row.key for row in rows] == ["synthetic|validation_5", "synthetic|validation_5#2"]
    assert [row.answer for row in rows] == ["B", "C"] and rows[0].video == "a/b.mp4"
    assert task.outcome(rows[0], "two").score == 1.0
    assert task.outcome(rows[0], "There are 13.").score == 0.0
    with pytest.raises(BenchError, match="row 0: the answer '7' is none"):
        task.read(write(tmp_path / "real_mc.json", [{**record, "answer": 7}]))


@pytest.mark.parametrize(
    "candidates", [STI["Candidates"], json.dumps(STI["Candidates"]), list(STI["Candidates"].values())]
)
def test_sti_bench_takes_candidates_in_every_shape(tmp_path, candidates):
    task = find_task("sti")
    records = [{**STI, "Candidates": candidates}, {**STI, "Candidates": candidates, "time_end": 12.0}]
    rows = task.read(write(tmp_path / "qa.parquet", records))
    assert [row.key for row in rows] == ["scene0001.mp4|7|1.5|9.0", "scene0001.mp4|7|1.5|12.0"]
    assert rows[0].choices == STI["Candidates"] and rows[0].answer == "C"
    assert (rows[0].window, rows[0].type, rows[0].group) == ((1.5, 9.0), "Spatial Relation", "indoor")
    text = task.prompt().message(rows[0], [0.0, 0.5, 1.0]).after
    assert "From 1.5 seconds to 9 seconds. Where is the chair?\n(A) left\n(B) right" in text
    assert "sampled at about 2.00 FPS" in text


def test_sti_bench_is_read_from_easis_table(tmp_path):
    record = {**STI, "Candidates": str(list(STI["Candidates"].values()))}
    row = find_task("sti").read(write(tmp_path / "STIBench.tsv", [record]))[0]
    assert (row.window, row.answer, row.choices["E"]) == ((1.5, 9.0), "C", "above")


def test_options_of_every_shape_are_the_same_options():
    wanted = {"A": "left", "B": "right", "C": "2"}
    shapes = [
        ["left", "right", 2],
        ["A. left", "B. right", "C. 2"],
        ["(A) left", "(B) right", "(C) 2"],
        np.array(["A. left", "B. right", "C. 2"], dtype=object),
        {"A": "left", "B": "right", "C": 2.0, "D": None},
        "['A. left', 'B. right', 'C. 2']",
        '{"A": "left", "B": "right", "C": 2}',
    ]
    for shape in shapes:
        assert options(shape, "row 0") == wanted, shape
    for wrong in ("left", [], ["one"], 5, "[1, 2", {"AB": "x", "CD": "y"}):
        with pytest.raises(BenchError, match="row 0"):
            options(wrong, "row 0")


def test_vsi_bench_has_choices_and_numbers(tmp_path):
    task = find_task("vsi")
    counting = {**VSI, "question_type": "object_counting", "ground_truth": "4", "options": None}
    rows = task.read(write(tmp_path / "test.jsonl", [VSI, counting]))
    assert [row.key for row in rows] == ["3", "3#2"]
    assert rows[0].choices["B"] == "chair" and rows[0].video == "scannet/scene0002.mp4"
    assert rows[1].choices is None and rows[1].number == 4.0
    assert task.outcome(rows[0], "B.").score == 1.0
    assert task.outcome(rows[1], "four").score == 1.0
    assert task.outcome(rows[1], "about 5").score == pytest.approx(0.6)
    assert task.outcome(rows[1], "several").status == UNPARSED
    assert task.prompt().message(rows[1]).after.endswith("single word or phrase.")
    assert "Options:\nA. table\nB. chair" in task.prompt().message(rows[0]).after
    parquet = task.read(write(tmp_path / "test_debiased.parquet", [VSI, counting]))
    assert [row.number for row in parquet] == [None, 4.0]


def test_vsti_bench_goes_by_the_letter_of_the_choice(tmp_path):
    numeric = {
        **VSTI,
        "question_type": "camera_displacement",
        "options": None,
        "mc_answer": None,
        "ground_truth": "1.5",
    }
    rows = find_task("vsti").read(write(tmp_path / "test.parquet", [VSTI, numeric]))
    assert (rows[0].answer, rows[1].number) == ("A", 1.5)
    assert [row.key for row in rows] == ["0", "1"]


def test_mllm4d_bench_reads_generic_records(tmp_path):
    task = find_task("mllm4d")
    rows = task.read(write(tmp_path / "bench.json", [MLLM, {**MLLM, "id": "q2", "answer": "2.0 m"}]))
    assert [row.answer for row in rows] == ["D", "B"]
    assert task.outcome(rows[0], "4 meters").score == 1.0
    outcomes, scores = task.score(rows, {"q1": "D", "q2": "A"})
    assert scores.headline.value == 0.5 and len(outcomes) == 2


def test_our_own_files_tell_from_when_the_future_is_hidden(tmp_path):
    record = {
        **DSR,
        "scene": "kitti_0001",
        "group": "g1",
        "future_from_s": 4.5,
        "image_width": 1242,
        "image_height": 375,
    }
    task = find_task("own")
    row = task.read(write(tmp_path / "questions.parquet", [record]))[0]
    assert row.hide_from_s == 4.5 and row.fields["scene"] == "kitti_0001"
    assert task.prompt().message(row, [0.0, 1.0]).before == "The frames were taken at 0.0, 1.0 seconds.\n"


# --- prompts and replies ---------------------------------------------------------------------------------------------


def test_prompts_have_the_published_words(tmp_path):
    row = find_task("dsr").read(write(tmp_path / "b.parquet", [DSR]))[0]
    message = find_task("dsr").prompt().message(row)
    assert message.after.startswith("These are the frames of a video. Select the best answer")
    assert "Respond with only the letter (A, B, C, or D) of the correct option.\nQuestion: Following" in message.after
    assert message.after.endswith("D. (1) Above.\nAnswer: ")
    training = find_task("dsr").prompt("training").message(row).after
    assert training.endswith("Options:\nA (1) Behind|Below.\nB (1) Front|Left.\nC (1) Right.\nD (1) Above.")
    vlm4d = find_task("vlm4d")
    assert 'final answer is: $LETTER"' in vlm4d.prompt("cot").message(row).after
    assert "Do not generate any intermediate reasoning" in vlm4d.prompt("direct").message(row).after
    assert "A: (1) Behind|Below.\nB: " in vlm4d.prompt("direct").message(row).after


def test_replies_are_scored_missing_or_unparsed():
    task = find_task("dsr")
    rows = [Row(f"{i}", "v.mp4", "?", {"A": "left", "B": "right"}, "A", type="abs_dir") for i in range(4)]
    outcomes, scores = task.score(rows, {"0": "A", "1": "B", "2": ""})
    assert [o.status for o in outcomes] == [SCORED, SCORED, UNPARSED, MISSING]
    assert (scores.headline.rows, scores.headline.unparsed, scores.headline.missing) == (3, 1, 1)
    assert scores.headline.value == pytest.approx(1 / 3)
    assert outcomes[0].reply == "A" and outcomes[0].parsed == "A"
    assert task.outcome(rows[0], None, "the video is missing").why == "the video is missing"
    with pytest.raises(BenchError, match="no row of dsr_bench, as 'nope'; its keys look like '0'"):
        task.score(rows, {"nope": "A"})


def test_a_row_whose_answer_is_no_option_is_refused():
    with pytest.raises(BenchError, match="'C' is none of its options A, B"):
        Row("k", "v", "?", {"A": "x", "B": "y"}, "C")
    with pytest.raises(BenchError, match="must be a number"):
        Row("k", "v", "?", None, number=math.nan)


# --- frames ----------------------------------------------------------------------------------------------------------

PLAIN = Row("k", "clip.mp4", "?", {"A": "x", "B": "y"}, "A")
PREDICTS = Row("p", "clip.mp4", "?", {"A": "x", "B": "y"}, "A", hide_from_s=LAST_SECOND)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder with clip.mp4: 50 frames at 10 Hz whose grey value is five times their number."""
    root = tmp_path_factory.mktemp("videos")
    writer = cv2.VideoWriter(str(root / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (64, 48))
    for i in range(50):
        writer.write(np.full((48, 64, 3), 5 * i, np.uint8))
    writer.release()
    (root / "broken.mp4").write_bytes(b"\0" * 500)
    (root / "images").mkdir()
    for i in range(6):
        cv2.imwrite(str(root / "images" / f"{i:05d}.png"), np.full((48, 64, 3), 40 * i, np.uint8))
    return root


def test_frames_are_spread_as_published():
    assert choose(100, 25.0, PLAIN, FramePolicy(count=5)) == (0, 25, 50, 74, 99)
    assert choose(100, 25.0, PLAIN, FramePolicy(count=32)) == tuple(np.round(np.linspace(0, 99, 32)).astype(int))
    assert choose(10, 25.0, PLAIN, FramePolicy(count=32)) == tuple(range(10))
    assert choose(100, 25.0, PLAIN, FramePolicy("inner", count=3)) == (25, 50, 75)
    assert choose(100, 25.0, PLAIN, FramePolicy("rate", rate_hz=1.0)) == (0, 25, 50, 75)
    assert len(choose(10_000, 25.0, PLAIN, FramePolicy("rate", rate_hz=1.0, count=32))) == 32
    assert choose(1, 25.0, PLAIN, FramePolicy()) == (0,)


def test_predictions_do_not_see_the_last_second_unless_asked_to():
    assert max(choose(100, 25.0, PREDICTS, FramePolicy())) == 75
    assert max(choose(100, 25.0, PREDICTS, FramePolicy(hide_future=False))) == 99
    assert max(choose(100, 25.0, PLAIN, FramePolicy())) == 99
    known = Row("k", "v", "?", {"A": "x", "B": "y"}, "A", hide_from_s=2.0)
    assert max(choose(100, 25.0, known, FramePolicy())) == 50
    assert choose(10, 25.0, PREDICTS, FramePolicy()) == (0,)


def test_a_window_can_be_shown_alone():
    row = Row("k", "v", "?", {"A": "x", "B": "y"}, "A", window=(1.0, 2.0))
    shown = choose(100, 25.0, row, FramePolicy(count=4, within_window=True))
    assert (min(shown), max(shown)) == (25, 50)
    assert max(choose(100, 25.0, row, FramePolicy(count=4))) == 99


def test_orders_show_what_a_score_owes_to_the_video():
    ordered = choose(100, 25.0, PLAIN, FramePolicy())
    shuffled = choose(100, 25.0, PLAIN, FramePolicy(order="shuffled", seed=1))
    assert sorted(shuffled) == list(ordered) and shuffled != ordered
    assert shuffled == choose(100, 25.0, PLAIN, FramePolicy(order="shuffled", seed=1))
    assert shuffled != choose(100, 25.0, PLAIN, FramePolicy(order="shuffled", seed=2))
    assert shuffled != choose(100, 25.0, PREDICTS, FramePolicy(order="shuffled", seed=1, hide_future=False))
    assert choose(100, 25.0, PLAIN, FramePolicy(order="reversed")) == ordered[::-1]
    assert choose(100, 25.0, PLAIN, FramePolicy(order="first")) == (0,) * 32


def test_pictures_are_decoded_when_asked_for(videos):
    clip = clip_of(videos, PLAIN, FramePolicy(count=5, multiple=1))
    assert clip.indices == (0, 12, 24, 37, 49) and clip.times_s == (0.0, 1.2, 2.4, 3.7, 4.9)
    pictures = clip.decode()
    assert [p.shape for p in pictures] == [(48, 64, 3)] * 5
    assert [round(float(p.mean())) for p in pictures] == pytest.approx([5 * i for i in clip.indices], abs=4)
    backwards = clip_of(videos, PLAIN, FramePolicy(count=5, multiple=1, order="reversed"))
    assert backwards.times_s == clip.times_s
    assert backwards.decode()[0].mean() > backwards.decode()[-1].mean()
    blind = clip_of(videos, PLAIN, FramePolicy(order="none"))
    assert blind.indices == () and blind.decode() == []


def test_a_folder_of_images_is_a_video(videos):
    row = Row("k", "somewhere/images.mp4", "?", {"A": "x", "B": "y"}, "A")
    clip = clip_of(videos, row, FramePolicy(count=3, multiple=1))
    assert clip.path.name == "images"
    assert [round(float(p.mean())) for p in clip.decode()] == [40 * i for i in clip.indices]


def test_missing_and_broken_videos_are_reported(videos):
    for name in ("none.mp4", "broken.mp4", ""):
        row = Row("k", name, "?", {"A": "x", "B": "y"}, "A")
        with pytest.raises(MissingVideoError):
            clip_of(videos, row, FramePolicy()).decode()
    with pytest.raises(MissingVideoError, match="is not below"):
        locate(videos, "../../etc/passwd")
    assert locate(videos, "https://h/clip.mp4") == videos / "clip.mp4"


def test_a_video_that_is_shorter_than_it_claims_is_shown_as_far_as_it_goes(videos, monkeypatch):
    monkeypatch.setattr("dsr_core.sources.video.Video.__len__", lambda self: 80)
    pictures = clip_of(videos, PLAIN, FramePolicy(count=5, multiple=1)).decode()
    assert [round(float(p.mean())) for p in pictures] == pytest.approx([0, 60, 120, 185, 245], abs=4)


def test_pictures_are_fitted_into_the_budget_of_pixels(videos):
    assert fit(640, 360, 602_112, 28) == (644, 364)
    wide, high = fit(1920, 1080, 602_112, 28)
    assert wide * high <= 602_112 and wide % 28 == high % 28 == 0
    assert wide / high == pytest.approx(16 / 9, rel=0.05)
    assert fit(1920, 1080, 1920 * 1080, 1) == (1920, 1080)
    assert clip_of(videos, PLAIN, FramePolicy(count=1, max_pixels=28 * 28)).decode()[0].shape == (28, 28, 3)


def test_policies_that_cannot_be_are_refused():
    for wrong in ({"kind": "some"}, {"order": "up"}, {"count": 0}, {"rate_hz": 0.0}, {"max_pixels": 10}):
        with pytest.raises(BenchError):
            FramePolicy(**wrong)
