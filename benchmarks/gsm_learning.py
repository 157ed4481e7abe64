"""Does a model learn to reason about motion from geometry tokens, and is the geometry why?

    python benchmarks/gsm_learning.py FOLDER                    under an hour; --jobs 2 is sooner, each run slower
    python benchmarks/gsm_learning.py FOLDER --only gsm blind   some of the runs; finished ones are kept
    python benchmarks/gsm_learning.py FOLDER --hidden 512 --layers 6 --steps 10000 --smooth 1000       on a GPU

A small Qwen2.5-VL of random weights is trained from scratch by `training.sft` on debiased questions
about distance, direction and speed (`gsm_questions.py` makes them in FOLDER where they are not there yet), in several
ways: on the words alone; with pictures; with tokens of the scene, of more or fewer questions; and with each way of
fusing geometry. Training and test scenes are disjoint. Then it is asked once more without what it sees, and with the
geometry of another question. Prints a table, and draws FOLDER/learning.png.

Recorded scenes carry no pictures here, so runs with pictures learn from the simulated questions alone.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.gsm_questions import TYPES, make_sets

SCENE = {"scene": {"samples": 32, "per_token": 32, "wavelengths": [], "boxes": False}}
#: Runs whose tokens take less from what the grammar reads off the question: not who it names, or nothing at all.
LESS_TOLD = {"gsm, unmarked": {"marked": False}, "gsm, whole memory": {"as_asked": False}}
PICTURES = {"count": 4, "kept": 48, "max_pixels": 84 * 56, "within_window": True}
#: Pictures a second of the simulated scenes' videos, and their (width, height).
RATE_HZ, SIZE_PX = 2.5, (112, 84)
#: Run -> mode, whether pictures are shown, and at most so many questions.
RUNS = {
    "blind": ("none", False, None),
    "gsm": ("gsm", False, None),
    "gsm, unmarked": ("gsm", False, None),
    "gsm, whole memory": ("gsm", False, None),
    "gsm, 500 questions": ("gsm", False, 500),
    "gsm, 1500 questions": ("gsm", False, 1_500),
    "gsm, 4500 questions": ("gsm", False, 4_500),
    "gsm, 13500 questions": ("gsm", False, 13_500),
    "concat": ("concat", False, None),
    "pictures": ("none", True, None),
    "pictures, add": ("add", True, None),
    "pictures, gsm": ("gsm", True, None),
    "pictures, gated": ("gated", True, None),
}
GROUPS = {"distance": "dis", "direction": "dir", "speed": "spd_comp"}


# --- the material


def prepare(folder: Path, args: argparse.Namespace) -> None:
    """Questions, those of them about simulated scenes, videos of these, and a tokenizer; what is there is kept."""
    from dsr_core.qa.files.files import write_items
    from dsr_core.qa.files.readers import read_items

    make_sets(folder, args.smooth, args.test_smooth, args.each, args.recorded, args.most)
    for part in ("train", "test"):
        for name, recorded in (("simulated", False), ("recorded", True)):
            path = folder / f"{part}.{name}.parquet"
            if not path.is_file():
                items = read_items(folder / f"{part}.parquet")
                write_items(path, [i for i in items if i.candidate.scene.startswith("kitti") == recorded])
    _videos(folder)
    if not (folder / "tokenizer").is_dir():
        items = read_items(folder / "train.parquet")
        names = {name for i in items for name in (i.candidate.viewer, *i.candidate.things)}
        texts = [text for i in items for text in (i.candidate.question, *i.options)]
        _tokenizer(texts, sorted(names, key=len, reverse=True)).save_pretrained(folder / "tokenizer")


def _videos(folder: Path) -> None:
    import cv2
    import numpy as np

    from benchmarks.gsm_pictures import pictures
    from dsr_core.sources import open_source

    out = folder / "videos"
    out.mkdir(exist_ok=True)
    for path in sorted((folder / "scenes").glob("smooth*.scene.npz")):
        name = path.name.removesuffix(".scene.npz")
        video = out / f"{name}.mp4"
        if video.is_file():
            continue
        scene = open_source(path).scene()
        times_s = np.arange(scene.start_s, scene.end_s + 1e-6, 1.0 / RATE_HZ)
        partial = out / f".{name}.mp4"
        writer = cv2.VideoWriter(str(partial), cv2.VideoWriter_fourcc(*"mp4v"), RATE_HZ, SIZE_PX)
        for picture in pictures(scene, times_s, SIZE_PX):
            writer.write(np.ascontiguousarray(picture[..., ::-1]))
        writer.release()
        partial.replace(video)


def _tokenizer(texts: list[str], names: list[str]):
    """Byte pairs learned from the questions: digits, names and full stops stand apart, phrases become tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(rf"\d|(?<=[a-zA-Z])\.(?= |$)|\b(?:{'|'.join(names)})\b"), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False))
    specials = ["im_start", "im_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad"]
    out = PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|endoftext|>", *(f"<|{name}|>" for name in specials)],
    )
    out.chat_template = (
        "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'video' %}"
        "<|vision_start|><|video_pad|><|vision_end|>{% elif c['type'] == 'image' %}"
        "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>{% endif %}"
    )
    return out


def base_of(folder: Path, hidden: int, layers: int) -> dict:
    """Configuration of a small Qwen2.5-VL of random weights."""
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder / "tokenizer")
    ids = words.convert_tokens_to_ids
    head = hidden // 4
    return {
        "model_type": "qwen2_5_vl",
        "text_config": {
            "vocab_size": len(words), "hidden_size": hidden, "intermediate_size": 2 * hidden,
            "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 4,
            "max_position_embeddings": 2048, "tie_word_embeddings": False, "initializer_range": hidden**-0.5,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e4, "mrope_section": [head // 8, head // 8, head // 4]
            },
            "bos_token_id": ids("<|endoftext|>"), "eos_token_id": ids("<|im_end|>"),
            "pad_token_id": ids("<|endoftext|>"),
        },
        "vision_config": {
            "depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": hidden,
            "fullatt_block_indexes": [1], "window_size": 56, "patch_size": 14, "spatial_merge_size": 2,
            "temporal_patch_size": 2, "tokens_per_second": 2,
        },
        "image_token_id": ids("<|image_pad|>"), "video_token_id": ids("<|video_pad|>"),
        "vision_start_token_id": ids("<|vision_start|>"), "vision_end_token_id": ids("<|vision_end|>"),
        "tie_word_embeddings": False,
    }  # fmt: skip


# --- a run


def settings_of(folder: Path, name: str, args: argparse.Namespace) -> dict:
    """What `training.sft` is told for a run."""
    mode, shown, limit = RUNS[name]
    scene = {"scene": SCENE["scene"] | LESS_TOLD.get(name, {})}
    which = ".simulated" if shown else ""
    share = 0.25 if shown else 0.8 if name in LESS_TOLD else 1.0  # their steps take longer
    return {
        "base": {"config": base_of(folder, args.hidden, args.layers), "tokenizer": str(folder / "tokenizer")},
        "out": str(run_folder(folder, name)),
        "data": {
            "train": [str(folder / f"train{which}.parquet")], "held_out": [str(folder / f"test{which}.parquet")],
            "scenes": str(folder / "scenes"), "videos": str(folder / "videos") if shown else None,
            "cache": str(folder / "cache"), "limit": limit, "held_out_limit": args.test, "memory_gb": 4.0, "workers": 1,
        },
        "frames": PICTURES if shown else None,
        "geometry": {
            "mode": mode, "sources": scene if mode != "none" else {}, "queries": args.queries, "width": 128, "heads": 4,
            "out_scale": 1.0,
        },
        "prompt": {"reply": "text", "show_options": False},
        "trains": "full", "vision": True, "dtype": "float32", "blind": name == "blind",
        "batch": {"tokens": 65536, "rows": args.rows, "pool": 1, "micro_batches": 1},
        "optimizer": {"lr": args.lr, "geometry_lr": args.geometry_lr, "warmup": 0.05, "betas": [0.9, 0.98]},
        "steps": int(args.steps * share), "evaluation": {"batch": 32}, "save_every": 500, "keep": 1,
        "tensorboard": False, "max_tokens": 1024,
    }  # fmt: skip


def run_folder(folder: Path, name: str) -> Path:
    return folder / "runs" / name.replace(", ", "_").replace(" ", "_")


def run_one(folder: Path, name: str, args: argparse.Namespace) -> None:
    """Trains and asks one model; its result goes to FOLDER/runs/NAME/learning.json."""
    import torch

    from training.config import config_from
    from training.sft import train

    torch.set_num_threads(args.threads)
    begun = time.perf_counter()
    result = train(config_from(settings_of(folder, name, args)), progress=sys.stderr.isatty())
    if not result.finished:
        raise SystemExit(f"{name}: stopped after {result.steps} steps; the same command goes on")
    told = {"minutes": (time.perf_counter() - begun) / 60, "result": result.told}
    told["recorded"] = _recorded(folder, name, result)
    (run_folder(folder, name) / "learning.json").write_text(json.dumps(told))


def _recorded(folder: Path, name: str, result) -> dict | None:
    """How often the model is right about recorded scenes alone; None where it has not learned from any."""
    from dsr_core.vlm.recordings import Places, Recordings
    from dsr_core.vlm.rows import QuestionSet
    from training.evaluation import evaluate

    if RUNS[name][1]:
        return None
    places = Places(scenes=str(folder / "scenes"))
    recordings = Recordings(places, str(folder / "cache"), None, 1e9, 1e9)
    sources = {} if name == "blind" else result.model.sources
    questions = QuestionSet([folder / "test.recorded.parquet"], recordings, sources, blind=name == "blind", limit=400)
    questions.check()
    return evaluate(result.model, questions, 32, controls=())


# --- all of them


def run_all(folder: Path, names: list[str], args: argparse.Namespace) -> None:
    """Runs what has no result yet, `args.jobs` at a time, each in a process of its own."""
    waiting = [name for name in names if not (run_folder(folder, name) / "learning.json").is_file()]
    running: dict[str, subprocess.Popen] = {}
    handed_down = ("hidden", "layers", "queries", "steps", "rows", "lr", "geometry_lr", "test", "threads")
    words = [f"--{key.replace('_', '-')}={getattr(args, key)}" for key in handed_down]
    while waiting or running:
        while waiting and len(running) < args.jobs:
            name = waiting.pop(0)
            run_folder(folder, name).mkdir(parents=True, exist_ok=True)
            with open(run_folder(folder, name) / "log.txt", "w") as log:
                command = [sys.executable, __file__, str(folder), "--run", name, *words]
                running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        time.sleep(0.5)
        for name, process in list(running.items()):
            if process.poll() is None:
                continue
            del running[name]
            if process.returncode:
                print(f"{name} failed; see {run_folder(folder, name) / 'log.txt'}", flush=True)
            else:
                print(row_of(folder, name), flush=True)


def result_of(folder: Path, name: str) -> dict | None:
    """What a run has come to, as `run_one` writes it."""
    path = run_folder(folder, name) / "learning.json"
    return json.loads(path.read_text()) if path.is_file() else None


def accuracy(evaluated: dict | None, group: str | None = None) -> float:
    """Percent right, of all questions or of one of `GROUPS`."""
    if not evaluated or not evaluated.get("rows"):
        return float("nan")
    types = evaluated["by_type"].items()
    some = [t for kind, t in types if group is None or kind.endswith(f"_{GROUPS[group]}")]
    rows = sum(t["rows"] for t in some)
    return 100.0 * sum(t["rows"] * t["accuracy"] for t in some) / rows if rows else float("nan")


HEAD = (
    f"{'run':<22}{'questions':>10}{'minutes':>9}{'all':>8}"
    + "".join(f"{group:>11}" for group in GROUPS)
    + f"{'recorded':>10}{'shown nothing':>15}{'others’ geometry':>18}"
)


def row_of(folder: Path, name: str) -> str:
    """A line of the table."""
    told = result_of(folder, name)
    if told is None:
        return f"{name:<22}  no result"
    evaluated, rows = told["result"]["evaluation"], told["result"]["rows"]["train"]
    cells = [accuracy(evaluated), *(accuracy(evaluated, group) for group in GROUPS), accuracy(told["recorded"])]
    cells += [accuracy(evaluated.get("blind")), accuracy(evaluated.get("shuffled_geometry"))]
    widths = (8, 11, 11, 11, 10, 15, 18)
    shown = "".join(f"{'-' if c != c else f'{c:.1f}':>{w}}" for c, w in zip(cells, widths, strict=True))
    return f"{name:<22}{rows:>10}{told['minutes']:>9.1f}{shown}"


def draw(folder: Path) -> Path:
    """Bars of all runs beside chance, and accuracy over the number of questions."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), width_ratios=(2, 1), layout="constrained")
    there = [name for name in RUNS if result_of(folder, name) is not None]
    ways = (("as trained", None, "tab:blue"), ("others’ geometry", "shuffled_geometry", "tab:orange"))
    for shift, (label, control, colour) in zip((-0.2, 0.2), ways, strict=True):
        shown = [result_of(folder, name)["result"]["evaluation"] for name in there]
        heights = [accuracy(e if control is None else e.get(control)) for e in shown]
        left.bar([i + shift for i in range(len(there))], heights, 0.4, label=label, color=colour)
    left.axhline(25, color="black", linewidth=1, linestyle="--", label="chance")
    left.set_xticks(range(len(there)), there, rotation=25, ha="right")
    left.set(ylabel="held-out questions right (%)", ylim=(0, 100), title="What a small model learns from scratch")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    scaled = [name for name in RUNS if name.partition(",")[0] == "gsm" and name in there and name not in LESS_TOLD]
    scaled.sort(key=lambda name: result_of(folder, name)["result"]["rows"]["train"])
    counts = [result_of(folder, name)["result"]["rows"]["train"] for name in scaled]
    for group in (None, *GROUPS):
        heights = [accuracy(result_of(folder, name)["result"]["evaluation"], group) for name in scaled]
        right.plot(counts, heights, marker="o", label=group or "all", linewidth=2.5 if group is None else 1.0)
    right.axhline(25, color="black", linewidth=1, linestyle="--")
    right.set(
        xscale="log" if scaled else "linear",
        xlabel="questions learned from",
        ylim=(0, 100),
        title="gsm with scene tokens",
    )
    if scaled:
        right.legend()
    out = folder / "learning.png"
    figure.savefig(out, dpi=110)
    plt.close(figure)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(RUNS), metavar="RUN", help=f"of: {'; '.join(RUNS)}")
    parser.add_argument("--run", choices=list(RUNS), help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, a core each; they slow each other down")
    parser.add_argument("--smooth", type=int, default=240, help="simulated scenes to train with")
    parser.add_argument("--test-smooth", type=int, default=24, help="simulated scenes to test with")
    parser.add_argument("--each", type=int, default=1200, help="candidates of each of them")
    parser.add_argument("--recorded", type=int, default=2666, help="candidates of each recording")
    parser.add_argument("--most", type=int, default=12_000, help="questions kept of each kind")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2800, help="fewer in runs whose steps take longer")
    parser.add_argument("--rows", type=int, default=64, help="questions a step")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--geometry-lr", type=float, default=5e-4)
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--test", type=int, default=1000, help="held-out questions that are asked")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    folder = args.folder.expanduser().resolve()
    if args.run:
        return run_one(folder, args.run, args)
    prepare(folder, args)
    names = args.only or list(RUNS)
    print(HEAD)
    run_all(folder, names, args)
    print("\npercent right of held-out questions; chance is 25; types:", ", ".join(TYPES))
    print("drawn:", draw(folder))


if __name__ == "__main__":
    main()
