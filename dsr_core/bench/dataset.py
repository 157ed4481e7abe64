"""Files of benchmarks -> records -> parts of rows: tables of every published kind, shapes of options and answers.

Nothing is evaluated: lists written as Python or JSON are read as literals. The layouts of DSR-Bench and of our own
question sets are read by `dsr_core.qa.files.readers`.
"""

from __future__ import annotations

import ast
import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dsr_core.bench.row import BenchError
from dsr_core.bench.wording import words
from dsr_core.qa.files.arrow import parquet
from dsr_core.qa.files.letters import index_of, without_letters
from dsr_core.qa.item import QaError

LETTERS = "ABCDEFGHIJ"
TABLES = (".parquet", ".jsonl", ".json", ".tsv", ".csv")
#: Cells of a TSV may be long.
_MAX_CELL = 10_000_000


def file_in(path: str | Path, names: Sequence[str]) -> Path:
    """`path` where it is a file, else the first of the files `names` in that folder.

    Raises:
        BenchError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        found = next((path / name for name in names if (path / name).is_file()), None)
        if found is None:
            raise BenchError(f"{path} holds none of {', '.join(names)}; give the file itself")
        return found
    if not path.is_file():
        raise BenchError(f"there is no file {path}")
    return path


def table(path: str | Path, names: Sequence[str] = ()) -> tuple[Path, list[dict]]:
    """The records of a file, in its order.

    Args:
        path: A file of one of `TABLES`, or a folder that holds one of `names`.
        names: File names looked for in a folder, the best one first.

    Returns:
        The file, and one dict a row with its column names.

    Raises:
        BenchError: there is no such file, it is cut off, or it is no table of records.
    """
    path = file_in(path, names)
    ending = path.suffix.lower()
    if ending not in TABLES:
        raise BenchError(f"{path} is none of {', '.join(TABLES)}")
    if path.stat().st_size == 0:
        raise BenchError(f"{path} is empty; fetch it again")
    readers = {".parquet": _parquet, ".jsonl": _jsonl, ".json": _json}
    records = readers.get(ending, _separated)(path)
    if not records:
        raise BenchError(f"{path} holds no rows")
    return path, records


def take(record: Mapping, names: Sequence[str], where: str) -> object:
    """The first of the columns `names` that a record has.

    Raises:
        BenchError: it has none of them.
    """
    for name in names:
        if name in record and record[name] is not None:
            return record[name]
    raise BenchError(f"{where} has no {' or '.join(names)}; it has {', '.join(map(str, record))}")


def options(value: object, where: str) -> dict[str, str]:
    """Options in any published shape -> letter -> text without its letter, in order.

    Shapes: a mapping by letter, a list (of texts with or without "A. "), either of them written as JSON or as a Python
    literal, an array.

    Raises:
        BenchError: it is none of these, or has fewer than two options or more than ten.
    """
    if isinstance(value, str):
        value = _literal(value, where)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        found = {str(k).strip(" .():").upper(): _text(v) for k, v in value.items() if v is not None}
    elif isinstance(value, Sequence):
        texts = [_text(v) for v in value]
        found = dict(zip(LETTERS, without_letters(texts), strict=False)) if len(texts) <= len(LETTERS) else {}
    else:
        raise BenchError(f"{where}: options must be a list or a mapping, not {type(value).__name__}")
    if not 2 <= len(found) <= len(LETTERS) or any(len(letter) != 1 for letter in found):
        raise BenchError(f"{where}: needs 2 to {len(LETTERS)} options with letters, has {str(value)[:100]}")
    return found


def answer(value: object, choices: Mapping[str, str], where: str) -> str:
    """The right letter of an answer given as a letter ("B", "(b)", "B."), a lettered text, or an option's text.

    Raises:
        BenchError: it is none of the options, or a text that two of them have.
    """
    try:
        return list(choices)[index_of(_text(value), list(choices.values()))]
    except QaError as error:
        raise BenchError(f"{where}: {error}") from None


def with_text(text: object, choices: Mapping[str, str]) -> tuple[str, ...]:
    """Letters of the options whose text is `text`: character by character, else word by word."""
    wanted = _text(text).strip()
    same = tuple(letter for letter, option in choices.items() if option.strip() == wanted)
    return same or tuple(letter for letter, option in choices.items() if words(option) == words(wanted))


def number(value: object, where: str) -> float:
    """A right number.

    Raises:
        BenchError: it is none.
    """
    try:
        found = float(str(value).strip())
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise BenchError(f"{where}: the answer {value!r} is no number")
    return found


def unique(keys: Iterable[str]) -> list[str]:
    """Keys made different: the second "x" becomes "x#2"."""
    seen: dict[str, int] = {}
    out = []
    for key in keys:
        seen[key] = seen.get(key, 0) + 1
        out.append(key if seen[key] == 1 else f"{key}#{seen[key]}")
    return out


def is_missing(value: object) -> bool:
    """Whether a cell is empty: None, NaN, "", "null", an empty list."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    if isinstance(value, str):
        return value.strip().lower() in ("", "null", "none", "nan", "[]")
    return hasattr(value, "__len__") and len(value) == 0


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)


def _literal(text: str, where: str) -> object:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    raise BenchError(f"{where}: options {text[:100]!r} are neither JSON nor a Python list")


def _parquet(path: Path) -> list[dict]:
    arrow, files = parquet()
    try:
        return files.read_table(path).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise BenchError(
            f"{path} ({path.stat().st_size} bytes) is no whole parquet file; it was probably cut off: fetch it again"
            f" and compare its size ({str(error).splitlines()[0][:120]})"
        ) from error


def _json(path: Path) -> list[dict]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        try:
            return _jsonl(path)
        except BenchError:
            raise BenchError(f"{path} is no whole JSON file ({error}); fetch it again") from error
    return _records(found, path)


def _records(found: object, path: Path) -> list[dict]:
    if isinstance(found, Mapping):
        for name in ("data", "rows", "questions"):
            if isinstance(found.get(name), list):
                return _records(found[name], path)
        if found and all(isinstance(value, list) for value in found.values()):
            return [{"videoID": video, **item} for video, items in found.items() for item in _records(items, path)]
        if found and all(isinstance(value, Mapping) for value in found.values()):
            return [{"id": key, **value} for key, value in found.items()]
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        raise BenchError(f"{path} must hold a list of objects, one a row")
    return [dict(item) for item in found]


def _jsonl(path: Path) -> list[dict]:
    out = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise BenchError(f"{path} is no UTF-8 text ({error})") from error
    for at, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise BenchError(f"{path}, line {at}: no JSON ({error}); was the file cut off?") from error
        if not isinstance(item, Mapping):
            raise BenchError(f"{path}, line {at}: must be an object, not {type(item).__name__}")
        out.append(dict(item))
    return out


def _separated(path: Path) -> list[dict]:
    csv.field_size_limit(_MAX_CELL)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            out = []
            for record in reader:
                if None in record or None in record.values():
                    raise BenchError(
                        f"{path}, line {reader.line_num}: has not the {len(reader.fieldnames)} columns of its head"
                    )
                out.append(dict(record))
            return out
    except (UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"{path} is no table of text ({error})") from error
