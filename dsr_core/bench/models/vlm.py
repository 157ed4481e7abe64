"""A model with geometry of `dsr_core.vlm` as a benchmark's model: it asks in the words that it was trained with.

Of the benchmark's own prompt nothing is used. Questions with options are answered by the likeliest one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from dsr_core.bench.models.base import Decoding, Model, ModelStopped, NoReply, Request, Said
from dsr_core.bench.models.scene_folder import SceneFolder, hidden_from_s
from dsr_core.bench.row import BenchError
from dsr_core.errors import DependencyError, DsrError
from dsr_core.qa.files.rescale import rescale_boxes

_INSTALL = "install it: pip install torch, then 'dsr_ros[vlm]'"
#: In place of a folder of scenes: ask without.
NO_SCENES = "none"
REFUSED = "the model cannot take it"


class VlmModel(Model):
    """Answers by a `GeometryVLM`.

    Args:
        path: Folder that training wrote, DSR Suite's published checkpoint, or a plain one of transformers.
        scenes: Folder of `VIDEO.scene.npz`, which models with `scene` tokens need; "none" asks them without.
        batch_size: Rows at once.
        device: "cuda", "cpu", …; None takes the accelerator where there is one.

    Raises:
        DsrError: there is no such model here; the message tells the next step.
    """

    #: While one batch is answered, the frames of the next are decoded.
    workers = 2

    def __init__(self, path: str, scenes: str | None = None, batch_size: int = 1, device: str | None = None):
        if batch_size < 1:
            raise BenchError(f"batch size {batch_size} must be at least 1")
        try:
            from dsr_core.vlm.saving import load
        except ImportError as error:
            raise DependencyError(f"a model with geometry needs torch and transformers ({error}); {_INSTALL}") from None
        self._model = load(path, device=device)
        self.name = Path(path).name if Path(path).is_dir() else path
        self.batch_size, self._path = batch_size, str(path)
        reads_scenes = any(source.looks_at == "scene" for source in self._model.sources.values())
        if reads_scenes and not scenes:
            raise BenchError(
                f"{path} reads scenes: give --scenes DIR, which holds VIDEO.scene.npz for each video, or"
                f" --scenes {NO_SCENES} to ask it without"
            )
        self._scenes = SceneFolder(scenes) if reads_scenes and scenes != NO_SCENES else None
        self._one_at_a_time, self._began_s = threading.Lock(), time.monotonic()

    def settings(self) -> dict:
        config = self._model.core.config
        return {
            "kind": "vlm",
            "name": self.name,
            "path": self._path,
            "base": config.model_type,
            "geometry": self._model.config.to_dict(),
            "prompt": asdict(self._model.inputs.prompt),
            "scenes": self._scenes is not None,
            "parameters": sum(p.numel() for p in self._model.parameters()),
            "dtype": str(self._model.base.dtype).removeprefix("torch."),
            "batch_size": self.batch_size,
        }

    def spent(self) -> str:
        return f"{time.monotonic() - self._began_s:.0f} s"

    def replies(self, requests: Sequence[Request], decoding: Decoding) -> list[Said | NoReply]:
        import torch

        with self._one_at_a_time:
            begun = time.monotonic()
            asked = [self._asked(request) for request in requests]
            try:
                said = self._answered(asked, decoding)
            except torch.OutOfMemoryError:
                raise ModelStopped(
                    f"{self._model.device} has too little memory for {len(requests)} rows of"
                    f" {len(requests[0].frames)} frames at once; give a smaller --batch-size, or fewer --frames"
                ) from None
            took_s = round((time.monotonic() - begun) / len(requests), 3)
        out: list[Said | NoReply] = []
        for i, (request, one) in enumerate(zip(requests, asked, strict=True)):
            if isinstance(one, NoReply):
                out.append(one)
            elif isinstance(said[i], str):
                out.append(Said(said[i], {"took_s": took_s}))
            else:
                letters = list(request.row.choices)
                told = {letter: round(float(p), 6) for letter, p in zip(letters, said[i], strict=True)}
                out.append(Said(letters[int(np.argmax(said[i]))], {"probabilities": told, "took_s": took_s}))
        return out

    def _asked(self, request: Request):
        """What the model is asked, as in training; or why it is not."""
        from dsr_core.vlm.compose import compose
        from dsr_core.vlm.showing import shrunk
        from dsr_core.vlm.values import Clip

        row, scene = request.row, None
        if self._scenes is not None:
            scene = self._scenes.of(row)
            if isinstance(scene, NoReply):
                return scene
        most = self._model.inputs.max_pixels  # as in training, boxes are told in pixels of what it really sees
        try:
            clip = Clip([shrunk(f, most) for f in request.frames], request.times_s) if len(request.frames) else None
            asked = compose(
                row.question,
                tuple((row.choices or {}).values()),
                scene=scene,
                clip=clip,
                window=row.window,
                future_from_s=None if scene is None else hidden_from_s(row, scene),
                sources=self._model.sources,
                key=row.key,
            )
            if row.image_size is not None and clip is not None:
                sizes = row.image_size, clip.frames[0].shape[1::-1]
                options = tuple(rescale_boxes(option, *sizes) for option in asked.options)
                asked = replace(asked, question=rescale_boxes(asked.question, *sizes), options=options)
            self._model.inputs.length(asked)
        except DsrError as error:
            return NoReply(REFUSED, detail=str(error))
        return asked

    def _answered(self, asked: Sequence, decoding: Decoding) -> dict:
        """Index -> probabilities of the options, or a text."""
        from dsr_core.vlm.replies import option_log_probabilities, say

        able = [i for i, one in enumerate(asked) if not isinstance(one, NoReply)]
        chosen, free = [i for i in able if asked[i].options], [i for i in able if not asked[i].options]
        found: dict = {}
        if chosen:
            weighed = option_log_probabilities(self._model, [asked[i] for i in chosen], self.batch_size)
            found |= {i: np.exp(log_p) for i, log_p in zip(chosen, weighed, strict=True)}
        if free:
            said = say(self._model, [asked[i] for i in free], decoding.max_tokens, self.batch_size)
            found |= dict(zip(free, said, strict=True))
        return found
