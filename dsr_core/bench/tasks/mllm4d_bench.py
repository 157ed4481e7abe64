"""MLLM4D-Bench (arXiv 2603.00515): six tasks of a thousand four-option questions; all tasks weigh the same.

Its file format is not published; read are records {id, video, question, options, answer, task}.
"""

from __future__ import annotations

from pathlib import Path

from dsr_core.bench.dataset import answer, options, table, take, unique
from dsr_core.bench.frames import FramePolicy
from dsr_core.bench.prompts import Prompt, as_in_training, multiple_choice
from dsr_core.bench.row import Row
from dsr_core.bench.scores import macro
from dsr_core.bench.task import Reference, Task

_PAPER = "arXiv 2603.00515, table of MLLM4D-Bench"


def read(path: Path) -> list[Row]:
    """Rows of a table of generic records.

    Raises:
        BenchError: the file is absent or cut off, or a row is malformed.
    """
    file, records = table(path, ("test.jsonl", "test.json", "test.parquet"))
    keys = unique(str(record.get("id", at)) for at, record in enumerate(records))
    return [_row(key, record, f"{file}, row {at}") for at, (key, record) in enumerate(zip(keys, records, strict=True))]


def _row(key: str, record: dict, where: str) -> Row:
    choices = options(take(record, ("options", "choices", "candidates"), where), where)
    return Row(
        key=key,
        video=str(take(record, ("video", "video_path", "videoID"), where)),
        question=str(take(record, ("question",), where)),
        choices=choices,
        answer=answer(take(record, ("answer",), where), choices, where),
        type=str(take(record, ("task", "type", "question_type"), where)),
    )


TASK = Task(
    name="mllm4d_bench",
    version=1,
    title="MLLM4D-Bench",
    source="hf.co/datasets/flow666/MLLM-4D-Datasets",
    read=read,
    prompts={
        "official": Prompt(
            "official", 1, "Video-MME's instruction; the authors' own is not published", multiple_choice
        ),
        "training": Prompt("training", 1, "question, options, letter", as_in_training, max_tokens=16),
    },
    frames=FramePolicy("uniform", 32, hide_future=False),
    aggregate=macro,
    chance=0.25,
    sizes={6000: "the published composition"},
    references=(
        Reference("MLLM-4D (Qwen3-VL-8B)", 0.727, _PAPER),
        Reference("MLLM-4D (Qwen2.5-VL-7B)", 0.702, _PAPER),
        Reference("VG-LLM (7B)", 0.563, _PAPER),
        Reference("Gemini-2.5-Pro", 0.466, _PAPER),
        Reference("GPT-4o", 0.449, _PAPER),
        Reference("Qwen3-VL-8B", 0.353, _PAPER),
        Reference("Qwen2.5-VL-7B", 0.343, _PAPER),
    ),
)
