"""Captions of videos: CSV or TSV as Koala-36M has them, JSON or JSON lines."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dsr_core.qa.item import QaError

_ID_NAMES = ("videoID", "video_id", "video", "id", "name")
_TEXT_NAMES = ("caption", "text", "description")
#: Of one cell; Python's own bound is lower than long captions.
_MAX_CELL = 1 << 24


@dataclass(frozen=True)
class Caption:
    """The caption of a video, and its length in seconds where the file tells the clip's times."""

    text: str
    duration_s: float | None = None


def read_captions(path: str | Path) -> dict[str, Caption]:
    """Reads captions by the video's name without folder and suffix.

    * .csv, .tsv: a header line with videoID (or video_id, video, id) and caption (or text), and maybe timestamp, the
      clip's start and end as Koala-36M writes them: ['0:00:01.000', '0:00:31.000'];
    * .jsonl: an object of the same fields a line;
    * .json: a list of such objects, or one object videoID -> caption.

    Raises:
        QaError: no such file, another format, or a row without the fields.
    """
    path = Path(path)
    if not path.is_file():
        raise QaError(f"no captions at {path}; give a .csv, .tsv, .json or .jsonl file")
    found: dict[str, Caption] = {}
    try:
        for number, row in enumerate(_rows(path), 1):
            name, text = _field(row, _ID_NAMES), _field(row, _TEXT_NAMES)
            if name is None or text is None:
                raise QaError(
                    f"{path.name}, row {number} lacks {_ID_NAMES[0] if name is None else _TEXT_NAMES[0]}; it has"
                    f" {', '.join(map(str, row)) if isinstance(row, dict) else type(row).__name__}"
                )
            found[video_name(name)] = Caption(text, _length_s(row.get("timestamp")))
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise QaError(f"{path.name} cannot be read as captions: {error}") from None
    if not found:
        raise QaError(f"{path.name} holds no caption")
    return found


def video_name(name: str) -> str:
    """A video's name without folder and suffix; ids that contain a dot stay whole."""
    base = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = base.rpartition(".")
    return stem if dot and stem and suffix.lower() in ("mp4", "webm", "mkv", "avi", "mov", "m4v") else base


def _rows(path: Path) -> Iterator[dict]:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        csv.field_size_limit(_MAX_CELL)
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ",")
    elif suffix == ".jsonl":
        with open(path, encoding="utf-8-sig") as file:
            yield from (json.loads(line) for line in file if line.strip())
    elif suffix == ".json":
        data = json.loads(path.read_text(encoding="utf-8-sig"))
        if isinstance(data, dict):
            data = [{"videoID": name, "caption": text} for name, text in data.items()]
        if not isinstance(data, list):
            raise ValueError("neither a list nor an object")
        yield from data
    else:
        raise ValueError(f"the suffix {suffix or 'none'} is not known; known: .csv, .tsv, .json, .jsonl")


def _field(row, names: tuple[str, ...]) -> str | None:
    if not isinstance(row, dict):
        return None
    value = next((row[name] for name in names if row.get(name) not in (None, "")), None)
    return None if value is None or isinstance(value, (dict, list)) else str(value).strip() or None


def _length_s(timestamp) -> float | None:
    """Seconds between two times of day in a list or its text, None where there are not two."""
    times = [
        int(h) * 3600 + int(m) * 60 + float(s)
        for h, m, s in re.findall(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", str(timestamp))
    ]
    return times[1] - times[0] if len(times) == 2 and times[1] > times[0] else None
