"""A result: what a run is written down as, and read back from. It does not depend on when or how often it was run."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dsr_core.bench.dataset import TABLES
from dsr_core.bench.row import BenchError, Row
from dsr_core.bench.scores import Figure, Outcome, Scores
from dsr_core.bench.task import Task, find_task
from dsr_core.files import whole_file

FORMAT = 1
RESULT_FILE, REPLIES_FILE, REPORT_FILE = "result.json", "replies.jsonl", "report.html"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Result:
    """A run's result.

    Attributes:
        settings: Task, prompt, decoding, frames, parser, model, and the data file with its hash.
        scores: The figures.
        outcomes: One a row. Read back from a file their rows hold the key, the type and the right answer alone.
        details: Row key -> why it has no reply, at length.
    """

    settings: Mapping
    scores: Scores
    outcomes: Sequence[Outcome]
    details: Mapping[str, str]

    @property
    def task(self) -> Task:
        return find_task(self.settings["task"])

    @property
    def name(self) -> str:
        """The model's name, and what was done to its frames."""
        order = (self.settings["frames"] or {"order": "ordered"})["order"]
        told = {"ordered": "", "none": ", blind", "first": ", first frame alone"}.get(order, f", {order} frames")
        return self.settings["model"]["name"] + told

    def to_dict(self) -> dict:
        """As it is written; numbers that are none become null."""
        scores = self.scores
        return {
            "format": FORMAT,
            **self.settings,
            "scores": {
                "headline": _figure(scores.headline),
                "figures": {name: _figure(figure) for name, figure in scores.figures.items()},
                "by_type": [_figure(figure) for figure in scores.by_type],
                "notes": list(scores.notes),
            },
            "rows": [self._row(outcome) for outcome in self.outcomes],
        }

    def _row(self, outcome: Outcome) -> dict:
        row = outcome.row
        out = {"key": row.key, "type": row.type, "answer": row.answer or row.number, "status": outcome.status}
        out |= {"parsed": outcome.parsed, "score": outcome.score}
        if outcome.why:
            out["why"] = self.details.get(row.key) or outcome.why
        return out

    def save(self, folder: str | Path) -> Path:
        """Writes `folder`/result.json, whole or not at all."""
        path = Path(folder) / RESULT_FILE
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def load_result(folder: str | Path) -> Result:
    """Reads the result of a folder (or the file itself).

    Raises:
        BenchError: there is none, or it is of another program or version.
    """
    path = Path(folder)
    path = path / RESULT_FILE if path.is_dir() else path
    if not path.is_file():
        raise BenchError(f"{folder} holds no {RESULT_FILE}; run dsr bench with --out {folder} first")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise BenchError(f"{path} is of format {found['format']}, this program reads {FORMAT}; run dsr bench again")
        scores = found["scores"]
        outcomes = [_outcome(row) for row in found["rows"]]
        return Result(
            {name: value for name, value in found.items() if name not in ("format", "scores", "rows")},
            Scores(
                _read(scores["headline"]),
                {name: _read(figure) for name, figure in scores["figures"].items()},
                tuple(map(_read, scores["by_type"])),
                tuple(scores["notes"]),
            ),
            outcomes,
            {o.row.key: o.why for o in outcomes if o.why},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{path} is no result of dsr bench ({type(error).__name__}: {error})") from error


def sha256_of(path: str | Path) -> str:
    """Of a file; of a folder, that of its tables' names and contents in order of their names.

    Raises:
        BenchError: there is no such path.
    """
    path, digest = Path(path), hashlib.sha256()
    if not path.exists():
        raise BenchError(f"there is no file {path}")
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix.lower() in TABLES)
    for file in files:
        if path.is_dir():
            digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()


def _figure(figure: Figure) -> dict:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(figure).items()
    }


def _read(told: Mapping) -> Figure:
    return Figure(**{name: math.nan if value is None else value for name, value in told.items()})


def _outcome(told: Mapping) -> Outcome:
    answer = told["answer"]
    if isinstance(answer, str):
        row = Row(told["key"], "", "", {answer: ""}, answer, type=told["type"])
    else:
        row = Row(told["key"], "", "", None, number=float(answer), type=told["type"])
    return Outcome(row, told["status"], float(told["score"]), told["parsed"], None, told.get("why", ""))
