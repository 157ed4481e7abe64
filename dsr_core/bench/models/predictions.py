"""Replies that a model has given elsewhere: read from a file in any usual layout and joined to the benchmark's rows."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dsr_core.bench.dataset import is_missing, table
from dsr_core.bench.models.base import Decoding, Model, NoReply, Request, Said
from dsr_core.bench.row import BenchError, Row
from dsr_core.bench.wording import words
from dsr_core.errors import DependencyError

#: Columns that may name the row and hold the reply, the surest first.
_KEYS = ("key", "id", "ID", "index", "question_id", "qid")
_REPLIES = ("reply", "response", "prediction", "pred", "predicted_answer", "model_output", "output", "raw_response")
#: Share of records whose question may differ from that of the row with the same id.
_OTHER_QUESTIONS = 0.05
_VIDEOS = ("videoID", "video", "video_id", "video_path", "Video")


class PredictionsModel(Model):
    """Says what a file says.

    Args:
        path: The file, or a result folder of `dsr bench`.
        rows: The benchmark's rows.

    Raises:
        BenchError: the file is absent or in no known layout, or its replies do not belong to these rows.
    """

    sees, batch_size = False, 64

    def __init__(self, path: str | Path, rows: Sequence[Row]):
        self.path = _file(Path(path))
        self._replies = joined(_records(self.path), rows, str(self.path))
        self._sha256 = hashlib.sha256(self.path.read_bytes()).hexdigest()
        self.name = self.path.stem if self.path.name != "replies.jsonl" else self.path.parent.name

    def settings(self) -> dict:
        return {"kind": "predictions", "name": self.name, "file": self.path.name, "sha256": self._sha256}

    def replies(self, requests: Sequence[Request], decoding: Decoding) -> list[Said | NoReply]:
        found = (self._replies.get(request.row.key) for request in requests)
        return [NoReply(f"not in {self.path.name}") if text is None else Said(text) for text in found]


def joined(records: Sequence[Mapping], rows: Sequence[Row], where: str) -> dict[str, str]:
    """Row key -> raw reply. Records are joined by key, by number and text, or by video and question; the first of these
    that fits every record is taken.

    An empty reply is a reply that says nothing; a record whose reply is null has none and is left out.

    Raises:
        BenchError: a record fits no row, or two fit the same; the message names it.
    """
    if not records:
        raise BenchError(f"{where} holds no replies")
    column = next((name for name in _REPLIES if name in records[0]), None)
    if column is None:
        raise BenchError(f"{where} has no column {', '.join(_REPLIES)}; it has {', '.join(map(str, records[0]))}")
    best: tuple[int, str, Mapping | None] = (-1, "", None)
    for way, join in (("key", _by_key), ("number", _by_number), ("video and question", _by_text)):
        matched, stray = _join(records, column, join(rows), rows, where)
        if stray is None:
            return matched
        if len(matched) > best[0]:
            best = len(matched), way, stray
    known = f"joined by {best[1]}, {best[0]} of {len(records)} fit"
    told = {name: best[2][name] for name in (*_KEYS, *_VIDEOS, "question") if name in best[2]}
    raise BenchError(
        f"{where}: the reply to {json.dumps(told, ensure_ascii=False, default=str)[:200]} is to no row ({known}); the"
        f" benchmark's keys look like {rows[0].key!r}: is it of the same file?"
    )


Find = Callable[[Mapping], str | None]


def _join(records, column: str, find: Find, rows, where: str) -> tuple[dict[str, str], Mapping | None]:
    """Replies by row key, and the first record that fits no row; where too many questions differ, one of those."""
    out: dict[str, str] = {}
    seen: set[str] = set()
    by_key, others = {row.key: row for row in rows}, []
    stray = None
    for record in records:
        key = find(record)
        if key is None:
            stray = stray or record
            continue
        if key in seen:
            raise BenchError(f"{where} holds two replies to row {key!r}; keep one of them")
        seen.add(key)
        if not _agrees(record, by_key[key]):
            others.append(record)
        text = record.get(column)
        if isinstance(text, str) or not is_missing(text):
            out[key] = text if isinstance(text, str) else str(text)
    if stray is None and len(others) > _OTHER_QUESTIONS * len(records):
        stray = others[0]
    return out, stray


def _by_key(rows: Sequence[Row]) -> Find:
    """The key, or the part of it after "|" ("real|validation_1")."""
    by_key = {row.key: row for row in rows}
    by_tail = defaultdict(list)
    for row in rows:
        by_tail[row.key.partition("|")[2]].append(row)

    def find(record: Mapping) -> str | None:
        for name in _KEYS:
            if name in record and not is_missing(record[name]):
                key = str(record[name])
                found = [by_key[key]] if key in by_key else by_tail.get(key, [])
                # Published files differ in the spelling of a few questions; where an id repeats, the question decides.
                found = found if len(found) == 1 else [row for row in found if _agrees(record, row)]
                return found[0].key if len(found) == 1 else None
        return None

    return find


def _by_number(rows: Sequence[Row]) -> Find:
    """The row's number in the file, from 0, where video and question agree."""

    def find(record: Mapping) -> str | None:
        try:
            at = int(str(next(record[name] for name in ("index", "id", "key") if name in record)).partition("|")[0])
        except (StopIteration, ValueError):
            return None
        fits = 0 <= at < len(rows) and _agrees(record, rows[at]) and _same_video(record, rows[at])
        return rows[at].key if fits else None

    return find


def _by_text(rows: Sequence[Row]) -> Find:
    """Video and question; where these repeat, one after the other."""
    waiting = defaultdict(list)
    for row in rows:
        waiting[_stem(row.video), words(row.question)].append(row.key)

    def find(record: Mapping) -> str | None:
        found = waiting.get((_stem(_video(record)), words(str(record.get("question", "")))))
        return found.pop(0) if found else None

    return find


def _agrees(record: Mapping, row: Row) -> bool:
    said = record.get("question")
    # Some evaluators write options or an instruction behind the question.
    return not isinstance(said, str) or words(said)[: len(words(row.question))] == words(row.question)


def _same_video(record: Mapping, row: Row) -> bool:
    said = _video(record)
    return not said or _stem(said) == _stem(row.video)


def _video(record: Mapping) -> str:
    return next((str(record[name]) for name in _VIDEOS if name in record and not is_missing(record[name])), "")


def _stem(video: str) -> str:
    name = video.replace("\\", "/").rsplit("/", 1)[-1]
    return name.rpartition(".")[0] if "." in name else name


# --- files -----------------------------------------------------------------------------------------------------------


def _file(path: Path) -> Path:
    path = path / "replies.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise BenchError(f"there is no file of predictions {path}")
    return path


def _records(path: Path) -> list[Mapping]:
    if path.suffix.lower() in (".xlsx", ".xls"):
        return _sheet(path)
    if path.suffix.lower() == ".json":
        found = _mapped(path)
        if found is not None:
            return found
    records = table(path)[1]
    if "journal" in records[0]:  # ours: a head, then {"key", "entry"}
        return [{"key": one["key"], "reply": one["entry"]["reply"]} for one in records[1:]]
    return records


def _mapped(path: Path) -> list[Mapping] | None:
    """{"key": "reply", …}, or None where the file is something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    texts = isinstance(found, dict) and found and all(isinstance(v, str) or v is None for v in found.values())
    return [{"key": key, "reply": text} for key, text in found.items()] if texts else None


def _sheet(path: Path) -> list[Mapping]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise DependencyError(
            f"{path.name} is read by openpyxl; install it (pip install openpyxl), or save the sheet as .csv"
        ) from None
    book = load_workbook(path, read_only=True, data_only=True)
    lines = book.worksheets[0].iter_rows(values_only=True)
    head = [str(name) for name in next(lines, ())]
    return [dict(zip(head, line, strict=False)) for line in lines if any(cell is not None for cell in line)]
