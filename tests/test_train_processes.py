"""A run broken off goes on to the same curve, and several processes learn as one."""

import json
import os
import signal

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytest.importorskip("peft")
pytest.importorskip("pyarrow")

import torch
from tiny_vlm import tiny_qwen3_vl, tiny_qwen25_vl

from dsr_core.qa.files.readers import read_rows
from dsr_core.vlm.model import GeometryVLM
from tests.test_train_data import write_set
from tests.training_runs import config, forked, losses, make_sets
from training import sft
from training.report import Report
from training.sft import train

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = make_sets(tmp_path_factory.mktemp("sets"))
    tiny_qwen25_vl(folder / "base")
    tiny_qwen3_vl(folder / "base3")
    return folder


@pytest.fixture(scope="module")
def whole(sets):
    """A run in one go."""
    return train(config(sets, sets / "whole", f"data.held_out=[{sets / 'test.parquet'}]"))


def test_a_killed_run_goes_on_to_the_same_curve(sets, whole):
    settings = config(sets, sets / "killed", "save_every=2", f"data.held_out=[{sets / 'test.parquet'}]")

    def killed(number):
        step = Report.step

        def dies(self, done, line, bar):
            step(self, done, line, bar)
            if done == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        Report.step = dies
        train(settings)

    assert forked(killed) == [-signal.SIGKILL]
    assert list(losses(sets / "killed")) == [1, 2, 3] and not (sets / "killed" / "result.json").exists()
    result = train(settings)
    assert result.finished and losses(sets / "killed") == losses(sets / "whole")
    assert result.told["evaluation"] == whole.told["evaluation"]


def test_a_run_that_is_asked_to_stop_saves_first(sets, whole, tmp_path):
    settings = config(sets, tmp_path / "run", "save_every=100")

    def stopped(number):
        step = Report.step

        def asked(self, done, line, bar):
            step(self, done, line, bar)
            if done == 4:
                os.kill(os.getpid(), signal.SIGTERM)

        Report.step = asked
        result = train(settings)
        assert not result.finished and result.steps == 4

    assert forked(stopped) == [0]
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000004"]
    told = json.loads((tmp_path / "run" / "result.json").read_text())
    assert not told["finished"] and told["steps"] == 4
    assert GeometryVLM.load(tmp_path / "run" / "model").geometry is not None
    assert train(settings).finished and losses(tmp_path / "run") == losses(sets / "whole")


@pytest.mark.parametrize("base", ["base", "base3"])
def test_two_processes_learn_as_one(sets, tmp_path, base):
    words = (f"base={sets / base}", "batch.rows=2", "batch.micro_batches=4", "steps=3")
    words += (f"data.held_out=[{sets / 'test.parquet'}]",)
    train(config(sets, tmp_path / "one", *words))

    def together(number):
        result = train(config(sets, tmp_path / "two", *words))
        assert result.told["processes"] == 2

    assert forked(together, 2) == [0, 0]
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert list(one) == [1, 2, 3] and two == pytest.approx(one, abs=1e-5)
    told = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("one", "two")]
    assert told[0]["processes"] == 1 and told[1]["processes"] == 2
    assert told[1]["evaluation"]["rows"] == told[0]["evaluation"]["rows"] == len(read_rows(sets / "test.parquet"))
    for name in ("blind", "shuffled_geometry"):
        parts = [t["evaluation"][name]["log_probability"] for t in told]
        assert parts[1] == pytest.approx(parts[0], abs=1e-4)


def test_sharded_processes_learn_as_one(sets, tmp_path):
    """FSDP as `accelerate_fsdp.yaml` sets it. Accelerate shards on accelerators alone; here it is told that it is on
    one, and does the same on two CPU processes."""
    words = ("steps=4", "save_every=2")
    words += (f"data.held_out=[{sets / 'test.parquet'}]", "evaluation.every=2")
    train(config(sets, tmp_path / "one", *words))

    def sharded(number):
        from accelerate import Accelerator, FullyShardedDataParallelPlugin
        from accelerate.state import PartialState
        from accelerate.utils import DistributedType

        def shards(mixed_precision):
            made = Accelerator(mixed_precision=mixed_precision)
            plugin = FullyShardedDataParallelPlugin(
                fsdp_version=2,
                auto_wrap_policy="transformer_based_wrap",
                transformer_cls_names_to_wrap=["Qwen2_5_VLDecoderLayer"],
                cpu_ram_efficient_loading=False,
            )
            made.state._shared_state.update(distributed_type=DistributedType.FSDP, fsdp_plugin=plugin)
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            return made

        sft.Accelerator = shards
        for stop in ("stop_after=2", "stop_after=null"):
            result = train(config(sets, tmp_path / "two", *words, stop))
            assert "FSDP" in type(result.model).__name__

    assert forked(sharded, 2) == [0, 0]
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    one, two = (GeometryVLM.load(tmp_path / name / "model").state_dict() for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


def test_a_process_without_usable_rows_does_not_hold_up_the_other(sets, tmp_path):
    whole = (sets / "scenes" / "room00.scene.npz").read_bytes()
    (sets / "scenes" / "cut.scene.npz").write_bytes(whole[: len(whole) // 2])
    question = "Between 1.0s and 5.0s, how does the distance between person 1 and the camera change?"
    rows = [{"question": f"{i}: {question}", "scene": "room01" if i % 3 else "cut"} for i in range(9)]
    write_set(tmp_path / "set.parquet", *rows)
    words = (f"data.train=[{tmp_path / 'set.parquet'}]", "batch.rows=1", "steps=5", "trains=full")
    one = train(config(sets, tmp_path / "one", *words))

    def together(number):
        result = train(config(sets, tmp_path / "two", *words))
        assert result.finished and sorted(result.faults.rows) == sorted(one.faults.rows)

    assert forked(together, 2) == [0, 0]
    assert len(one.faults) == 3 and losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
