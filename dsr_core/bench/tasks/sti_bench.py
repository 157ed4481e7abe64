"""STI-Bench (ICCV 2025, arXiv 2503.23765): eight tasks, five options, the micro average."""

from __future__ import annotations

from pathlib import Path

from dsr_core.bench.dataset import answer, number, options, table, take, unique
from dsr_core.bench.frames import FramePolicy
from dsr_core.bench.prompts import Prompt, in_window
from dsr_core.bench.row import Row
from dsr_core.bench.scores import Outcome, Scores, by, micro
from dsr_core.bench.task import Reference, Task

TYPES = (
    "Dimensional Measurement",
    "Spatial Relation",
    "3D Video Grounding",
    "Displacement & Path Length",
    "Speed & Acceleration",
    "Ego-Centric Orientation",
    "Trajectory Description",
    "Pose Estimation",
)
_PAPER = "arXiv 2503.23765"


def read(path: Path) -> list[Row]:
    """Rows of qa.parquet or of EASI's TSV. An ID repeats, so a key is "Video|ID|time_start|time_end".

    Raises:
        BenchError: the file is absent or cut off, or a row is malformed.
    """
    file, records = table(path, ("qa.parquet", "STIBench.tsv"))
    rows = [_parts(record, f"{file}, row {at}") for at, record in enumerate(records)]
    keys = unique(key for key, _ in rows)
    return [Row(key=key, **parts) for key, (_, parts) in zip(keys, rows, strict=True)]


def _parts(record: dict, where: str) -> tuple[str, dict]:
    video = str(take(record, ("Video", "video"), where))
    start, end = (take(record, (f"time_{name}", f"Time_{name}"), where) for name in ("start", "end"))
    choices = options(take(record, ("Candidates", "candidates", "options"), where), where)
    identity = take(record, ("ID", "id", "index"), where)
    parts = {
        "video": video if "." in video.rsplit("/", 1)[-1] else f"{video}.mp4",
        "question": str(take(record, ("Question", "question"), where)),
        "choices": choices,
        "answer": answer(take(record, ("Answer", "answer"), where), choices, where),
        "type": str(take(record, ("Task", "task_type", "task"), where)),
        "group": str(record.get("Scene") or record.get("scene") or record.get("Source") or ""),
        "window": (number(start, where), number(end, where)),
        "fields": {"source": record.get("Source") or record.get("source") or ""},
    }
    return f"{video}|{identity}|{start}|{end}", parts


def aggregate(outcomes: list[Outcome]) -> Scores:
    """The micro average, by task, and by scene (each scene a micro average, too)."""
    scores = micro(outcomes, TYPES)
    scenes = {f"scene {f.name}": f for f in by(outcomes, lambda row: row.group or "unknown")}
    return Scores(scores.headline, {**scores.figures, **scenes}, scores.by_type, scores.notes)


TASK = Task(
    name="sti_bench",
    version=1,
    title="STI-Bench",
    source="hf.co/datasets/MINT-SJTU/STI-Bench (qa.parquet, video.zip)",
    read=read,
    prompts={"official": Prompt("official", 1, "the authors' openai_test.py, as VLMEvalKit has it", in_window)},
    frames=FramePolicy("uniform", 30, hide_future=False),
    aggregate=aggregate,
    types=TYPES,
    chance=0.2,
    sizes={2064: "the published file"},
    references=(
        Reference("Gemini-2.5-Pro", 0.414, _PAPER),
        Reference("Qwen2.5-VL-72B", 0.407, _PAPER),
        Reference("GPT-4o", 0.348, _PAPER),
        Reference("DSR GSM (Qwen2.5-VL-7B)", 0.352, "arXiv 2512.20557", note="20K questions"),
        Reference("Qwen2.5-VL-7B", 0.332, "arXiv 2512.20557"),
    ),
)
