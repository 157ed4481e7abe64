"""Words of the command line -> recordings: files, folders and globs of them, sequences of data sets, curated lists."""

from __future__ import annotations

import glob
import importlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dsr_core.errors import SourceError
from dsr_core.qa.curation.captions import video_name
from dsr_core.qa.curation.curated import CuratedEntry, is_curated, read_curated
from dsr_core.sources import READERS
from dsr_core.sources.bag_file import is_bag, storage_files

_SUFFIX = re.compile(r"\.(?:scene\.npz|(?:mcap|db3)(?:\.zstd)?)$")
#: What a recorder puts behind a bag's name when it begins another file.
_PIECE = re.compile(r"(?:_\d+)?\.\w+$")


@dataclass(frozen=True)
class Recording:
    """One recording to be opened.

    Attributes:
        path: File, folder, or "sim:…"; "" where there is only a caption of it.
        sequence: Of a data set that holds several, else None.
        name: Unique among those that were given together.
        video_id: Its video's name without suffix.
        classes: What to look for in it, where somebody said so (a curated list).
    """

    path: str
    sequence: str | None
    name: str
    video_id: str
    classes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What tells it from every other recording, whatever they are called."""
        if not self.path:
            return f"video {self.video_id}"
        path = self.path if self.path.startswith("sim:") else os.path.abspath(self.path)
        return path if self.sequence is None else f"{path}#{self.sequence}"


def expand(words: Sequence[str], sequence: str | None = None) -> list[Recording]:
    """The recordings that words name, in a fixed order, none twice.

    A word is a recording of any reader; a folder of KITTI sequences or Argoverse 2 logs (all of them, or `sequence`);
    "sim:…"; a curated list (`dsr curate`), of which those that were kept are taken; a folder whose recordings are
    taken; or a glob of these.

    Raises:
        SourceError: a word names none.
    """
    found: dict[str, Recording] = {}
    for word in words:
        for recording in _of_word(word, sequence):
            found.setdefault(recording.key, recording)
    return _distinct(list(found.values()))


def _of_word(word: str, sequence: str | None) -> list[Recording]:
    if word.startswith("sim:"):
        return [Recording(word, None, word, word)]
    path = Path(word).expanduser()
    if not path.exists() and glob.has_magic(word):
        matches = sorted(glob.glob(str(path)))
        if not matches:
            raise SourceError(f"{word} fits no file or folder")
        return [recording for match in matches for recording in _of_path(Path(match), sequence)]
    if not path.exists():
        raise SourceError(f"{word} does not exist; give a recording, a folder of recordings or a curated list")
    return _of_path(path, sequence)


def _of_path(path: Path, sequence: str | None) -> list[Recording]:
    if path.is_file() and is_curated(path):
        kept = [entry for entry in read_curated(path) if entry.keep and entry.source is not None]
        return [replace(_of_entry(entry), classes=entry.agents + entry.objects) for entry in kept]
    found = None if holds_bags(path) else _of_recording(path, sequence)
    if found is None and path.is_dir():
        inside = [_of_recording(child, sequence) for child in sorted(path.iterdir()) if not child.name.startswith(".")]
        found = [recording for recordings in inside if recordings for recording in recordings]
    if not found:
        raise SourceError(
            f"{path} holds no recording that a reader recognises: {'; '.join(what for _, _, what in READERS)}"
        )
    return found


def holds_bags(path: Path) -> bool:
    """Whether a folder holds several bags, and not the pieces of one whose metadata.yaml is missing (rec_0, rec_1)."""
    if not path.is_dir() or (path / "metadata.yaml").exists() or not storage_files(path):
        return False
    names = {_PIECE.sub("", file.name.removesuffix(".zstd")) for file in storage_files(path)}
    return len(names) > 1 or any(is_bag(child) for child in path.iterdir() if child.is_dir())


def _of_entry(entry: CuratedEntry) -> Recording:
    """The recording of an entry, named as if it had been given itself; what is wrong with it shows on opening."""
    if not entry.source.startswith("sim:") and Path(entry.source).exists():
        found = _of_recording(Path(entry.source), entry.sequence)
        if found is not None and len(found) == 1:
            return found[0]
    name = entry.video_id if entry.sequence is None else f"{entry.video_id}-{entry.sequence}"
    return Recording(entry.source, entry.sequence, name, entry.video_id)


def _of_recording(path: Path, sequence: str | None) -> list[Recording] | None:
    """The recordings that one path itself is, None where no reader recognises it."""
    for module, _, _ in READERS:
        reader = importlib.import_module(f"dsr_core.sources.{module}")
        if not reader.recognises(path):
            continue
        stem = video_name(_SUFFIX.sub("", path.name))
        names = reader.sequences(path) if hasattr(reader, "sequences") else []
        if not names:
            return [Recording(str(path), None, stem, stem)]
        if sequence is not None:  # the reader says where there is none of that name
            names = [name for name in names if name.startswith(sequence)] or [sequence]
        return [Recording(str(path), name, f"{stem}-{name}", name) for name in names]
    return None


def _distinct(recordings: list[Recording]) -> list[Recording]:
    """The recordings with names that differ: those that do not get their folder's name, or a number."""
    counts = Counter(recording.name for recording in recordings)
    out, taken = [], set()
    for recording in recordings:
        name = recording.name
        if counts[name] > 1:
            name = f"{Path(recording.path).absolute().parent.name}-{name}"
        number, base = 1, name
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(name)
        out.append(replace(recording, name=name))
    return out
