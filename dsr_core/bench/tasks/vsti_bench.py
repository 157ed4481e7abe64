"""VSTI-Bench (VLM-3R, arXiv 2505.20279): rooms and camera motion; all question types weigh the same."""

from __future__ import annotations

from pathlib import Path

from dsr_core.bench.dataset import answer, is_missing, number, options, table, take, unique
from dsr_core.bench.frames import FramePolicy
from dsr_core.bench.prompts import Prompt, frames_of_a_video
from dsr_core.bench.row import Row
from dsr_core.bench.scores import Outcome, Scores, macro, mean_of, merged
from dsr_core.bench.task import Reference, Task

DISTANCES = tuple(f"camera_obj_rel_dist_v{version}" for version in (1, 2, 3))
POSITIONS = tuple(f"obj_obj_relative_pos_{axis}" for axis in ("nf", "ud", "lr"))
NUMERIC = ("camera_obj_abs_dist", "camera_displacement", "camera_obj_dist_change")
TYPES = (*NUMERIC, *DISTANCES, *POSITIONS, "camera_movement_direction")


def read(path: Path) -> list[Row]:
    """Rows of the published test set (parquet or json). Rows without an id are numbered.

    Raises:
        BenchError: the file is absent or cut off, or a row is malformed.
    """
    file, records = table(path, ("test.parquet", "test.jsonl", "test.json"))
    keys = unique(str(record.get("id", at)) for at, record in enumerate(records))
    return [_row(key, record, f"{file}, row {at}") for at, (key, record) in enumerate(zip(keys, records, strict=True))]


def _row(key: str, record: dict, where: str) -> Row:
    choices = None if is_missing(record.get("options")) else options(record["options"], where)
    truth = record.get("mc_answer") if choices is not None else None
    if is_missing(truth):
        truth = take(record, ("ground_truth",), where)
    return Row(
        key=key,
        video=str(take(record, ("video_path", "video"), where)),
        question=str(take(record, ("question",), where)),
        choices=choices,
        answer="" if choices is None else answer(truth, choices, where),
        number=number(truth, where) if choices is None else None,
        type=str(take(record, ("question_type",), where)),
    )


def aggregate(outcomes: list[Outcome]) -> Scores:
    """The mean of the types; beside it the mean of tasks, versions and axes merged, that some tables have."""
    scores = macro(outcomes, TYPES)
    tasks = merged(scores.by_type, {"camera_obj_rel_dist": DISTANCES, "obj_obj_relative_pos": POSITIONS})
    figures = {**scores.figures, "tasks": mean_of("mean of merged tasks", tasks)}
    return Scores(scores.headline, figures, scores.by_type, scores.notes)


TASK = Task(
    name="vsti_bench",
    version=1,
    title="VSTI-Bench",
    source="hf.co/datasets/Journey9ni/vstibench",
    read=read,
    prompts={"official": Prompt("official", 1, "as VSI-Bench", frames_of_a_video, max_tokens=16)},
    frames=FramePolicy("uniform", 32, hide_future=False),
    aggregate=aggregate,
    types=TYPES,
    chance=0.25,
    references=(
        Reference("VLM-3R", 0.588, "arXiv 2505.20279"),
        Reference("4D-RGPT", 0.591, "arXiv 2512.17012"),
    ),
)
