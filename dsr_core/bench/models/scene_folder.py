"""The scenes behind the videos of a benchmark: `DIR/<video>.scene.npz`."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from dsr_core.bench.models.base import NoReply
from dsr_core.bench.row import BenchError, Row
from dsr_core.errors import DsrError
from dsr_core.scene import Scene

_ENDINGS = (".scene.npz", ".npz")
_KEPT_SCENES = 4


class SceneFolder:
    """Scenes by row, the last few of them in memory.

    Raises:
        BenchError: there is no such folder.
    """

    def __init__(self, folder: str | Path):
        self._folder = Path(folder)
        if not self._folder.is_dir():
            raise BenchError(f"there is no folder of scenes {folder}; make scenes with dsr convert SOURCE --to scene")
        self._scenes: OrderedDict[Path, Scene] = OrderedDict()

    def of(self, row: Row) -> Scene | NoReply:
        """The scene behind a row's video, or why there is none."""
        names = [Path(row.video.replace("\\", "/")).with_suffix("").name, str(row.fields.get("scene", ""))]
        paths = [self._folder / f"{name}{ending}" for name in names if name for ending in _ENDINGS]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            return NoReply("its video has no scene")
        try:
            return self._loaded(path)
        except (DsrError, OSError) as error:
            return NoReply("its scene cannot be read", detail=str(error))

    def _loaded(self, path: Path) -> Scene:
        if path not in self._scenes:
            self._scenes[path] = Scene.load(path)
            if len(self._scenes) > _KEPT_SCENES:
                self._scenes.popitem(last=False)
        self._scenes.move_to_end(path)
        return self._scenes[path]


def hidden_from_s(row: Row, scene: Scene) -> float | None:
    """Second of the scene from which it must be hidden for the row to be fair, or None."""
    if row.hide_from_s is None:
        return None
    return row.hide_from_s if row.hide_from_s >= 0 else scene.end_s + row.hide_from_s
