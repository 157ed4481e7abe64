"""VLM4D (ICCV 2025, arXiv 2508.02095): motion in real and synthetic videos; all rows of both files weigh the same."""

from __future__ import annotations

import re
from pathlib import Path

from dsr_core.bench.dataset import options, table, take, unique, with_text
from dsr_core.bench.frames import FramePolicy
from dsr_core.bench.prompts import Prompt, chain_of_thought, direct
from dsr_core.bench.row import BenchError, Row
from dsr_core.bench.scores import Outcome, Scores, by, figure, notes_of
from dsr_core.bench.task import Reference, Task

FILES = ("real_mc.json", "synthetic_mc.json")
#: Of the real rows those numbered higher are filmed by the one who acts.
LAST_EXOCENTRIC = 922
TYPES = ("ego", "exo", "directional", "false_positive")
_PAPER = "arXiv 2508.02095, table 1"
_REMOTE = re.compile(r"^https?://.*?/(?:resolve|raw)/[^/]+/")


def read(path: Path) -> list[Row]:
    """Rows of both files of a folder, or of one file. An id repeats from file to file, so a key is "file|id".

    Raises:
        BenchError: there is none of the files, or a row is malformed.
    """
    path = Path(path)
    files = [path / name for name in FILES if (path / name).is_file()] if path.is_dir() else [path]
    if not files:
        raise BenchError(f"{path} holds neither {FILES[0]} nor {FILES[1]}")
    return [row for file in files for row in _rows(file)]


def _rows(file: Path) -> list[Row]:
    file, records = table(file)
    group = "synthetic" if "synthetic" in file.stem else "real"
    keys = unique(f"{group}|{take(record, ('id',), f'{file}, row {at}')}" for at, record in enumerate(records))
    return [
        _row(key, record, group, f"{file}, row {at}")
        for at, (key, record) in enumerate(zip(keys, records, strict=True))
    ]


def _row(key: str, record: dict, group: str, where: str) -> Row:
    choices = options(take(record, ("choices",), where), where)
    text = str(take(record, ("answer", "ground_truth_answer"), where))
    letters = with_text(text, choices)
    if not letters:
        raise BenchError(f"{where}: the answer {text!r} is none of its options {choices}")
    return Row(
        key=key,
        video=_REMOTE.sub("", str(record.get("video", ""))),
        question=str(take(record, ("question",), where)),
        choices=choices,
        answer=letters[0],
        letters=letters,
        type=_type(key, group, text, where),
        group=group,
    )


def _type(key: str, group: str, answer: str, where: str) -> str:
    """By the authors' rules: the id's number for real rows, an answer "no" or "no …" for synthetic ones."""
    if group == "synthetic":
        said = answer.strip().lower()
        return "false_positive" if said == "no" or said.startswith("no ") else "directional"
    digits = re.search(r"(\d+)(?:#\d+)?$", key)
    if digits is None:
        raise BenchError(f"{where}: the id {key.partition('|')[2]!r} has no number")
    return "exo" if int(digits[1]) <= LAST_EXOCENTRIC else "ego"


def aggregate(outcomes: list[Outcome]) -> Scores:
    """The pooled accuracy; real, synthetic and their two halves."""
    by_group = {f.name: f for f in by(outcomes, lambda row: row.group, ("real", "synthetic"))}
    return Scores(figure("overall", outcomes), by_group, by(outcomes, lambda row: row.type, TYPES), notes_of(outcomes))


TASK = Task(
    name="vlm4d",
    version=1,
    title="VLM4D",
    source="hf.co/datasets/shijiezhou/VLM4D (MIT; videos of DAVIS, YouTube-VOS, Ego4D, Cosmos)",
    read=read,
    prompts={
        "cot": Prompt("cot", 1, "MMVU's, as VLM4D uses it", chain_of_thought, max_tokens=1024, temperature=1.0),
        "direct": Prompt("direct", 1, "MMVU's, as VLM4D uses it", direct, max_tokens=1024, temperature=1.0),
    },
    frames=FramePolicy("uniform", 32, hide_future=False),
    aggregate=aggregate,
    types=TYPES,
    chance=0.241,
    sizes={1816: "both files (1000 videos)", 1371: "the real videos alone", 445: "the synthetic videos alone"},
    references=(
        Reference("human", 0.988, _PAPER),
        Reference("random", 0.241, _PAPER),
        Reference("Gemini-2.5-Pro", 0.619, _PAPER, note="chain of thought"),
        Reference("Gemini-2.5-Pro", 0.635, _PAPER, "real", "chain of thought"),
        Reference("GPT-4o", 0.600, "arXiv 2603.00515, table of VLM4D", "real", "chain of thought, 32 frames"),
        Reference("GPT-4o", 0.575, "arXiv 2603.00515, table of VLM4D", note="chain of thought, 32 frames"),
        Reference("Qwen2.5-VL-7B", 0.438, _PAPER, note="chain of thought, 1 frame a second"),
        Reference("Qwen2.5-VL-7B", 0.445, _PAPER, note="direct, 1 frame a second"),
        Reference("Qwen2.5-VL-7B", 0.433, "arXiv 2603.00515, table of VLM4D", "real", "chain of thought"),
        Reference("MLLM-4D (Qwen3-VL-8B)", 0.610, "arXiv 2603.00515", note="58.8 % when its replies are read by rules"),
    ),
)
