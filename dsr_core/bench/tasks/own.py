"""Our own question sets (`dsr qa`), and any file with a question, options and an answer."""

from __future__ import annotations

from pathlib import Path

from dsr_core.bench.dataset import file_in
from dsr_core.bench.frames import FramePolicy
from dsr_core.bench.prompts import Prompt, multiple_choice, plain_question
from dsr_core.bench.row import Row
from dsr_core.bench.scores import micro
from dsr_core.bench.task import Task
from dsr_core.bench.tasks.dsr_bench import row_of
from dsr_core.qa.files.readers import read_rows
from dsr_core.qa.item import DSR_TYPES


def read(path: Path) -> list[Row]:
    """Rows of a file that `dsr qa` wrote, or of any layout that `dsr_core.qa.files.readers.read_rows` reads.

    Raises:
        DsrError: the file is absent, cut off or foreign; file and row are named.
    """
    return [row_of(row) for row in read_rows(file_in(path, ("questions.parquet", "qa.parquet")))]


TASK = Task(
    name="own",
    version=1,
    title="Our own format",
    source="made by `dsr qa`",
    read=read,
    prompts={
        "plain": Prompt("plain", 1, "ours", plain_question, max_tokens=64, frame_times=True),
        "official": Prompt("official", 1, "as DSR-Bench", multiple_choice),
    },
    frames=FramePolicy("uniform", 32),
    aggregate=lambda outcomes: micro(outcomes, DSR_TYPES),
    types=(),
)
