"""Files of every published layout -> records: mappings of what the file calls things."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from dsr_core.qa.files.arrow import parquet
from dsr_core.qa.files.columns import PUBLISHED
from dsr_core.qa.item import QaError


def _parquet_questions(path: Path) -> Iterator[dict]:
    """Rows with the columns that a `QaRow` has; the others may be many times as large."""
    ours = ("scene", "group", "future_from_s", "image_width", "image_height", "start_s", "end_s")
    return parquet_rows(path, (*PUBLISHED, *ours))


def parquet_rows(path: Path, columns: tuple[str, ...] | None = None) -> Iterator[dict]:
    """Rows of a parquet file with the published columns, and `columns` alone where they are given."""
    pa, pq = parquet()
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            missing = [name for name in PUBLISHED if name not in names]
            if missing:
                raise QaError(
                    f"{path.name} has the columns {', '.join(names[:8])}, not {', '.join(missing)};"
                    f" a question set has {', '.join(PUBLISHED)}"
                )
            for batch in file.iter_batches(columns=[n for n in names if columns is None or n in columns]):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise QaError(f"{path.name} is no whole parquet file ({reason}); fetch or make it again") from None


def _json_rows(path: Path) -> Iterator[dict]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise QaError(f"{path.name} is no whole JSON file ({error}); fetch or make it again") from None
    if isinstance(data, dict):
        for video, entries in data.items():
            if not isinstance(entries, list):
                raise QaError(f"{path.name}: {video!r} has {type(entries).__name__}, not a list of questions")
            for entry in entries:
                yield {"video": video, **entry} if isinstance(entry, dict) else entry
    elif isinstance(data, list):
        yield from _unpacked(data)
    else:
        raise QaError(f"{path.name} holds {type(data).__name__}; a question set is an object or a list")


def _json_lines(path: Path) -> Iterator[dict]:
    number = 0
    with open(path, encoding="utf-8") as file:
        try:
            for line in file:
                number += 1
                if line.strip():
                    yield from _unpacked([json.loads(line)])
        except (ValueError, RecursionError) as error:
            raise QaError(f"{path.name}, line {number}: no whole JSON ({error}); fetch or make it again") from None


def _unpacked(entries: list) -> Iterator[dict]:
    """Entries, and those of packed samples: a list of entries as one."""
    for entry in entries:
        yield from entry if isinstance(entry, list) else [entry]


def _table(path: Path) -> Iterator[dict]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise QaError(
                        f"{path.name}, line {reader.line_num}: {sum(v is not None for v in row.values())} cells for"
                        f" {len(reader.fieldnames)} columns ({', '.join(reader.fieldnames)}); is the row cut off?"
                    )
                yield {k: v for k, v in row.items() if k}
        except (csv.Error, UnicodeDecodeError) as error:
            raise QaError(f"{path.name}, line {reader.line_num}: {error}; fetch or make it again") from None


#: How files with a suffix are read.
LAYOUTS: dict[str, Callable[[Path], Iterator[dict]]] = {
    ".parquet": _parquet_questions,
    ".json": _json_rows,
    ".jsonl": _json_lines,
    ".tsv": _table,
    ".csv": _table,
}
