"""Settings of a run, and the command that starts one."""

import json
from pathlib import Path

import pytest
import yaml

from dsr_core import cli
from training.config import BaseConfig, TrainConfig, config_from, load_config
from training.settings import TrainingError

CONFIGS = Path(__file__).parents[1] / "training" / "configs"


def test_values_become_what_the_settings_are():
    config = config_from(
        {
            "base": "x",
            "out": "o",
            "data": {"train": "a.parquet"},
            "optimizer": {"lr": "1e-5", "betas": [0.9, 0.95], "clip": 2},
            "frames": None,
            "geometry": {"mode": "gated", "sources": {"scene": {"samples": 8}}},
        }
    )
    assert config.data.train == ("a.parquet",) and config.optimizer.lr == 1e-5 and config.optimizer.betas == (0.9, 0.95)
    assert config.frames is None and config.geometry.sources == {"scene": {"samples": 8}}
    assert config_from({"base": "x", "out": "o"}).frames.count == 32
    random = config_from({"base": {"config": {"model_type": "qwen2_5_vl"}, "tokenizer": "t"}, "out": "o"})
    assert random.base == BaseConfig({"model_type": "qwen2_5_vl"}, "t")


def test_settings_are_written_and_read_back(tmp_path):
    config = load_config(
        "tiny", ["geometry.sources={scene: {samples: 8}}", "data.train=[a.json]", "lora.layers=[q, v]"]
    )
    config.save(tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config and isinstance(config, TrainConfig)
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()


def test_words_win_over_the_file():
    config = load_config("tiny", ["optimizer.lr=2e-5", "frames.count=8", "steps=null", "trains=full", "blind=true"])
    assert (config.optimizer.lr, config.optimizer.geometry_lr, config.frames.count) == (2e-5, 1e-3, 8)
    assert config.steps is None and config.trains == "full" and config.blind is True


def test_what_is_free_to_change_does_not_decide():
    changed = ["out=elsewhere", "keep=9", "data.workers=7", "evaluation.every=3", "data.held_out=[b.parquet]"]
    assert load_config("tiny", changed).decisive() == load_config("tiny").decisive()
    for word in (
        "seed=1",
        "optimizer.clip=2",
        "geometry.sources={scene: {samples: 8}}",
        "blind=true",
        "prompt.reply=text",
    ):
        assert load_config("tiny", [word]).decisive() != load_config("tiny").decisive(), word


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lr=1"], "a configuration has no setting lr; it has base, out, data"),
        (["optimizer.rate=1"], "optimizer has no setting rate; it has lr, geometry_lr"),
        (["data.limit=many"], "data.limit = 'many' is not of the kind int"),
        (["data=3"], "data = 3 must be settings"),
        (["geometry.mode=glue"], "geometry: geometry mode 'glue' is not known; known: none, add"),
        (["frames.count=0"], "frames: frames: count = 0"),
        (["trains=all"], "trains = 'all' is not known; known: lora, full, geometry"),
        (["batch.micro_batches=0"], "batch.micro_batches = 0 must be at least 1"),
        (["optimizer.warmup=3"], "shares between 0 and 1"),
        (["base=null"], "base = None is not of the kind str"),
        (["steps"], "'steps' is no setting; give key=value"),
        (["data={"], "the value is no YAML"),
        (["trains=geometry", "geometry.mode=none"], "nothing to train"),
    ],
)
def test_wrong_settings_are_named(words, said):
    with pytest.raises(TrainingError) as error:
        load_config("tiny", words)
    assert said in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(TrainingError, match=r"no file nope; .*scene_gsm_qwen2_5_vl_3b, scene_gsm_qwen2_5_vl_7b, tiny"):
        load_config("nope")
    (tmp_path / "a.yaml").write_text("base: [")
    with pytest.raises(TrainingError, match=r"a\.yaml is no YAML"):
        load_config(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("out: o")
    with pytest.raises(TrainingError, match="a configuration lacks base"):
        load_config(tmp_path / "a.yaml")


def test_the_configurations_that_come_along():
    names = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert {"tiny", "scene_gsm_qwen2_5_vl_3b", "scene_gsm_qwen2_5_vl_7b"} <= names
    for name in names:
        if name.startswith("accelerate"):
            told = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
            assert told["num_processes"] >= 2 and told["distributed_type"] in ("MULTI_GPU", "FSDP")
        else:
            assert load_config(name).geometry.mode == "gsm"
    for name in ("accelerate_ddp", "accelerate_fsdp", "accelerate_two_cpu"):
        config = pytest.importorskip("accelerate.commands.config.config_args").load_config_from_file(
            str(CONFIGS / f"{name}.yaml")
        )
        assert config.num_processes >= 2


def test_the_command(tmp_path, capsys):
    for part in ("torch", "transformers", "accelerate", "peft", "pyarrow"):
        pytest.importorskip(part)
    from tests.tiny_vlm import tiny_qwen25_vl
    from tests.training_runs import make_sets

    folder = make_sets(tmp_path / "sets")
    tiny_qwen25_vl(folder / "base")
    words = [
        f"base={folder / 'base'}", f"data.train=[{folder / 'train.parquet'}]", f"data.scenes={folder / 'scenes'}",
        f"data.held_out=[{folder / 'test.parquet'}]", f"data.cache={tmp_path / 'cache'}", f"out={tmp_path / 'run'}",
        "steps=3", "batch.rows=2", "evaluation.controls=false",
    ]  # fmt: skip
    assert cli.main(["train", "sft", "tiny", *words, "stop_after=1"]) == 130
    assert "stopped; the same command goes on" in capsys.readouterr().out
    assert cli.main(["train", "sft", "tiny", *words]) == 0
    said = capsys.readouterr().out
    assert "3 of 3 steps" in said and "chance 25.0 %" in said and "/run/model (dsr ask --backend vlm)" in said
    assert cli.main(["train", "sft", "tiny", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finished"]
    assert cli.main(["train", "sft", "nothing.yaml"]) == 2
    assert "dsr train: there is no file nothing.yaml" in capsys.readouterr().err
