"""Rows on their way into a step: batches of like length, videos, and rows that are left out while a run lasts."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytest.importorskip("peft")
pytest.importorskip("pyarrow")

import torch
from tiny_vlm import tiny_qwen3_vl, tiny_qwen25_vl

from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.values import Asked, Clip
from tests.smooth_scenes import smooth_scene
from tests.test_sources_video import write_video
from tests.test_train_data import QUESTION, write_set
from tests.training_runs import config, losses
from training.batches import Plan
from training.config import BatchConfig
from training.settings import TrainingError
from training.sft import train

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """train.parquet of six rows about two videos with scenes."""
    folder = tmp_path_factory.mktemp("sets")
    for name in ("scenes", "videos"):
        (folder / name).mkdir()
    for number, name in enumerate(("clip", "other", "nan")):
        smooth_scene(number, things=3, duration_s=6.0).save(folder / "scenes" / f"{name}.scene.npz")
        write_video(folder / "videos" / f"{name}.avi", rate_hz=2.0)
    rows = [{"question": f"{i}: {QUESTION}", "answer": "AB"[i % 2]} for i in range(4)]
    write_set(folder / "train.parquet", *rows, *({**row, "scene": "other", "videoID": "other"} for row in rows))
    tiny_qwen25_vl(folder / "base")
    tiny_qwen3_vl(folder / "base3")
    return folder


def videos(sets, out, *words):
    return config(sets, out, f"data.videos={sets / 'videos'}", "frames={count: 4, max_pixels: 3136}", *words)


def test_every_row_is_seen_once_an_epoch_with_others_of_its_length():
    lengths = np.random.default_rng(0).integers(10, 900, 1000)
    plan = Plan(lengths, BatchConfig(tokens=4000, micro_batches=4), 2, None, 5)
    steps = [plan.step(n) for n in range(plan.steps)]
    batches = [b for step in steps for b in step]
    assert all(len(step) == 4 for step in steps[:-1]) and 1 <= len(steps[-1]) <= 4
    first = len(plan.epoch(0))
    for epoch in (batches[:first], batches[first:]):
        assert sorted(row for b in epoch for row in b) == list(range(1000))
    assert batches[:first] != batches[first:]
    held = [len(b) * lengths[b].max() for b in batches]
    assert max(held) <= 4000 and np.mean(held) > 3000
    padding = 1 - sum(lengths[b].sum() for b in batches) / sum(held)
    assert padding < 0.06
    assert plan.epochs_at(0) == 0 and plan.epochs_at(first // 4) == pytest.approx(1, abs=0.05)
    again = Plan(lengths, BatchConfig(tokens=4000, micro_batches=4), 2, None, 5)
    assert [again.step(n) for n in (3, plan.steps - 1)] == [steps[3], steps[-1]]
    half = Plan(lengths, BatchConfig(tokens=4000, micro_batches=4), 0.5, None, 5)
    assert abs(sum(len(b) for n in range(half.steps) for b in half.step(n)) - 500) < 60
    long = Plan([10, 9000, 10], BatchConfig(tokens=4000, micro_batches=1), 1, None, 0)
    assert sorted(map(len, (long.step(n)[0] for n in range(long.steps)))) == [1, 2]
    with pytest.raises(TrainingError, match="no rows to make batches of"):
        Plan([], BatchConfig(), 1, None, 0)


@pytest.mark.parametrize("base", ["base", "base3"])
def test_replies_that_all_stand_at_the_end_give_the_same_loss(sets, base):
    """Of a padded batch with a video, a question without one, and replies of several lengths."""
    model = GeometryVLM.load(sets / base)
    clip = Clip([np.random.default_rng(i).integers(0, 255, (56, 56, 3), np.uint8) for i in range(4)], range(4))
    asked = [Asked("where does it go?", ("a", "b"), (clip,)), Asked("up or down?", ("c", "d"))]
    replies = ["left, and then right again", "up"]
    whole = model(model.inputs(asked, replies, side="right"))
    found = model(model.inputs(asked, replies, side="left"))
    torch.testing.assert_close(found.loss, whole.loss, rtol=1e-5, atol=1e-6)
    one = [model(model.inputs([a], [r])) for a, r in zip(asked, replies, strict=True)]
    counts = [len(model.inputs.plain(r)) + 1 for r in replies]
    together = sum(o.loss * n for o, n in zip(one, counts, strict=True)) / sum(counts)
    torch.testing.assert_close(found.loss, together, rtol=1e-5, atol=1e-6)
    assert found.logits.shape[1] == max(counts) + 1 < whole.logits.shape[1]


@pytest.mark.parametrize("mode", ["gsm", "gated"])
def test_a_model_learns_from_videos(sets, tmp_path, mode):
    words = (f"geometry.mode={mode}", "steps=8", "batch.rows=4", "batch.micro_batches=1", "optimizer.geometry_lr=3e-3")
    result = train(videos(sets, tmp_path / "run", *words))
    seen = losses(tmp_path / "run")
    assert result.finished and not result.faults.rows and len(seen) == 8
    assert seen[7] + seen[8] < seen[1] + seen[2]
    assert len(list((sets / "cache" / "frames").glob("*.npz"))) == 2, "decoded once for all runs"
    assert result.told["tokens"] > 3 * 4 * 100


def test_rows_that_cannot_be_used_are_told_and_left_out(sets, tmp_path, caplog):
    good = [{"question": f"{i}: {QUESTION}"} for i in range(6)]
    bad = [
        {"scene": "gone", "videoID": "gone"}, {"answer": "F"}, {"question": "word " * 10_000}, {"question": ""},
        {"scene": "nan", "videoID": "nan"}, {"question": "word " * 180},
    ]  # fmt: skip
    write_set(tmp_path / "poisoned.parquet", *good[:3], *bad, *good[3:])
    cut = (sets / "videos" / "nan.avi").read_bytes()[:200]
    (sets / "videos" / "nan.avi").write_bytes(cut)
    words = (f"data.train=[{tmp_path / 'poisoned.parquet'}]", "max_tokens=300", "steps=4", "batch.micro_batches=1")
    result = train(videos(sets, tmp_path / "run", *words))
    told = {reason: [int(k.split()[-1]) for k in keys] for reason, keys in result.faults.by_reason.items()}
    assert told == {
        "it is no question with a true answer": [4, 6],
        "it is longer than max_tokens = 300": [5, 8],
        "its scene is missing": [3],
        "its video cannot be decoded": [7],
    }
    kept = json.loads((tmp_path / "run" / "result.json").read_text())["left_out"]["rows"]
    assert {reason: part["count"] for reason, part in kept.items()} == {r: len(k) for r, k in told.items()}
    assert "6 of 12 rows are left out" in caplog.text and "poisoned.parquet row 7" in caplog.text
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert sum(line["rows"] for line in lines[1:3]) == 6, "what is left out is replaced by nothing"


def test_a_set_without_one_usable_row_is_an_error(sets, tmp_path):
    write_set(tmp_path / "gone.parquet", {"scene": "gone"}, {"scene": "gone", "answer": "Z"})
    with pytest.raises(TrainingError, match=r"(?s)not one row can be used.*2 of 2 rows.*its scene is missing: gone"):
        train(config(sets, tmp_path / "run", f"data.train=[{tmp_path / 'gone.parquet'}]"))
    write_set(tmp_path / "nan.parquet", {"scene": "nan", "videoID": "nan"})
    (sets / "videos" / "nan.avi").write_bytes(b"no video")
    with pytest.raises(TrainingError, match=r"(?s)not one row could be used.*its video cannot be decoded: nan"):
        train(videos(sets, tmp_path / "run", f"data.train=[{tmp_path / 'nan.parquet'}]"))


def test_a_row_that_its_pictures_make_too_long(sets, tmp_path):
    long = f"{QUESTION} {'or ' * 40}"
    asked = Asked(long, ("more", "less"), answer_index=0)
    most = GeometryVLM.load(sets / "base").inputs.length(asked, "A") + 10
    words = (f"max_tokens={most}", "steps=2")
    rows = [{"scene": "clip"}, {"scene": "clip", "question": long}]
    write_set(tmp_path / "set.parquet", *rows)
    words += (f"data.train=[{tmp_path / 'set.parquet'}]",)
    assert not train(videos(sets, tmp_path / "blind", *words, "frames=null")).faults.rows
    result = train(videos(sets, tmp_path / "run", *words, "frames.max_pixels=40000"))
    ((key, (reason, detail)),) = result.faults.rows.items()
    assert (
        key == "set.parquet row 1"
        and reason == f"it is longer than max_tokens = {most}"
        and "fewer or smaller frames" in detail
    )


def test_steps_without_a_usable_row_are_passed_over(sets, tmp_path, caplog):
    rows = [{"question": f"{i}: {QUESTION}", "scene": "nan", "videoID": "nan"} for i in range(4)]
    write_set(tmp_path / "set.parquet", *rows, {})
    words = (f"data.train=[{tmp_path / 'set.parquet'}]", "batch.rows=1", "batch.micro_batches=1", "steps=5")
    (sets / "videos" / "nan.avi").write_bytes(b"no video")
    result = train(videos(sets, tmp_path / "run", *words))
    assert result.finished and len(losses(tmp_path / "run")) == 1 and len(result.faults) == 4
    assert caplog.text.count("it was passed over") == 4
