"""VSI-Bench (arXiv 2412.14171): rooms; multiple choice and numbers (mean relative accuracy), mean of eight tasks."""

from __future__ import annotations

from pathlib import Path

from dsr_core.bench.dataset import answer, is_missing, number, options, table, take, unique
from dsr_core.bench.frames import FramePolicy
from dsr_core.bench.prompts import Prompt, frames_of_a_video
from dsr_core.bench.row import Row
from dsr_core.bench.scores import Outcome, Scores, by, figure, mean_of, merged, notes_of
from dsr_core.bench.task import Reference, Task

DIRECTIONS = tuple(f"object_rel_direction_{level}" for level in ("easy", "medium", "hard"))
NUMERIC = ("object_counting", "object_abs_distance", "object_size_estimation", "room_size_estimation")
TYPES = (*NUMERIC, "object_rel_distance", *DIRECTIONS, "route_planning", "obj_appearance_order")


def read(path: Path) -> list[Row]:
    """Rows of test.jsonl, test_debiased.parquet or test_pruned.parquet.

    Raises:
        BenchError: the file is absent or cut off, or a row is malformed.
    """
    file, records = table(path, ("test.jsonl", "test_debiased.parquet", "test_pruned.parquet", "test.parquet"))
    keys = unique(str(take(record, ("id",), f"{file}, row {at}")) for at, record in enumerate(records))
    return [_row(key, record, f"{file}, row {at}") for at, (key, record) in enumerate(zip(keys, records, strict=True))]


def _row(key: str, record: dict, where: str) -> Row:
    dataset, scene = str(take(record, ("dataset",), where)), str(take(record, ("scene_name",), where))
    truth = take(record, ("ground_truth",), where)
    choices = None if is_missing(record.get("options")) else options(record["options"], where)
    return Row(
        key=key,
        video=f"{dataset}/{scene}.mp4",
        question=str(take(record, ("question",), where)),
        choices=choices,
        answer="" if choices is None else answer(truth, choices, where),
        number=number(truth, where) if choices is None else None,
        type=str(take(record, ("question_type",), where)),
        group=dataset,
        fields={"scene": scene, "pruned": bool(record.get("pruned"))},
    )


def aggregate(outcomes: list[Outcome]) -> Scores:
    """The three levels of relative direction become one task, then all tasks weigh the same."""
    by_type = by(outcomes, lambda row: row.type, TYPES)
    tasks = merged(by_type, {"object_rel_direction": DIRECTIONS})
    figures = {"micro": figure("micro average", outcomes)}
    figures |= {f.name: f for f in tasks if f.name == "object_rel_direction"}
    return Scores(mean_of("mean of tasks", tasks), figures, by_type, notes_of(outcomes, TYPES))


TASK = Task(
    name="vsi_bench",
    version=1,
    title="VSI-Bench",
    source="hf.co/datasets/nyu-visionx/VSI-Bench",
    read=read,
    prompts={"official": Prompt("official", 1, "thinking-in-space", frames_of_a_video, max_tokens=16)},
    frames=FramePolicy("uniform", 32, hide_future=False),
    aggregate=aggregate,
    types=TYPES,
    chance=0.25,
    sizes={5130: "the full set"},
    references=(
        Reference("VLM-3R", 0.609, "arXiv 2505.20279", note="issue 43: released weights give 52.5"),
        Reference("VG-LLM (8B)", 0.507, "arXiv 2505.24625"),
        Reference("Qwen2.5-VL-7B", 0.334, "arXiv 2512.20557, ablations"),
    ),
)
