"""Fine-tuning on tiny models: what a run writes, how it learns, and what stops it."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytest.importorskip("peft")
pytest.importorskip("pyarrow")

import torch
from tiny_vlm import tiny_qwen25_vl

from dsr_core.qa.files.readers import read_rows
from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.rows import short_name
from tests.smooth_scenes import smooth_scene
from tests.test_train_data import write_set
from tests.training_runs import config, losses, make_sets
from training.batches import rate
from training.settings import TrainingError
from training.sft import train

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = make_sets(tmp_path_factory.mktemp("sets"))
    tiny_qwen25_vl(folder / "base")
    return folder


def count(sets, name="test"):
    return len(read_rows(sets / f"{name}.parquet"))


@pytest.fixture(scope="module")
def whole(sets):
    """A run in one go with all that it writes."""
    settings = config(sets, sets / "whole", f"data.held_out=[{sets / 'test.parquet'}]", "tensorboard=true", "keep=1")
    return settings, train(settings)


def test_a_run_from_beginning_to_end(sets, whole):
    settings, result = whole
    out = sets / "whole"
    assert result.finished and result.steps == 6 and len(losses(out)) == 6
    assert losses(out)[6] < losses(out)[1] - 0.2
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert (
        lines[1]["tokens_per_s"] > 0 and lines[1]["memory_gb"] > 0 and lines[-2]["tokens_seen"] == result.told["tokens"]
    )
    told = json.loads((out / "result.json").read_text())
    assert told == json.loads(json.dumps(result.told)) and told["finished"] and told["settings"] == settings.to_dict()
    assert (
        len(told["data_sha256"][str(sets / "train.parquet")]) == 64 and told["versions"]["torch"] == torch.__version__
    )
    assert (out / "loss.png").stat().st_size > 10_000 and list((out / "tensorboard").glob("events*"))
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["step-00000006"]
    size = sum(p.stat().st_size for p in (out / "checkpoints").rglob("*") if p.is_file())
    trained = sum(p.numel() for p in result.model.parameters() if p.requires_grad)
    assert size < 3.2 * 4 * trained + 100_000, "a checkpoint holds what is trained and two moments of it"


def test_held_out_questions_are_asked_with_controls_beside(sets, whole):
    told = whole[1].told["evaluation"]
    rows = told["rows"]
    assert rows == count(sets) and told["chance"] == 0.25 and sum(t["rows"] for t in told["by_type"].values()) == rows
    assert told["accuracy"] == pytest.approx(sum(t["rows"] * t["accuracy"] for t in told["by_type"].values()) / rows)
    scores = [told["log_probability"], *(told[name]["log_probability"] for name in ("blind", "shuffled_geometry"))]
    assert (
        len({round(s, 6) for s in scores}) == 3 and told["blind"]["rows"] == told["shuffled_geometry"]["rows"] == rows
    )


def test_what_a_run_saves_is_what_it_has_trained(sets, whole):
    loaded = GeometryVLM.load(sets / "whole" / "model")
    for name, value in whole[1].model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_rates_follow_the_formula_in_each_group(sets, tmp_path):
    words = ("optimizer.lr=2e-3", "optimizer.geometry_lr=5e-4", "optimizer.warmup=0.3", "optimizer.floor=0.1")
    seen = []

    class Watched(torch.optim.AdamW):
        def step(self, *args, **options):
            seen.append({group["name"]: group["lr"] for group in self.param_groups})
            return super().step(*args, **options)

    settings = config(sets, tmp_path / "run", *words, "batch.rows=2")
    original, torch.optim.AdamW = torch.optim.AdamW, Watched
    try:
        train(settings)
    finally:
        torch.optim.AdamW = original
    rise = [1 / 2, 1.0]
    fall = [0.1 + 0.9 * (1 + np.cos(np.pi * k / 4)) / 2 for k in range(4)]
    np.testing.assert_allclose([s["base"] for s in seen], 2e-3 * np.array(rise + fall), rtol=1e-12)
    np.testing.assert_allclose([s["geometry"] for s in seen], 5e-4 * np.array(rise + fall), rtol=1e-12)
    assert [rate(k, 6, settings.optimizer) for k in range(6)] == pytest.approx(rise + fall)


def test_a_step_learns_from_the_mean_over_its_reply_tokens(sets, tmp_path):
    """Whatever the cut into micro-batches: the same rows with the same dropout-free model give the same run."""
    common = ("lora.dropout=0", "data.limit=12", "steps=3", "prompt.reply=text")
    train(config(sets, tmp_path / "one", *common, "batch.rows=12", "batch.tokens=100000", "batch.micro_batches=1"))
    train(config(sets, tmp_path / "many", *common, "batch.rows=3", "batch.micro_batches=4"))
    one, many = losses(tmp_path / "one"), losses(tmp_path / "many")
    assert list(one) == [1, 2, 3] and one == pytest.approx(many, rel=2e-5)


def test_other_settings_and_other_rows_do_not_go_on(sets, tmp_path):
    words = ("steps=4", "stop_after=2")
    train(config(sets, tmp_path / "run", *words))
    with pytest.raises(TrainingError, match=r"optimizer\.lr = 0\.001 then, 0\.002 now.*resume=false"):
        train(config(sets, tmp_path / "run", *words, "optimizer.lr=2e-3"))
    with pytest.raises(TrainingError, match=r"data\.limit = None then, 8 now"):
        train(config(sets, tmp_path / "run", *words, "data.limit=8"))
    assert train(config(sets, tmp_path / "run", "steps=4", "keep=5", "log_every=2")).finished


def test_a_loss_that_is_no_number_stops_the_run(sets, tmp_path, monkeypatch):
    settings = config(sets, tmp_path / "run", "save_every=2")
    forward = GeometryVLM.forward
    calls = []

    def broken(self, batch, **options):
        output = forward(self, batch, **options)
        calls.extend([1] if output.loss is not None else [])
        if output.loss is not None and len(calls) == 6:
            output.loss = output.loss * float("nan")
        return output

    monkeypatch.setattr(GeometryVLM, "forward", broken)
    with pytest.raises(TrainingError, match=r"step 3: the loss is nan.*rows: train\.parquet row .*step-00000002"):
        train(settings)
    monkeypatch.undo()
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    assert train(settings).finished


def test_scenes_in_both_sets_are_refused_by_name(sets, tmp_path):
    words = (
        f"data.held_out=[{sets / 'test.parquet'},{sets / 'train.parquet'}]",
        "steps=1",
        "evaluation.controls=false",
    )
    with pytest.raises(TrainingError, match=r"3 scenes are in both .*room00, room01, room02"):
        train(config(sets, tmp_path / "run", *words))
    result = train(config(sets, tmp_path / "run", *words, "data.allow_shared_scenes=true"))
    assert result.told["rows"]["held_out"] == count(sets) + count(sets, "train")


def test_the_blind_model_learns_from_the_text_alone(sets, tmp_path):
    result = train(config(sets, tmp_path / "run", "blind=true", "steps=2", f"data.held_out=[{sets / 'test.parquet'}]"))
    assert result.model.geometry is None and set(result.told["evaluation"]) & {"blind", "shuffled_geometry"} == set()
    assert result.told["evaluation"]["rows"] == count(sets)


def test_every_way_of_training(sets, tmp_path):
    before = GeometryVLM.load(sets / "base").base.state_dict()
    whole = train(config(sets, tmp_path / "full", "trains=full", "steps=2", "gradient_checkpointing=true"))
    core = whole.model.core.state_dict()
    changed = {name for name, value in core.items() if not torch.equal(value, before[name])}
    assert any("language_model" in n for n in changed) and not any(".visual.blocks" in n for n in changed)
    alone = train(config(sets, tmp_path / "alone", "trains=geometry", "steps=2"))
    assert all(torch.equal(value, before[name]) for name, value in alone.model.core.state_dict().items())
    assert (tmp_path / "full" / "model" / "base").is_dir() and not (tmp_path / "alone" / "model" / "base").exists()
    saved = GeometryVLM.load(tmp_path / "full" / "model").core.state_dict()
    assert all(torch.equal(saved[name], core[name]) for name in core)


@pytest.mark.parametrize("trains", ["lora", "full"])
def test_frozen_weights_may_be_bfloat16(sets, tmp_path, trains):
    """Of a full run the weights stay float32, and computing is bfloat16; the module is float32 in both."""
    words = ("dtype=bfloat16", f"trains={trains}", "steps=3", "gradient_checkpointing=true", "optimizer.lr=1e-4")
    result = train(config(sets, tmp_path / "run", *words))
    kinds = {p.dtype for p in result.model.core.model.visual.parameters()}
    assert kinds == {torch.bfloat16 if trains == "lora" else torch.float32}
    assert {p.dtype for p in result.model.parameters() if p.requires_grad} == {torch.float32}
    assert len(losses(tmp_path / "run")) == 3


def test_threads_that_prepare_batches_change_nothing(sets, whole, tmp_path):
    train(config(sets, tmp_path / "run", "data.workers=3"))
    assert losses(tmp_path / "run") == losses(sets / "whole")


def test_rows_of_files_with_one_name_are_told_apart():
    paths = ["a/train.parquet", "b/train.parquet", "b/test.parquet", "/x/b/test.parquet"]
    names = ["a/train.parquet", "b/train.parquet", "b/test.parquet", "x/b/test.parquet"]
    assert [short_name(path, paths) for path in paths] == names and short_name("/a/b.json", []) == "b.json"


def test_what_only_the_geometry_tells_is_learned_from_it(sets, tmp_path):
    """One question about six scenes: its text says nothing of the answer."""
    (tmp_path / "scenes").mkdir()
    for number in range(6):
        smooth_scene(number, things=3, duration_s=6.0).save(tmp_path / "scenes" / f"s{number}.scene.npz")
    rows = [{"scene": f"s{i}", "videoID": f"s{i}", "answer": "AB"[i % 2]} for i in range(6)]
    path = write_set(tmp_path / "set.parquet", *rows)
    words = (f"data.train=[{path}]", f"data.held_out=[{path}]", "data.allow_shared_scenes=true", "trains=full")
    words += (f"data.scenes={tmp_path / 'scenes'}", "optimizer.geometry_lr=3e-3", "steps=25", "save_every=100")
    told = train(config(sets, tmp_path / "run", *words, "batch.rows=6", "batch.micro_batches=1")).told["evaluation"]
    assert told["accuracy"] == 1.0 and told["blind"]["accuracy"] == 0.5
    # Each row gets the geometry of the next scene, where the other answer is right.
    assert told["shuffled_geometry"]["accuracy"] == 0.0
