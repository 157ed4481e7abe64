"""The curated list: a JSON file of recordings, each kept or not, why, and the classes of things in it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from dsr_core.files import whole_file
from dsr_core.qa.item import QaError

FORMAT, VERSION = "dsr-curated", 1


@dataclass(frozen=True)
class CuratedEntry:
    """A recording in a curated list.

    Attributes:
        source: Its path; None for a video of which only the caption is known.
        sequence: Of a data set that holds several.
        video_id: Name of its video, without suffix.
        keep: Whether it is to be used. reasons: Why not.
        agents, objects: Classes of things in it; agents have a front.
        scores: Numbers by name: duration_s, movers_seen (by a model), movers_tracked, …
        details: What the captions, the frames and the tracks said.
    """

    source: str | None
    sequence: str | None
    video_id: str
    keep: bool
    reasons: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    scores: dict = field(default_factory=dict)
    details: dict = field(default_factory=dict)


def is_curated(path: Path) -> bool:
    """Whether a file is a curated list, by its first bytes."""
    if path.suffix.lower() != ".json":
        return False
    try:
        with open(path, "rb") as file:
            return f'"{FORMAT}"'.encode() in file.read(100)
    except OSError:
        return False


def write_curated(path: str | Path, entries: list[CuratedEntry], head: dict) -> Path:
    """Writes a curated list, whole or not at all.

    Args:
        entries: Sources inside the list's own folder are written relative to it. head: Settings, totals and the like.
    """
    path = Path(path)
    if path.suffix != ".json":
        raise QaError(f"{path.name}: a curated list ends in .json")
    folder = Path(os.path.abspath(path)).parent
    rows = [
        {
            "videoID": e.video_id,
            "source": _relative(e.source, folder),
            "sequence": e.sequence,
            "keep": e.keep,
            "reasons": list(e.reasons),
            "agents": list(e.agents),
            "objects": list(e.objects),
            "scores": e.scores,
            "details": e.details,
        }
        for e in entries
    ]
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, "version": VERSION, **head, "entries": rows}, file, ensure_ascii=False, indent=1)
        file.write("\n")
    return path


def read_curated(path: str | Path) -> list[CuratedEntry]:
    """Reads a curated list; sources come back as paths that can be opened from here.

    An entry without a source (only its caption was known) gets the video of its name beside the list, where it is.

    Raises:
        QaError: no such list; it names the entry and what is wrong.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise QaError(f"{path} cannot be read as a curated list: {error}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise QaError(f"{path} is no curated list; make one with `dsr curate`")
    if data.get("version") != VERSION:
        raise QaError(f"{path} has version {data.get('version')!r}, this program reads {VERSION}; update dsr_ros")
    entries = []
    for number, row in enumerate(data.get("entries") or ()):
        try:
            entries.append(_entry(row, path.absolute().parent))
        except (KeyError, TypeError, AttributeError) as error:
            raise QaError(f"{path}, entry {number}: {error!r}; make the list again with `dsr curate`") from None
    return entries


def _entry(row: dict, folder: Path) -> CuratedEntry:
    source, name = row["source"], row["videoID"]
    if not isinstance(row["keep"], bool) or not isinstance(name, str):
        raise TypeError("keep must be true or false, and videoID a text")
    if source is None:
        videos = [folder / f"{name}{suffix}" for suffix in (".mp4", ".webm", ".mkv", ".avi", ".mov")]
        source = next((str(video) for video in videos if video.is_file()), None)
    elif not source.startswith("sim:"):
        source = os.path.normpath(folder / source)
    return CuratedEntry(
        source,
        row.get("sequence"),
        name,
        row["keep"],
        tuple(row.get("reasons", ())),
        tuple(row.get("agents", ())),
        tuple(row.get("objects", ())),
        dict(row.get("scores", {})),
        dict(row.get("details", {})),
    )


def _relative(source: str | None, folder: Path) -> str | None:
    if source is None or source.startswith("sim:"):
        return source
    path = Path(os.path.abspath(Path(source).expanduser()))
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
