"""Where the scenes and the frames of a question set come from: folders of scenes and videos, or the recordings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dsr_core.qa.curation.recordings import Recording, expand
from dsr_core.qa.files.readers import QaRow
from dsr_core.qa.running.shards import code_digest, fingerprint
from dsr_core.scene import Scene
from dsr_core.sources import open_source
from dsr_core.sources.video import VIDEO_ENDINGS, recognises
from dsr_core.vlm.disk_cache import Memory, key_of
from dsr_core.vlm.faults import Faults, RowFault, told
from dsr_core.vlm.frames_cache import FrameConfig, FramesCache, Kept
from dsr_core.vlm.values import Clip, VlmError

_SCENE_ENDINGS = (".scene.npz", ".npz")
#: What a published question about the future hides where its file tells no second: the last one.
_FUTURE_S = 1.0


@dataclass(frozen=True)
class Places:
    """Where a question set's recordings are; scenes and videos go before recordings.

    Attributes:
        scenes: Folder of NAME.scene.npz, NAME as the set names a scene, or a video where it names no scenes.
        videos: Folder of videos, or of folders of numbered images, by the set's videoID; searched to its bottom.
        recordings: What `dsr qa` was given: bags, data sets, folders and globs of them, "sim:…". Their scenes are made
            once and kept, their frames decoded when they are shown.
        sequence, detections: As for every verb.
    """

    scenes: str | None = None
    videos: str | None = None
    recordings: Sequence[str] = ()
    sequence: str | None = None
    detections: str | None = None

    def __post_init__(self):
        if isinstance(self.recordings, str):
            object.__setattr__(self, "recordings", (self.recordings,))
        for name in ("scenes", "videos"):
            folder = getattr(self, name)
            if folder is not None and not Path(folder).expanduser().is_dir():
                raise VlmError(f"{name} = {folder} is no folder")


class Recordings:
    """Scenes and clips of rows.

    Args:
        places: Where they are. cache: Folder of what is kept. frames: Which frames are shown; None: none are.
        disk_bytes: Bound of the frames on disk. memory_bytes: Of the frames in memory, and again of the scenes.
    """

    def __init__(
        self,
        places: Places,
        cache: str | Path,
        frames: FrameConfig | None = None,
        disk_bytes: float = 50e9,
        memory_bytes: float = 1e9,
    ):
        self.places, self._cache = places, Path(cache).expanduser()
        self.frames = frames
        self._frames = FramesCache(self._cache / "frames", frames, disk_bytes, memory_bytes) if frames else None
        self._scenes = Memory(memory_bytes)

    # --- what there is

    def scene_of(self, row: QaRow) -> Path | Recording:
        """Where a row's scene is.

        Raises:
            RowFault: nowhere.
        """
        if self.places.scenes is not None:
            folder = Path(self.places.scenes).expanduser()
            paths = [folder / f"{row.scene or row.video_id}{end}" for end in _SCENE_ENDINGS]
            found = next((path for path in paths if path.is_file()), None)
            if found is not None:
                return found
        return self._recording(row, "scene", self.places.scenes)

    def video_of(self, row: QaRow) -> Path | Recording:
        """Where a row's frames are.

        Raises:
            RowFault: nowhere.
        """
        if self.places.videos is not None and row.video_id in self._videos:
            return self._videos[row.video_id]
        return self._recording(row, "video", self.places.videos)

    @cached_property
    def _videos(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder, folders, files in os.walk(Path(self.places.videos).expanduser()):
            for name in sorted(files):
                if name.lower().endswith(VIDEO_ENDINGS):
                    found.setdefault(Path(name).stem, Path(folder, name))
            for name in sorted(folders):
                if recognises(Path(folder, name)):
                    found.setdefault(name, Path(folder, name))
        return found

    @cached_property
    def _recordings(self) -> dict[str, Recording]:
        found: dict[str, Recording] = {}
        given = expand(list(self.places.recordings), self.places.sequence) if self.places.recordings else []
        for recording in given:
            found[recording.name] = recording
        for recording in given:
            found.setdefault(recording.video_id, recording)
        return found

    def _recording(self, row: QaRow, what: str, folder: str | None) -> Recording:
        # A set's own name of a scene is unique, that of a video need not be.
        name = row.scene or row.video_id
        if name in self._recordings:
            return self._recordings[name]
        where = [f"the folder {folder}"] if folder else []
        where += [f"the {len(self._recordings)} recordings"] if self.places.recordings else []
        looked = f"not in {' nor in '.join(where)}" if where else f"nowhere: data names no place of {what}s"
        raise RowFault(f"its {what} is missing", f"{name!r} is {looked}")

    # --- what is in it

    def scene(self, row: QaRow) -> Scene:
        """The scene of a row, all of it.

        Raises:
            RowFault: it is missing or cannot be read.
        """
        at = self.scene_of(row)
        try:
            return self._scenes.made(str(at), lambda: _sized(self._read(at)))
        except Exception as error:  # whatever a damaged file does to its reader
            raise RowFault("its scene cannot be read", told(error)) from error

    def _read(self, at: Path | Recording) -> Scene:
        if isinstance(at, Path):
            return Scene.load(at)
        if at.path.endswith(".scene.npz"):
            return Scene.load(at.path)
        key = key_of(at.key, fingerprint(at.path), str(self.places.detections), code_digest())
        path = self._cache / "scenes" / f"{key}.scene.npz"
        if not path.is_file():
            open_source(at.path, at.sequence, self.places.detections).scene().save(path)
        return Scene.load(path)

    def clip(
        self,
        row: QaRow,
        scene: Scene | None = None,
        until_s: float | None = None,
        window: tuple[float, float] | None = None,
    ) -> Clip:
        """The frames that are shown for a row.

        Args:
            row: The row. scene: The recording's scene, whose clock counts where both come from it.
            until_s: Nothing later is shown. window: What the question is about.

        Raises:
            RowFault: its video is missing, cannot be decoded, or has no frame that may be shown.
        """
        kept = self._kept(row)
        recorded = scene is not None and isinstance(self.video_of(row), Recording)
        return kept.clip(self.frames, scene.origin_ns if recorded else None, until_s, window)

    def _kept(self, row: QaRow) -> Kept:
        at = self.video_of(row)
        path, sequence = (str(at), None) if isinstance(at, Path) else (at.path, at.sequence)
        content = f"{os.path.abspath(path)} {sequence} {fingerprint(path)}"
        try:
            return self._frames.kept(content, lambda: open_source(path, sequence))
        except RowFault:
            raise
        except Exception as error:  # whatever a damaged file does to its decoder
            raise RowFault("its video cannot be decoded", told(error)) from error

    def future_s(self, row: QaRow, scene: Scene | None) -> float | None:
        """Second from which a row's future is hidden: as its file says; of a published question about the future, the
        last second of its scene, or of its video where there is no scene."""
        if row.future_from_s is not None:
            return row.future_from_s
        if not row.type.endswith("_dir_pred"):
            return None
        if scene is not None:
            return scene.end_s - _FUTURE_S
        kept = self._kept(row)
        return (kept.last_ns - kept.first_ns) * 1e-9 - _FUTURE_S

    def faults(self) -> Faults:
        """What was damaged in the cache, and made again."""
        count = len(self._frames.disk.damaged) if self._frames else 0
        return Faults(repaired={"damaged files of the frame cache, made again": count} if count else {})


def _sized(scene: Scene) -> tuple[Scene, float]:
    """A scene and about how many bytes it takes."""
    values = [value for track in scene.tracks.values() for value in vars(track).values()]
    return scene, 1000.0 + scene.stamps_s.nbytes * 40 + sum(getattr(value, "nbytes", 0) for value in values)
