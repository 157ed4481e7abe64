"""`dsr qa`: the same file whoever works and however often it is stopped; reports, formats, failures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dsr_core import ask, load_scene
from dsr_core.cli import main
from dsr_core.qa.curation.recordings import expand
from dsr_core.qa.files.codec import head_of, pack, unpack
from dsr_core.qa.files.readers import read_items, read_rows
from dsr_core.qa.item import Candidate, Item, QaError
from dsr_core.qa.making.generate import candidates
from dsr_core.qa.running import blocks, shards, thinning
from dsr_core.qa.running.assemble import METADATA, shuffled
from dsr_core.qa.running.engine_local import Here
from dsr_core.qa.running.run import make_questions, report_path, work_path
from dsr_core.qa.running.workfolder import WorkFolder
from tests.qa_sets import CONFIG, Interrupted, Opens, made, save_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return save_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def whole(scenes, tmp_path_factory) -> bytes:
    """The set that all others must equal: made here, in one go."""
    return made(scenes, tmp_path_factory.mktemp("whole") / "set.parquet")


# --- the same file ---------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(scenes, whole, tmp_path):
    assert made(scenes, tmp_path / "a.parquet") == whole
    assert made(scenes, tmp_path / "b.parquet", replace(CONFIG, seed=4)) != whole


@pytest.mark.parametrize("size", [1, 3, 100])
def test_how_shards_are_cut_makes_no_difference(scenes, whole, tmp_path, size):
    assert made(scenes, tmp_path / "set.parquet", size=size) == whole


def test_an_interrupted_run_goes_on_with_what_it_has(scenes, whole, tmp_path):
    out = tmp_path / "set.parquet"
    with pytest.raises(KeyboardInterrupt):
        made(scenes, out, opener=Interrupted(str(tmp_path / "first"), at="room07"), size=3)
    assert not out.exists() and work_path(out).is_dir()
    opener = Opens(str(tmp_path / "second"))
    assert made(scenes, out, opener=opener, size=3) == whole
    assert opener.opened() == [f"room{i:02d}" for i in range(6, 10)]
    assert not work_path(out).exists()


def test_a_run_begun_with_other_settings_is_not_mistaken_for_this_one(scenes, whole, tmp_path):
    out = tmp_path / "set.parquet"
    with pytest.raises(KeyboardInterrupt):
        made(scenes, out, replace(CONFIG, seed=9), opener=Interrupted(str(tmp_path / "log"), at="room07"), size=3)
    assert made(scenes, out) == whole


def test_a_changed_recording_is_asked_about_anew(tmp_path):
    scenes = save_scenes(tmp_path / "scenes", 2)
    before = shards.cut(scenes, CONFIG.asked, 0, shards.OpenRecording())[0].key
    os.utime(scenes[0].path, ns=(1, 1))
    assert shards.cut(scenes, CONFIG.asked, 0, shards.OpenRecording())[0].key != before


def test_a_killed_command_goes_on_to_the_same_file(scenes, tmp_path):
    folder = str(Path(scenes[0].path).parent)
    # Recordings that are not saved scenes are shards of their own: there is a moment to kill it in between.
    words = [folder, "sim:seed=1,duration=8,render=0", "sim:seed=2,duration=8,render=0"]
    words += ["--per-scene", "60", "--distractors", "dsr", "--workers", "1", "--no-progress"]
    assert main(["qa", *words, "--out", str(tmp_path / "whole.parquet")]) == 0
    out = tmp_path / "killed.parquet"
    command = [sys.executable, "-m", "dsr_core.cli", "qa", *words, "--out", str(out)]
    run = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    try:
        while run.poll() is None and not list(work_path(out).glob("*.part")):
            time.sleep(0.01)
    finally:
        run.kill()
    assert run.wait() == -signal.SIGKILL and not out.exists()
    assert main(["qa", *words, "--out", str(out)]) == 0
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir() if "killed" in p.name) == ["killed.parquet", "killed.report.json"]


def test_two_runs_do_not_share_an_output(scenes, tmp_path):
    out = tmp_path / "set.parquet"
    with WorkFolder(work_path(out)), pytest.raises(QaError, match="in use by another run"):
        made(scenes, out)


# --- what is in it ---------------------------------------------------------------------------------------------------


def test_answers_are_those_of_the_engine(scenes, whole, tmp_path):
    (tmp_path / "set.parquet").write_bytes(whole)
    items = read_items(tmp_path / "set.parquet")
    loaded = {r.name: load_scene(r.path) for r in scenes}
    assert len({item.candidate.type for item in items}) == 12
    for item in items[:40]:
        answer = ask(loaded[item.candidate.scene], item.candidate.question, choices=item.options)
        assert answer.choice_index == item.answer_index, item.candidate.question


def test_rows_are_shuffled_and_none_is_lost_or_doubled(scenes, whole, tmp_path):
    (tmp_path / "set.parquet").write_bytes(whole)
    rows = read_rows(tmp_path / "set.parquet")
    asked = {(r.name, c.question) for r in scenes for c in candidates(load_scene(r.path), CONFIG.asked, 3, r.name)}
    assert len(rows) == len({(row.scene, row.question) for row in rows})
    assert {(row.scene, row.question) for row in rows} <= asked
    names = [row.scene for row in rows]
    assert names != sorted(names)


def test_the_report_adds_up_and_is_in_the_file(scenes, whole, tmp_path):
    out = tmp_path / "set.parquet"
    with Here() as engine:
        report = make_questions(scenes, out, CONFIG, engine)
    assert json.loads(report_path(out).read_text()) == report
    assert json.loads(pq.read_schema(out).metadata[METADATA.encode()]) == report
    rows = read_rows(out)
    assert report["questions"] == len(rows) == sum(t["questions"] for t in report["types"].values())
    assert report["asked"] == report["questions"] + sum(report["dropped"].values())
    assert report["tried"] == report["asked"] + sum(report["not_asked"].values())
    assert report["settings"]["seed"] == 3 and report["versions"]["pyarrow"]


@pytest.mark.parametrize(
    ("name", "layout"),
    [("a.json", "dsr"), ("b.json", "qwen"), ("b.jsonl", "qwen"), ("c.jsonl", "swift"), ("d.parquet", "parquet")],
)
def test_readers_read_every_layout(scenes, whole, tmp_path, name, layout):
    (tmp_path / "whole.parquet").write_bytes(whole)
    made(scenes, tmp_path / name, layout=layout)
    told = [{(r.question, r.options, r.answer_index) for r in read_rows(tmp_path / n)} for n in (name, "whole.parquet")]
    assert told[0] == told[1]


# --- physical options, blocks and the filter -------------------------------------------------------------------------


def test_physical_options_come_in_whole_groups_whatever_the_shards(tmp_path):
    scenes = save_scenes(tmp_path / "scenes", 6)
    asked = replace(CONFIG.asked, per_scene=60)
    config = replace(CONFIG, asked=asked, distractors="physical", block=200)
    alone = made(scenes, tmp_path / "a.parquet", config)
    assert made(scenes, tmp_path / "b.parquet", config, size=2) == alone
    groups = {}
    for item in read_items(tmp_path / "a.parquet"):
        groups.setdefault(item.group, []).append(item)
    for group in groups.values():
        assert sorted(i.candidate.answer for i in group) == sorted(group[0].options)


def test_blocks_hold_every_scene_once_whatever_the_shards():
    counts = {f"s{i:02d}": (7 * i) % 13 for i in range(30)}
    names = list(counts)
    plans = []
    for size in (1, 4, 30):
        cut = [{name: counts[name] for name in names[i : i + size]} for i in range(0, 30, size)]
        plan = blocks.plan(cut, 40)
        plans.append([[name for part in block for name in part.scenes] for block in plan])
        for block in plan:
            assert all(set(part.scenes) <= set(cut[part.shard]) for part in block)
    assert plans[0] == plans[1] == plans[2]
    assert [name for block in plans[0] for name in block] == names
    sizes = [sum(counts[name] for name in block) for block in plans[0]]
    assert len(sizes) == round(sum(counts.values()) / 40) and max(sizes) < 60
    assert blocks.plan([{"a": 0}], 40) == []


def _item(number: int, type_: str = "rel_dis", group: str = "") -> Item:
    candidate = Candidate(
        scene=f"s{number % 7}",
        video_id="",
        type=type_,
        kind="distance",
        question=f"Question {number}?",
        answer="yes",
        labels=("increasing",),
        viewer="camera",
        things=("car",),
        tracks=("1",),
        window=(0.0, 1.5),
        viewpoint={"agent": "camera", "mode": "relative", "at": None},
        query={"kind": "distance"},
        covariates=(0.1, 0.2),
        image_size=(640, 360),
    )
    return Item(candidate, ("yes", "no"), 0, group=group)


def test_dropped_groups_are_left_out_whole_and_rows_stay_within_their_bound():
    data = [
        blocks.write_block([_item(50 * b + i, group=f"g{b}-{i // 4}") for i in range(40)], {}, {}) for b in range(4)
    ]
    tables = list(shuffled(4, data.__getitem__, {"g0-0", "g3-9"}, seed=1, among=60))
    rows = [[row["question"] for row in table.to_pylist()] for table in tables]
    numbers = [{int(q.split()[1][:-1]) for q in part} for part in rows]
    assert [len(part) for part in numbers] == [76, 76]
    assert max(numbers[0]) < 100 <= min(numbers[1])
    assert not {0, 1, 2, 3, 186, 187, 188, 189} & (numbers[0] | numbers[1])
    assert rows[0] != sorted(rows[0], key=lambda q: int(q.split()[1][:-1]))


def test_attacks_cover_every_block_of_a_type_and_stay_small():
    given = [{"a": 10, "b": 3}, {"a": 20}, {"b": 4}, {"a": 30, "b": 1}]
    found = thinning.attacks(given, size=30)
    assert sorted(n for x in found if x.type == "a" for n in x.blocks) == [0, 1, 3]
    assert [x.blocks for x in found if x.type == "b"] == [(0, 2, 3)]
    assert [x.blocks for x in found if x.type == "a"] == [(0, 1), (3,)]


def test_the_filter_drops_whole_groups_of_what_can_be_guessed():
    items = []
    for number in range(400):
        told = number % 2  # the question gives its answer away
        base = _item(number, "rel_dis", f"g{number // 2}").candidate
        base = replace(base, question=f"{'red' if told else 'blue'} thing {number}?", answer=("no", "yes")[told])
        base = replace(base, scene=f"s{number // 2 % 7}")
        items.append(Item(base, ("yes", "no"), 1 - told, group=f"g{number // 2}"))
    block = blocks.write_block(items, {}, {})
    attack = thinning.attacks([{"rel_dis": 400}])[0]
    found = json.loads(thinning.find_guessable(thinning.questions_of(attack, lambda n: block), seed=0))
    assert found["dropped"] == 2 * len(found["groups"]) > 100
    assert found["rounds"][0]["accuracy"] > 0.9


def test_a_folder_of_bags_is_several_recordings_and_the_pieces_of_one_bag_are_one(tmp_path):
    for folder, files in {
        "two": ("kitchen.mcap", "yard.mcap"),
        "pieces": ("yard_0.mcap", "yard_1.mcap"),
        "mixed": ("loose.mcap", "whole/metadata.yaml", "whole/whole_0.db3"),
    }.items():
        for file in files:
            (tmp_path / folder / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / file).touch()
    assert [r.name for r in expand([str(tmp_path / "two")])] == ["kitchen", "yard"]
    assert [r.name for r in expand([str(tmp_path / "pieces")])] == ["pieces"]
    assert [r.name for r in expand([str(tmp_path / "mixed")])] == ["loose", "whole"]


# --- failures --------------------------------------------------------------------------------------------------------


def test_recordings_that_cannot_be_read_are_told_and_cost_the_others_nothing(tmp_path, capsys):
    scenes = save_scenes(tmp_path / "scenes", 3)
    data = Path(scenes[0].path).read_bytes()
    (tmp_path / "scenes/cut.scene.npz").write_bytes(data[: len(data) // 2])
    (tmp_path / "scenes/text.scene.npz").write_text("no scene")
    words = ["qa", str(tmp_path / "scenes"), "--out", str(tmp_path / "set.parquet"), "--distractors", "dsr"]
    assert main([*words, "--workers", "1"]) == 1
    out = capsys.readouterr().out
    assert "2 of 5 recordings could not be asked about" in out and "cut: " in out and "text: " in out
    assert {row.scene for row in read_rows(tmp_path / "set.parquet")} == {"room00", "room01", "room02"}


def test_nothing_is_written_where_no_recording_can_be_read(tmp_path, capsys):
    (tmp_path / "a.scene.npz").write_text("no scene")
    assert main(["qa", str(tmp_path / "a.scene.npz"), "--out", str(tmp_path / "set.parquet"), "--workers", "1"]) == 2
    assert "none of 1 recordings could be asked about; a: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.scene.npz"]


def test_a_set_without_questions_says_why(scenes, tmp_path):
    config = replace(CONFIG, asked=replace(CONFIG.asked, min_window_s=15.0, max_window_s=20.0))
    with pytest.raises(QaError, match=r"none is left: .*long enough"):
        made(scenes, tmp_path / "set.parquet", config)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "set.txt"], "ends in .txt; end it in .parquet, .json, .jsonl"),
        (["--out", "set.json", "--format", "parquet"], "ends in .parquet"),
        (["--out", "set.parquet", "--address", "auto"], "add --engine ray"),
        (["--out", "set.parquet", "--set", "min_windows=3"], "names: .*min_window_s"),
        (["--out", "set.parquet", "--set", "min_window_s=long"], "is no JSON"),
        (["--out", "set.parquet", "--workers", "0"], "workers = 0 must be at least 1"),
        (["--out", "set.parquet", "--seed", "-1"], "seed = -1 must be"),
        (["--out", "set.parquet", "--per-scene", "0"], "per_scene = 0 must be"),
    ],
)
def test_wrong_usage_is_told(scenes, tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    assert main(["qa", scenes[0].path, *words]) == 2
    assert re.search(told, capsys.readouterr().err)


def test_settings_reach_the_questions(scenes, tmp_path, capsys):
    words = ["qa", scenes[0].path, scenes[1].path, "--out", str(tmp_path / "set.parquet"), "--workers", "1", "--json"]
    words += ["--distractors", "dsr", "--refer", "names", "--set", "min_window_s=5", "--set", "max_window_s=6"]
    assert main([*words, "--per-scene", "20"]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = read_items(tmp_path / "set.parquet")
    assert report["questions"] == len(rows) and report["settings"]["asked"]["min_window_s"] == 5
    spans = [i.candidate.window[1] - i.candidate.window[0] for i in rows if "dir_pred" not in i.candidate.type]
    assert spans and all(4.95 <= s <= 6.05 for s in spans)
    assert not any("[" in i.candidate.question for i in rows)


# --- parts -----------------------------------------------------------------------------------------------------------


def test_packed_questions_come_back_as_they_were(scenes):
    found = candidates(load_scene(scenes[0].path), CONFIG.asked, 0, "room00")
    data = pack(found, {"scenes": {"room00": len(found)}})
    back, head = unpack(data)
    assert pack(back, head) == data and head == head_of(data) == {"scenes": {"room00": 12}}
    assert [(c.question, c.labels, c.tracks, c.window, c.covariates) for c in back] == [
        (c.question, c.labels, c.tracks, c.window, c.covariates) for c in found
    ]
    with pytest.raises(QaError, match="--no-resume"):
        unpack(data[:-9])
