"""The geometry engine as a model: it is shown no frames but the scene behind each video."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from dsr_core.api import RULES, ask
from dsr_core.bench.models.base import Decoding, Model, NoReply, Request, Said
from dsr_core.bench.row import BenchError, Row
from dsr_core.errors import DsrError
from dsr_core.scene import Scene

_ENDINGS = (".scene.npz", ".npz")
_KEPT_SCENES = 4


class GeometryModel(Model):
    """Answers from scenes `DIR/<video>.scene.npz`.

    A question that the engine declines gets the reply "declined: CODE", which names no option: it counts as wrong and
    is told as unparsed.

    Args:
        scenes: The folder. rules: "dsr" or "robust".

    Raises:
        BenchError: no such folder, or no such rules.
    """

    name, sees = "geometry engine", False

    def __init__(self, scenes: str | Path, rules: str = "dsr"):
        self._folder, self.rules = Path(scenes), rules
        if rules not in RULES:
            raise BenchError(f"the rules {rules!r} are not known; give geometry:{' or geometry:'.join(RULES)}")
        if not self._folder.is_dir():
            raise BenchError(f"there is no folder of scenes {scenes}; make scenes with dsr convert SOURCE --to scene")
        self._scenes: OrderedDict[Path, Scene] = OrderedDict()

    def settings(self) -> dict:
        return {"kind": "geometry", "name": self.name, "rules": self.rules}

    def replies(self, requests: Sequence[Request], decoding: Decoding) -> list[Said | NoReply]:
        return [self._one(request.row) for request in requests]

    def _one(self, row: Row) -> Said | NoReply:
        path = self._find(row)
        if path is None:
            return NoReply("its video has no scene")
        try:
            scene = self._scene(path)
        except (DsrError, OSError) as error:
            return NoReply("its scene cannot be read", detail=str(error))
        hides = row.hide_from_s is not None
        until = None if not hides else row.hide_from_s if row.hide_from_s >= 0 else scene.end_s + row.hide_from_s
        # The published rules keep the last samples for prediction themselves.
        until = None if self.rules == "dsr" else until
        letters = list(row.choices or ())
        answer = ask(scene, row.question, [row.choices[letter] for letter in letters] or None, self.rules, until)
        if answer.declined is not None:
            return Said(f"declined: {answer.declined.code}", {"why": answer.declined.message})
        told = {"answer": answer.answer, "confidence": round(float(answer.confidence), 4)}
        if row.choices is None:
            return Said("" if answer.value is None else f"{answer.value:g}", told)
        return Said(letters[answer.choice_index] if answer.choice_index >= 0 else "", told)

    def _find(self, row: Row) -> Path | None:
        names = [Path(row.video.replace("\\", "/")).with_suffix("").name, str(row.fields.get("scene", ""))]
        paths = [self._folder / f"{name}{ending}" for name in names if name for ending in _ENDINGS]
        return next((path for path in paths if path.is_file()), None)

    def _scene(self, path: Path) -> Scene:
        if path not in self._scenes:
            self._scenes[path] = Scene.load(path)
            if len(self._scenes) > _KEPT_SCENES:
                self._scenes.popitem(last=False)
        self._scenes.move_to_end(path)
        return self._scenes[path]
