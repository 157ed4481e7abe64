"""`dsr train`: trains a vision-language model on question sets."""

from __future__ import annotations

import argparse
import importlib

from dsr_core.commands.common import DONE, print_json, show_progress, verb
from dsr_core.errors import DependencyError

STOPPED = 130
_EPILOG = """\
CONFIG is a YAML file, or the name of one that comes along: scene_gsm_qwen2_5_vl_3b, scene_gsm_qwen2_5_vl_7b, tiny.
Words KEY=VALUE change its settings (keys with dots, values as YAML). The same command goes on with a run that was
stopped.

examples:
  dsr train sft scene_gsm_qwen2_5_vl_3b data.train=train.parquet data.recordings='[bags/]' out=runs/mine
  dsr train sft mine.yaml geometry.mode=gated optimizer.lr=5e-5 evaluation.every=500
  accelerate launch --config_file training/configs/accelerate_ddp.yaml -m training.sft mine.yaml

In its out: config.yaml, log.jsonl, tensorboard/, loss.png, checkpoints/, model/ (what `dsr ask --backend vlm` takes),
result.json. Exit status: 0 done, 130 stopped (SIGTERM, Ctrl-C; a checkpoint was saved), 2 wrong usage or data.
More: docs/training.md"""


def add(verbs) -> None:
    parser = verb(verbs, "train", "train a vision-language model on question sets", run, _EPILOG)
    parser.add_argument("method", choices=("sft",), help="sft: supervised fine-tuning")
    parser.add_argument("config", metavar="CONFIG", help="YAML file, or the name of one that comes along")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings in place of the file's")


def run(args: argparse.Namespace) -> int:
    try:
        sft = importlib.import_module("training.sft")
    except ImportError as error:
        if error.name == "training":
            raise DependencyError("the package training is not installed; install dsr_ros again (make setup)") from None
        raise DependencyError(
            f"training needs more than is installed ({error}); install torch first, then pip install 'dsr_ros[train]'"
        ) from None
    result = sft.train(sft.load_config(args.config, args.settings), progress=show_progress(args))
    if args.json:
        print_json(result.told)
    else:
        print(summary(result.told))
    return DONE if result.finished else STOPPED


def summary(told: dict) -> str:
    """A run's result in some lines."""
    out = told["settings"]["out"]
    loss = "" if told["loss"] is None else f", loss {told['loss']:.4f}"
    lines = [
        f"{told['steps']} of {told['steps_in_all']} steps, {told['tokens']} tokens in {told['seconds']:.0f} s{loss}"
    ]
    if told["logit_change_at_start"] is not None:
        lines.append(f"before the first step geometry changed a logit by {told['logit_change_at_start']:.3g} at most")
    found = told["evaluation"]
    if found and found["rows"]:
        beside = [
            f"{name.replace('_', ' ')} {_percent(found[name])}"
            for name in ("blind", "shuffled_geometry")
            if name in found
        ]
        beside.append(f"chance {100 * found['chance']:.1f} %")
        error = f" +- {100 * found['standard_error']:.1f}"
        lines.append(f"held-out: {found['rows']} rows, right {_percent(found)}{error} ({', '.join(beside)})")
        lines += [f"  {kind:16s} {part['rows']:6d} {_percent(part):>8s}" for kind, part in found["by_type"].items()]
    if told["finished"]:
        lines.append(f"-> {out}/model (dsr ask --backend vlm), {out}/result.json, {out}/loss.png")
    else:
        lines.append(f"stopped; the same command goes on from {out}/checkpoints")
    return "\n".join(lines)


def _percent(part: dict) -> str:
    return "-" if part["accuracy"] is None else f"{100 * part['accuracy']:.1f} %"
