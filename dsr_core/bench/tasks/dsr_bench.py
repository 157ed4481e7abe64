"""DSR-Bench (arXiv 2512.20557): 13 question types on everyday videos; the published result is the micro average."""

from __future__ import annotations

from pathlib import Path

from dsr_core.bench.dataset import file_in
from dsr_core.bench.frames import LAST_SECOND, FramePolicy
from dsr_core.bench.prompts import Prompt, as_in_training, multiple_choice
from dsr_core.bench.row import Row
from dsr_core.bench.scores import Outcome, Scores, micro
from dsr_core.bench.task import Reference, Task
from dsr_core.qa.files.readers import QaRow, read_rows
from dsr_core.qa.item import DSR_TYPES

_PAPER = "arXiv 2512.20557, table of DSR-Bench"


def row_of(row: QaRow) -> Row:
    """A question as the readers of question sets give it -> a row of a benchmark.

    Predictions hide what comes after the file's own second, or, where it tells none, the video's last second.
    """
    choices = {chr(65 + at): text for at, text in enumerate(row.options)}
    hide = row.future_from_s
    if hide is None and row.type.endswith("_dir_pred"):
        hide = LAST_SECOND
    return Row(
        key=f"{row.index}|{row.video_id}",
        video=f"{row.video_id}.mp4",
        question=row.question,
        choices=choices,
        answer=row.letter,
        type=row.type,
        group=row.type.partition("_")[0] if row.type in DSR_TYPES else "",
        hide_from_s=hide,
        image_size=row.image_size,
        fields={"scene": row.scene, "group": row.group} if row.scene else {},
    )


def read(path: Path) -> list[Row]:
    """Rows of benchmark.parquet, of the TSV of EASI or of the authors' evaluation, or of any file with these columns.

    Raises:
        DsrError: the file is absent, cut off or foreign; file and row are named.
    """
    return [row_of(row) for row in read_rows(file_in(path, ("benchmark.parquet", "DSRBench.tsv", "test.parquet")))]


def aggregate(outcomes: list[Outcome]) -> Scores:
    """The micro average, the macro average beside it, and the 13 types."""
    return micro(outcomes, DSR_TYPES)


def _published(model: str, share: float, source: str = _PAPER, note: str = "") -> Reference:
    return Reference(model, share, source, "", note)


TASK = Task(
    name="dsr_bench",
    version=1,
    title="DSR-Bench",
    source="hf.co/datasets/TencentARC/DSR_Suite-Data (benchmark.parquet); videos are clips of Koala-36M",
    read=read,
    prompts={
        "official": Prompt(
            "official", 1, "evaluation of DSR Suite: Video-MME's instruction after the video", multiple_choice
        ),
        "timed": Prompt("timed", 1, "the same with the frames' times in the text", multiple_choice, frame_times=True),
        "training": Prompt("training", 1, "as DSR-Train's trainer shows a question", as_in_training, max_tokens=16),
    },
    frames=FramePolicy("uniform", 32, max_pixels=602_112),
    aggregate=aggregate,
    types=DSR_TYPES,
    chance=0.25,
    sizes={1450: "the published file (563 videos)", 1484: "the count of the paper (575 videos)"},
    references=(
        _published("DSR GSM (Qwen2.5-VL-7B)", 0.589),
        _published("VG-LLM", 0.384),
        _published("Gemini-2.5-Pro", 0.317),
        _published("VLM-3R", 0.314),
        _published("Qwen3-VL-30B-A3B", 0.311),
        _published("GPT-5", 0.308),
        _published("Qwen3-VL-8B", 0.287),
        _published("GPT-4o", 0.264),
        _published("Qwen2.5-VL-7B", 0.235),
        _published("GenDSR (Qwen3-VL-8B)", 0.672, "GenDSR (2026)"),
        _published("GeoSR", 0.661, "arXiv 2603.26639"),
        _published("fine-tuned, without the video", 0.68, "DSR_Suite issue 9", "reported, not confirmed"),
    ),
)
