"""VlmAnswerer: a trained model behind `dsr_core.ask`. Scene and pictures in, option probabilities or a sentence out.

Whatever goes wrong is a decline with a code: the robot asks on. A question can be stopped inside the model at any
layer; pictures are encoded once and asked about many times. Torch is imported when a model is loaded.
"""

from __future__ import annotations

import copy
import gc
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsr_core.errors import DeclineError, DependencyError, DsrError
from dsr_core.language.parse import parse
from dsr_core.reasoning.answer import Answer
from dsr_core.scene import Scene, Track
from dsr_core.vlm.engine import Engine
from dsr_core.vlm.values import Clip, VlmError

_SECONDS = re.compile(r"\d\s?s(?:ec(?:ond)?s?)?\b", re.IGNORECASE)
#: (start, end) of what a question is about, or None -> what the model is shown of that time, or None.
Frames = Callable[[tuple[float, float] | None], Clip | None]
_LESS = "show fewer or smaller pictures (vlm.frames, vlm.max_pixels; dsr ask --pictures), or take a smaller model"


@dataclass(frozen=True)
class AnsweringConfig:
    """How a model answers.

    Attributes:
        memory_s: Where a question tells no time, the model looks at so many of the newest seconds; None: at all.
        min_confidence: Answers of less confidence are declined.
        max_new_tokens: Longest answer to an open question.
        threads: CPU threads; 0: what torch takes by itself.
    """

    memory_s: float | None = None
    min_confidence: float = 0.0
    max_new_tokens: int = 48
    threads: int = 0

    def __post_init__(self):
        if self.memory_s is not None and not self.memory_s > 0:
            raise VlmError(f"memory_s = {self.memory_s} must be positive, or None")
        if not 0.0 <= self.min_confidence <= 1.0:
            raise VlmError(f"min_confidence = {self.min_confidence} is not between 0 and 1")
        if self.max_new_tokens < 1:
            raise VlmError(f"max_new_tokens = {self.max_new_tokens} must be at least 1")


class VlmAnswerer:
    """Answers by a `GeometryVLM`; an `Answerer` of `dsr_core.ask`.

    Questions are answered one at a time, from whatever thread.

    Args:
        model: A GeometryVLM, on its device.
        name: What answers call it.
        config: How it answers.
    """

    def __init__(self, model, name: str, config: AnsweringConfig = AnsweringConfig()):
        self.name, self.config = name, config
        self._engine = Engine(model)
        self._frames: Frames = lambda window: None
        self._check: Callable[[], None] = lambda: None
        self._report: Callable[[str], None] = lambda stage: None

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str | None = None,
        dtype: str | None = None,
        config: AnsweringConfig = AnsweringConfig(),
    ) -> VlmAnswerer:
        """A model from its folder (`GeometryVLM.save`, or a plain checkpoint).

        Args:
            path: The folder, or a name in the hub's cache.
            device: "cuda", "cpu", …; None: the GPU where there is one.
            dtype: "float32", "bfloat16", "float16"; None: bfloat16 on a GPU, float32 on a CPU.
            config: How it answers.

        Raises:
            VlmError: there is no such model, or it does not fit into memory.
            DependencyError: torch, transformers or peft is missing.
        """
        try:
            import torch
            from transformers.utils.logging import disable_progress_bar

            from dsr_core.vlm.model import GeometryVLM
        except ImportError as error:
            what = f"a vision-language model needs torch, transformers and peft ({error})"
            raise DependencyError(f"{what}; install them: pip install 'dsr_ros[vlm]'") from None
        disable_progress_bar()  # of weights: a node's log is no terminal
        if config.threads:
            torch.set_num_threads(config.threads)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or ("float32" if device == "cpu" else "bfloat16")
        failure = None
        try:
            model = GeometryVLM.load(path, device=device, dtype=getattr(torch, dtype))
        except Exception as error:
            if not _is_memory(error):
                raise
            failure = VlmError(f"{path} does not fit into the memory of {device}; take a smaller model or dtype")
        if failure is not None:
            _free()
            raise failure
        folder = Path(path).expanduser()
        return cls(model.eval(), folder.resolve().name if folder.is_dir() else str(path), config)

    @property
    def max_pixels(self) -> int:
        """Pixels of a picture beyond which the model would make it smaller anyway."""
        return self._engine.model.inputs.max_pixels

    def given(
        self,
        frames: Frames | None = None,
        check: Callable[[], None] | None = None,
        report: Callable[[str], None] | None = None,
    ) -> VlmAnswerer:
        """The same model with what belongs to one question.

        Args:
            frames: What it is shown.
            check: Called between stages and at every layer; raises where the question shall be stopped.
            report: Takes the stage: "encoding", "answering".
        """
        made = copy.copy(self)
        made._frames, made._check = frames or self._frames, check or self._check
        made._report = report or self._report
        return made

    def warm_up(self, pictures: int = 0, max_pixels: int = 0) -> None:
        """Answers a question about nothing, so that the first one of a user is not the slow one.

        Args:
            pictures: As many pictures as will be shown. max_pixels: Of each.

        Raises:
            VlmError: the model cannot even do that; the message says why.
        """
        side = max(int(max_pixels**0.5), 1)
        frame = np.zeros((side, side, 3), np.uint8)
        clip = Clip([frame] * pictures, [0.1 * i for i in range(pictures)]) if pictures else None
        try:
            self.given(lambda window: clip).answer(_example(), "Is anything moving?", ("yes", "no"))
        except DeclineError as error:
            if error.code != "TOO_UNCERTAIN":
                raise VlmError(str(error)) from None
        finally:
            self._engine.forget()

    def answer(
        self,
        scene: Scene,
        question: str,
        choices: Sequence[str] = (),
        window: tuple[float, float] | None = None,
        now_s: float | None = None,
    ) -> Answer:
        """Answers one question; see `Answerer`."""
        failure = None
        try:
            return self._answered(scene, question, tuple(choices), window, now_s)
        except DeclineError:
            raise
        except DsrError as error:
            failure = DeclineError("BAD_REQUEST", f"the model {self.name} cannot take this question: {error}")
        except Exception as error:
            what = f"the model {self.name} failed on this question ({type(error).__name__}: {error})"
            if _is_memory(error):
                what = f"the model {self.name} has too little memory for this question; {_LESS}"
            failure = DeclineError("BACKEND_UNAVAILABLE", what, ("geometry",))
        # The error is gone by now, and with it what it held of the model's tensors.
        self._engine.forget()
        _free()
        raise failure

    def _answered(self, scene: Scene, question: str, choices, window, now_s) -> Answer:
        self._check()
        self._report("encoding")
        clip = self._frames(window)
        end_s = max(scene.end_s, clip.times_s[-1] if clip is not None else 0.0)
        about = window
        if about is None and self.config.memory_s is not None:
            about = (max(end_s - self.config.memory_s, 0.0), end_s)
        with self._engine.lent(self._check) as engine:
            shown = clip if clip is None or _tells_seconds(question) else engine.from_zero(clip)
            asked = engine.compose(question, choices, scene, shown, about)
            if not asked.clips and not asked.geometry:
                raise DeclineError(
                    "NOT_OBSERVED",
                    f"the model {self.name} has nothing to look at: no picture, and nothing remembered that it reads",
                )
            encoded = engine.encode(asked)
            self._check()
            self._report("answering")
            if choices:
                said, index, probabilities = "", *engine.choose(asked, encoded)
                confidence = float(probabilities[index])
            else:
                index, probabilities = -1, ()
                said, confidence = engine.say(asked, encoded, self.config.max_new_tokens)
        self._check()
        if confidence < self.config.min_confidence:
            raise DeclineError(
                "TOO_UNCERTAIN",
                f"the model {self.name} is {100 * confidence:.0f} % sure, {100 * self.config.min_confidence:.0f} % are"
                " asked; show it more, or ask of a longer time",
                choices,
            )
        start_s = scene.start_s if clip is None else min(scene.start_s, clip.times_s[0])
        seen = (start_s, end_s) if about is None else (max(about[0], start_s), min(about[1], end_s))
        tokens = {name: len(made) for name, made in asked.geometry.items()}
        pictures = 0 if clip is None else len(clip.frames)
        return Answer(
            answer=choices[index] if choices else said,
            confidence=confidence,
            choice=choices[index] if choices else None,
            choice_index=index,
            choice_probabilities=tuple(float(p) for p in probabilities),
            backend="vlm",
            samples=pictures + sum(tokens.values()),
            window=seen,
            data_age_s=None if now_s is None else max(now_s - seen[1], 0.0),
            details={
                "model": self.name,
                "pictures": pictures,
                "geometry_tokens": tokens,
                **({"probabilities": [float(p) for p in probabilities]} if choices else {}),
            },
        )


def _tells_seconds(question: str) -> bool:
    """Whether a question speaks of seconds of the scene's clock.

    Where it does not, pictures are shown with times from zero: the clock of a robot that has run for hours is at
    thousands, which no model has been trained on.
    """
    try:
        parsed = parse(question)
    except DeclineError:
        return bool(_SECONDS.search(question))
    query, times = parsed.query, parsed.times
    return any(at is not None for at in (query.window, query.viewpoint.at, times.start_s, times.end_s))


def _is_memory(error: Exception) -> bool:
    """Whether an error says that memory is short; torch has no type for that on a CPU."""
    import torch

    said = str(error).lower()
    short = "not enough memory" in said or "can't allocate memory" in said or "out of memory" in said
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (isinstance(error, RuntimeError) and short)


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _example() -> Scene:
    """A thing that goes by, for the first question."""
    stamps_s = np.linspace(0.0, 2.0, 21)
    places = np.stack([2.0 + stamps_s, np.zeros(21), np.zeros(21)], axis=1)
    poses = np.tile(np.eye(4), (21, 1, 1))
    track = Track("1", "thing", stamps_s, places, np.tile(0.01 * np.eye(3), (21, 1, 1)), np.tile([1.0, 0, 0], (21, 1)))
    return Scene(stamps_s, {"1": track}, T_world_camera=poses, T_world_base=poses)
