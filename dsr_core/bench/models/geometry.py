"""The geometry engine as a model: it is shown no frames but the scene behind each video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsr_core.api import RULES, ask
from dsr_core.bench.models.base import Decoding, Model, NoReply, Request, Said
from dsr_core.bench.models.scene_folder import SceneFolder, hidden_from_s
from dsr_core.bench.row import BenchError, Row


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
        self.rules = rules
        if rules not in RULES:
            raise BenchError(f"the rules {rules!r} are not known; give geometry:{' or geometry:'.join(RULES)}")
        self._scenes = SceneFolder(scenes)

    def settings(self) -> dict:
        return {"kind": "geometry", "name": self.name, "rules": self.rules}

    def replies(self, requests: Sequence[Request], decoding: Decoding) -> list[Said | NoReply]:
        return [self._one(request.row) for request in requests]

    def _one(self, row: Row) -> Said | NoReply:
        scene = self._scenes.of(row)
        if isinstance(scene, NoReply):
            return scene
        # The published rules keep the last samples for prediction themselves.
        until = None if self.rules == "dsr" else hidden_from_s(row, scene)
        letters = list(row.choices or ())
        answer = ask(scene, row.question, [row.choices[letter] for letter in letters] or None, self.rules, until)
        if answer.declined is not None:
            return Said(f"declined: {answer.declined.code}", {"why": answer.declined.message})
        told = {"answer": answer.answer, "confidence": round(float(answer.confidence), 4)}
        if row.choices is None:
            return Said("" if answer.value is None else f"{answer.value:g}", told)
        return Said(letters[answer.choice_index] if answer.choice_index >= 0 else "", told)
