"""A shard: some recordings and what is asked about them; `ask_shard` makes their questions, the same ones anywhere."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import dsr_core
from dsr_core.errors import DsrError
from dsr_core.qa.config import QaConfig
from dsr_core.qa.curation.recordings import Recording
from dsr_core.qa.files.codec import pack
from dsr_core.qa.files.columns import as_json
from dsr_core.qa.item import Candidate
from dsr_core.qa.making.generate import candidates
from dsr_core.scene import Scene
from dsr_core.sources import open_source

#: Saved scenes of a shard; other recordings take long to read and are shards of their own.
SCENES = 16
_OTHER_ROOMS = ("bench", "cli.py", "commands", "demo.py", "view", "vlm")


@dataclass(frozen=True)
class OpenRecording:
    """Gives the tracks of a recording: the truth where there is one, else those of its detections.

    Attributes:
        detections: Name of a detector's output in place of the truth.
    """

    detections: str | None = None

    def __call__(self, recording: Recording) -> Scene:
        return open_source(recording.path, recording.sequence, self.detections).scene()


@dataclass(frozen=True)
class Shard:
    """Recordings whose questions are made in one go.

    Attributes:
        recordings: Which.
        config: What is asked. seed: Of the whole set.
        opener: Gives a recording's scene; a picklable value whose `repr` tells all its settings.
        code: `code_digest()` where the shard was cut.
    """

    recordings: tuple[Recording, ...]
    config: QaConfig
    seed: int
    opener: Callable[[Recording], Scene]
    code: str

    @property
    def name(self) -> str:
        names = [r.name for r in self.recordings]
        return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]} ({len(names)} scenes)"

    @property
    def key(self) -> str:
        """Of everything that its questions depend on: recordings and their files, settings, code."""
        files = [(r.key, r.name, r.video_id, r.classes, fingerprint(r.path)) for r in self.recordings]
        told = as_json([files, self.config.to_dict(), self.seed, repr(self.opener), self.code])
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    def singly(self) -> list[Shard]:
        """A shard for each recording."""
        return [Shard((r,), self.config, self.seed, self.opener, self.code) for r in self.recordings]


def cut(
    recordings: Sequence[Recording],
    config: QaConfig,
    seed: int,
    opener: Callable[[Recording], Scene],
    size: int = SCENES,
) -> list[Shard]:
    """Recordings as shards, in their order; how they are cut does not change what is asked."""
    groups: list[list[Recording]] = []
    for recording in recordings:
        saved = recording.path.endswith(".scene.npz")
        if groups and saved and len(groups[-1]) < size and groups[-1][-1].path.endswith(".scene.npz"):
            groups[-1].append(recording)
        else:
            groups.append([recording])
    code = code_digest()
    return [Shard(tuple(group), config, seed, opener, code) for group in groups]


def ask_shard(shard: Shard) -> bytes:
    """The questions of a shard, packed; its head is {"scenes": {name: count}, "failed": {name: why}, "drops": [...]}.

    A recording that cannot be read or asked about is told in the head and costs the others nothing.
    """
    found: list[Candidate] = []
    scenes, failed, drops = {}, {}, Counter()
    for recording in shard.recordings:
        dropped: Counter = Counter()
        try:
            made = candidates(
                shard.opener(recording), shard.config, shard.seed, recording.name, recording.video_id, dropped
            )
        except Exception as error:  # whatever a damaged file does to its decoder
            failed[recording.name] = str(error) if isinstance(error, DsrError) else f"{type(error).__name__}: {error}"
            continue
        scenes[recording.name] = len(made)
        found += made
        drops += dropped
    told = sorted([type_, reason, count] for (type_, reason), count in drops.items())
    return pack(found, {"scenes": scenes, "failed": failed, "drops": told})


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Of the code that questions depend on: other code may make other ones."""
    root = Path(dsr_core.__file__).parent
    digest = hashlib.sha256(dsr_core.__version__.encode())
    for path in sorted(p for suffix in ("*.py", "*.json") for p in root.rglob(suffix)):
        name = path.relative_to(root).as_posix()
        if name.partition("/")[0] not in _OTHER_ROOMS:
            digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def fingerprint(path: str) -> str:
    """Of the files of a recording: their number, size and newest time; "" where there are none ("sim:…")."""
    if path.startswith("sim:") or not os.path.exists(path):
        return ""
    stats = [os.stat(file) for file in _files(path)]
    newest = max((s.st_mtime_ns for s in stats), default=0)
    return f"{len(stats)} {sum(s.st_size for s in stats)} {newest}"


def _files(path: str) -> Iterable[str]:
    if os.path.isfile(path):
        return [path]
    return (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
