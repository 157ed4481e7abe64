"""Rows of question sets with their scenes and frames: what is shown, what is kept, and what is left out and told."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pyarrow")

import pyarrow as pa
import pyarrow.parquet as pq

from dsr_core.qa.files.readers import read_rows
from dsr_core.scene import Scene
from dsr_core.sources.convert import convert
from dsr_core.sources.saved import SavedScene
from dsr_core.vlm import frames_cache
from dsr_core.vlm.disk_cache import DiskCache, Memory
from dsr_core.vlm.faults import Faults, RowFault
from dsr_core.vlm.frames_cache import FrameConfig
from dsr_core.vlm.recordings import Places, Recordings
from dsr_core.vlm.rows import QuestionSet, shared_scenes
from dsr_core.vlm.sources import GeometrySource, make_sources
from dsr_core.vlm.token_cache import CachedSource, with_cache
from dsr_core.vlm.values import Clip, Context, GeometryTokens, VlmError
from tests.smooth_scenes import smooth_scene
from tests.test_sources_video import bar, write_video

QUESTION = "Between 1.0s and 5.0s, how does the distance between car 1 and the camera change?"


def write_set(path, *rows):
    """A parquet file with our columns; rows give what differs."""
    plain = {
        "videoID": "clip", "type": "abs_dis", "question": QUESTION, "options": ["A. more", "B. less"], "answer": "B",
        "scene": "clip", "start_s": 1.0, "end_s": 5.0, "future_from_s": None, "image_width": 640, "image_height": 360,
    }  # fmt: skip
    schema = pa.schema(
        [(n, pa.list_(pa.string()) if n == "options" else pa.float64() if n.endswith("_s") else
          pa.int64() if n.startswith("image") else pa.string()) for n in plain]
    )  # fmt: skip
    pq.write_table(pa.Table.from_pylist([plain | row for row in rows], schema), path)
    return path


@pytest.fixture
def places(tmp_path):
    """scenes/clip.scene.npz and videos/deep/clip.avi: 8 frames at 2 Hz, 96 x 64."""
    for name in ("scenes", "videos/deep"):
        (tmp_path / name).mkdir(parents=True)
    smooth_scene(1, duration_s=6.0).save(tmp_path / "scenes" / "clip.scene.npz")
    write_video(tmp_path / "videos" / "deep" / "clip.avi", rate_hz=2.0)
    return Places(scenes=str(tmp_path / "scenes"), videos=str(tmp_path / "videos"))


def question_set(tmp_path, places, *rows, frames=FrameConfig(count=4), sources=("scene",), **options):  # noqa: B008
    path = write_set(tmp_path / "set.parquet", *rows)
    recordings = Recordings(places, tmp_path / "cache", frames)
    return QuestionSet([path], recordings, make_sources({name: {} for name in sources}), **options)


def test_a_row_becomes_what_a_model_is_asked(tmp_path, places):
    questions = question_set(tmp_path, places, {})
    questions.check()
    asked = questions.asked(0)
    assert (asked.key, asked.options, asked.answer_index) == ("set.parquet row 0", ("more", "less"), 1)
    (clip,) = asked.clips
    assert list(clip.times_s) == [0.0, 1.0, 2.5, 3.5] and clip.frames[0].shape == (64, 96, 3)
    assert [round((bar(f) - 3.5) / 8) for f in clip.frames] == [0, 2, 5, 7]
    assert len(asked.geometry["scene"]) > 2
    assert questions.asked(0).geometry["scene"] is asked.geometry["scene"], "kept in memory"


def test_boxes_are_told_in_pixels_of_what_is_shown(tmp_path, places):
    question = "How does the distance of car with bounding box coordinates [320,180,640,360] to the camera change?"
    rows = ({"question": question}, {"question": question, "image_width": None, "image_height": None})
    questions = question_set(tmp_path, places, *rows)
    assert "[48,32,96,64]" in questions.asked(0).question
    assert questions.asked(1).question == question
    assert question_set(tmp_path, places, *rows, frames=None).asked(0).question == question


def test_the_future_is_hidden_in_scene_and_frames(tmp_path, places):
    seen = []

    class Watching(GeometrySource):
        name, features = "watching", 1

        def tokens(self, context):
            seen.append((context.scene.end_s, list(context.clip.times_s), context.window))
            return GeometryTokens(np.ones((1, 1)))

        def settings(self):
            return {}

    rows = ({"future_from_s": 2.6}, {"type": "rel_dir_pred"}, {}, {"future_from_s": -0.5})
    questions = question_set(tmp_path, places, *rows, frames=FrameConfig(count=4, kept=8))
    questions.sources["watching"] = Watching()
    usable = questions.usable(range(4))
    assert [asked.key[-1] for asked in usable] == ["0", "1", "2"]
    assert [(round(end, 1), times) for end, times, _ in seen] == [
        (2.6, [0.0, 1.0, 1.5, 2.5]), (5.0, [0.0, 1.0, 2.5, 3.5]), (6.0, [0.0, 1.0, 2.5, 3.5])
    ]  # fmt: skip
    assert {window for _, _, window in seen} == {(1.0, 5.0)}
    assert questions.faults.by_reason == {"no frame is left to show": ["set.parquet row 3"]}


def test_a_window_alone_can_be_shown(tmp_path, places):
    rows = ({"start_s": 1.0, "end_s": 2.2}, {"start_s": 8.0, "end_s": 9.0})
    questions = question_set(tmp_path, places, *rows, frames=FrameConfig(2, 8, within_window=True), sources=())
    assert [list(questions.asked(i).clips[0].times_s) for i in (0, 1)] == [[1.0, 2.0], [3.5]]


def test_frames_are_decoded_once_and_a_damaged_file_is_made_again(tmp_path, places, monkeypatch):
    opened = []
    monkeypatch.setattr(frames_cache, "decode", lambda s, c, d=frames_cache.decode: opened.append(s.name) or d(s, c))
    row = [{}, {"question": "Which way does it go in the end?"}]
    first = question_set(tmp_path, places, *row)
    pictures = [first.asked(i).clips[0].frames for i in (0, 1, 0)]
    again = question_set(tmp_path, places, *row)
    pictures.append(again.asked(1).clips[0].frames)
    assert opened == ["clip"] and all(np.array_equal(pictures[0], other) for other in pictures)
    (file,) = (tmp_path / "cache" / "frames").glob("*.npz")
    file.write_bytes(file.read_bytes()[:-3000])
    damaged = question_set(tmp_path, places, *row)
    assert np.array_equal(damaged.asked(0).clips[0].frames, pictures[0]) and opened == ["clip", "clip"]
    damaged.tell_repaired()
    assert damaged.faults.repaired == {"damaged files of the frame cache, made again": 1}
    assert "1  damaged files of the frame cache" in damaged.faults.table(2)
    # Another video under the same name is another content.
    write_video(tmp_path / "videos" / "deep" / "clip.avi", frames=5, rate_hz=2.0)
    assert question_set(tmp_path, places, *row).asked(0).clips[0].times_s[-1] == 2.0 and len(opened) == 3


def test_what_cannot_be_used_is_told_by_reason(tmp_path, places):
    scene = smooth_scene(2, duration_s=6.0)
    scene.save(tmp_path / "scenes" / "cut.scene.npz")
    whole = (tmp_path / "scenes" / "cut.scene.npz").read_bytes()
    (tmp_path / "scenes" / "cut.scene.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "videos" / "cut.avi").write_bytes((tmp_path / "videos" / "deep" / "clip.avi").read_bytes()[:300])
    rows = [
        {}, {"answer": "E"}, {"question": "  "}, {"scene": "gone", "videoID": "clip2"}, {"videoID": "none"},
        {"scene": "cut"}, {"videoID": "cut"}, {"options": ["A. one"]}, {},
    ]  # fmt: skip
    questions = question_set(tmp_path, places, *rows)
    assert len(questions) == 6 and questions.total == 9
    questions.check()
    assert len(questions) == 4, "what is missing is known without opening anything"
    usable = questions.usable(range(4))
    assert [asked.key for asked in usable] == ["set.parquet row 0", "set.parquet row 8"]
    told = {reason: [key[-1] for key in keys] for reason, keys in questions.faults.by_reason.items()}
    assert told == {
        "it is no question with a true answer": ["1", "2", "7"],
        "its scene is missing": ["3"],
        "its video is missing": ["4"],
        "its scene cannot be read": ["5"],
        "its video cannot be decoded": ["6"],
    }
    table = questions.faults.table(questions.total)
    assert (
        table.startswith("7 of 9 rows are left out:") and "     3  it is no question with a true answer: set" in table
    )
    assert "the answer 'E' is none of A, B" in table
    assert questions.usable(range(4)) and len(questions.faults) == 7, "each row counts once"


def test_features_that_are_no_numbers_leave_a_row_out(tmp_path, places):
    class Broken(GeometrySource):
        name, features = "broken", 2

        def tokens(self, context):
            return GeometryTokens(np.array([[1.0, np.nan], [1.0, 2.0]]))

        def settings(self):
            return {}

    questions = question_set(tmp_path, places, {})
    questions.sources["broken"] = Broken()
    assert questions.usable([0]) == []
    (reason, detail) = questions.faults.rows["set.parquet row 0"]
    assert reason == "its geometry cannot be made" and "1 of 2 geometry tokens are not finite" in detail


def test_published_layouts_and_recordings(tmp_path):
    train = tmp_path / "train.json"
    entry = {"Type": "abs_dis", "Question": QUESTION, "A": "x", "B": "y", "C": "z", "D": "w", "Correct": "C"}
    train.write_text(json.dumps({"sim:seed=3,duration=4,render=0": [entry]}))
    word = "sim:seed=3,duration=4,render=0"
    recordings = Recordings(Places(recordings=word), tmp_path / "cache")
    questions = QuestionSet([train], recordings, make_sources({"scene": {}}))
    questions.check()
    asked = questions.asked(0)
    assert asked.answer == "z" and len(asked.geometry["scene"]) > 2 and not asked.clips
    (kept,) = (tmp_path / "cache" / "scenes").glob("*.scene.npz")
    assert Scene.load(kept).end_s == pytest.approx(3.9)
    shown = QuestionSet([train], Recordings(Places(recordings=word), tmp_path / "cache", FrameConfig()), {})
    assert shown.usable([0]) == [] and "its recording holds no pictures" in shown.faults.by_reason


class Filmed(SavedScene):
    """A saved scene with a picture every half second, none in its first second."""

    def frames(self):
        for number, frame in enumerate(super().frames()):
            shown = number >= 10 and number % 5 == 0
            yield replace(frame, rgb=np.full((360, 640, 3), number, np.uint8) if shown else None)


def test_frames_of_a_recording_keep_its_scenes_clock(tmp_path):
    smooth_scene(1, duration_s=4.0).save(tmp_path / "filmed.scene.npz")
    convert(Filmed(tmp_path / "filmed.scene.npz"), "bag", tmp_path / "bag", image_format="raw")
    train = write_set(tmp_path / "set.parquet", {"scene": "bag", "videoID": "bag", "future_from_s": 3.0})
    recordings = Recordings(Places(recordings=[str(tmp_path / "bag")]), tmp_path / "cache", FrameConfig(3, 7, 10_000))
    (asked,) = QuestionSet([train], recordings, make_sources({"scene": {}})).usable([0])
    (clip,) = asked.clips
    assert list(clip.times_s) == [1.0, 2.0, 3.0] and [int(f[0, 0, 0]) for f in clip.frames] == [10, 20, 30]
    height, width = clip.frames[0].shape[:2]
    assert height * width <= 10_000 and width / height == pytest.approx(640 / 360, rel=0.02)
    assert recordings.scene(read_rows(train)[0]).end_s == pytest.approx(4.0)


def test_sets_of_a_smaller_limit_are_parts_of_larger_ones(tmp_path, places):
    rows = [{"question": f"{QUESTION} {i}?"} for i in range(40)]
    sizes = [{q.key for q in question_set(tmp_path, places, *rows, limit=n).questions} for n in (5, 20, 100)]
    assert [len(s) for s in sizes] == [5, 20, 40] and sizes[0] < sizes[1] < sizes[2]
    a, b = question_set(tmp_path, places, {}, {"scene": "x"}), question_set(tmp_path, places, {"scene": "x"})
    assert shared_scenes(a, b) == ["x"]
    with pytest.raises(VlmError, match="no question set is named"):
        QuestionSet([], Recordings(places, tmp_path), {})
    with pytest.raises(VlmError, match="scenes = /no/where is no folder"):
        Places(scenes="/no/where")


class Counting(GeometrySource):
    """Tokens of the pictures' means, and how often they were made."""

    name, features, looks_at, cached, aligned = "counting", 2, "clip", True, True

    def __init__(self, scale=1.0):
        self.scale, self.made = scale, 0

    def tokens(self, context):
        assert context.scene is None and context.window is None
        self.made += 1
        means = [[self.scale * frame.mean(), 1.0] for frame in context.clip.frames]
        return GeometryTokens(np.array(means), tuple("abcdefgh"[: len(means)]), (len(means), 1, 1))

    def settings(self):
        return {"scale": self.scale}


def test_tokens_are_kept_by_content(tmp_path):
    def clip(value, times=(0.0, 1.0)):
        return Context(clip=Clip([np.full((4, 6, 3), value + i, np.uint8) for i in range(2)], times), window=(0, 1))

    source = Counting()
    cached = with_cache({"counting": source}, tmp_path, 1e9)["counting"]
    assert (
        isinstance(cached, CachedSource)
        and cached.aligned
        and cached.features == 2
        and cached.settings() == {"scale": 1.0}
    )
    first, again = cached.tokens(clip(5)), cached.tokens(clip(5))
    assert source.made == 1 and np.array_equal(first.features, again.features)
    assert again.labels == ("a", "b") and again.grid == (2, 1, 1)
    cached.tokens(clip(6)), cached.tokens(clip(5, (0.0, 2.0)))
    assert source.made == 3
    other = Counting(2.0)
    assert CachedSource(other, cached.cache).tokens(clip(5)).features[0, 0] == 10.0 and other.made == 1
    for file in tmp_path.glob("*.npz"):
        file.write_bytes(file.read_bytes()[:100])
    assert np.array_equal(cached.tokens(clip(5)).features, first.features) and cached.cache.damaged and source.made == 4
    assert with_cache({"scene": make_sources({"scene": {}})["scene"]}, tmp_path, 1e9)["scene"].name == "scene"


@pytest.mark.parametrize("scale", [0.1, 1e6])
def test_features_of_networks_are_kept_small_and_stay_the_same(tmp_path, scale):
    source = Counting(scale)
    source.normalised = True
    cached = CachedSource(source, DiskCache(tmp_path, 1e9))
    context = Context(clip=Clip([np.full((2, 2, 3), 77, np.uint8)], [0.0]))
    first, again = cached.tokens(context), cached.tokens(context)
    assert first.features.dtype == np.float32 and np.array_equal(first.features, again.features) and source.made == 1
    np.testing.assert_allclose(first.features[0, 0], 77 * scale, rtol=1e-3)
    (file,) = tmp_path.glob("*.npz")
    assert np.load(file)["features"].dtype == (np.float16 if scale < 1 else np.float32)


def test_caches_are_bounded(tmp_path):
    cache = DiskCache(tmp_path, 50_000)
    for i in range(20):
        cache.put(f"k{i}", {"x": np.zeros(1000)})
        os.utime(cache.path(f"k{i}"), (1000 + i, 1000 + i))
        if i == 3:
            assert cache.get("k0") is not None  # used: now the newest
    assert sum(p.stat().st_size for p in tmp_path.glob("*.npz")) <= 50_000
    assert cache.get("k19") is not None and cache.get("k1") is None and cache.get("k0") is not None
    memory = Memory(100)
    for i in range(10):
        memory.put(i, str(i), 30)
    assert [memory.get(i) for i in (0, 6, 7, 9)] == [None, None, "7", "9"]
    memory.put("large", 1, 1000)
    assert memory.get("large") is None and memory.made("x", lambda: (5, 10)) == 5 == memory.made("x", lambda: (6, 10))


def test_faults_of_processes_are_put_together():
    one, two = Faults(), Faults()
    one.add("a", "late")
    two.add("a", "late"), two.add("b", "early", "why")
    two.repaired["files"] = 2
    one.merge(two)
    assert one.to_dict() == {
        "rows": {
            "late": {"count": 1, "first": ["a"], "detail": ""},
            "early": {"count": 1, "first": ["b"], "detail": "why"},
        },
        "repaired": {"files": 2},
    }
    assert str(RowFault("late", "by 2 s")) == "late: by 2 s" and Faults().table(3) == ""
