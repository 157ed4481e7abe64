"""The rows that a run learns from, and those that it is asked about."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dsr_core.vlm.faults import RowFault
from dsr_core.vlm.inputs import Inputs
from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.recordings import Places, Recordings
from dsr_core.vlm.rows import Question, QuestionSet, fingerprint_of, shared_scenes
from dsr_core.vlm.token_cache import with_cache
from dsr_core.vlm.values import Asked, VlmError
from training.config import TrainConfig
from training.settings import TrainingError

_NAMED = 8


@dataclass
class Data:
    """What a run works with.

    Attributes:
        rows: To learn from. lengths: (N,) tokens of each, at least about.
        held_out: To be asked about; None where the settings name none.
    """

    rows: QuestionSet
    lengths: np.ndarray
    held_out: QuestionSet | None

    @property
    def fingerprint(self) -> str:
        """Of what is learned, in its order."""
        return fingerprint_of(self.rows.questions)


def make_data(config: TrainConfig, model: GeometryVLM, progress: bool = False) -> Data:
    """Reads the question sets, and leaves out what is known to be unusable.

    Raises:
        TrainingError: a scene is in both sets. DsrError: a file cannot be read.
    """
    data = config.data
    places = Places(data.scenes, data.videos, data.recordings, data.sequence, data.detections)
    recordings = Recordings(
        places, data.cache, None if config.blind else config.frames, data.disk_gb * 1e9, data.memory_gb * 1e9
    )
    sources = with_cache(model.sources, Path(data.cache).expanduser() / "tokens", data.disk_gb * 1e9)

    def questions(paths: Sequence[str], limit: int | None) -> QuestionSet:
        return QuestionSet(
            paths, recordings, sources, config.blind, data.hide_future, limit, config.seed, data.memory_gb * 1e9,
            (*data.train, *data.held_out),
        )  # fmt: skip

    rows = questions(data.train, data.limit)
    held_out = questions(data.held_out, data.held_out_limit) if data.held_out else None
    if held_out is not None and not data.allow_shared_scenes and (shared := shared_scenes(rows, held_out)):
        named = ", ".join(shared[:_NAMED]) + (" …" if len(shared) > _NAMED else "")
        raise TrainingError(
            f"{len(shared)} scenes are in both the training and the held-out set: {named}; a model can remember them."
            " Split the recordings before `dsr qa`, or allow it: data.allow_shared_scenes=true"
        )
    lengths: list[int] = []
    for questions_, kept in ((rows, lengths), (held_out, [])):
        if questions_ is None:
            continue
        with tqdm(total=len(questions_), desc="checking rows", unit="row", leave=False, disable=not progress) as bar:
            questions_.check(_Measure(config, model, questions_, kept, bar))
    return Data(rows, np.array(lengths), held_out)


class _Measure:
    """Measures questions, and refuses those that are too long already by their words."""

    def __init__(self, config: TrainConfig, model: GeometryVLM, questions: QuestionSet, lengths: list[int], bar):
        self._inputs, self._most, self._lengths, self._bar = unbounded(model.inputs), config.max_tokens, lengths, bar
        video = model.inputs.video
        self._more = 0
        if questions.shows_frames:
            grids = math.ceil(config.frames.count / video.temporal)
            self._more = grids * math.ceil(config.frames.max_pixels / (video.patch * video.merge) ** 2)
        if questions.sources and model.config.mode == "gsm":
            self._more += model.config.queries

    def __call__(self, question: Question) -> None:
        self._bar.update()
        row = question.row
        asked = Asked(row.question, row.options, answer_index=row.answer_index, key=question.key)
        try:
            length = self._inputs.length(asked, self._inputs.prompt.true_reply(asked))
        except VlmError as error:
            raise RowFault("it cannot be put to the model", str(error)) from None
        if length > self._most:
            raise RowFault(*too_long(length, self._most))
        self._lengths.append(length + self._more)


def unbounded(inputs: Inputs) -> Inputs:
    """The same collator for rows of any length."""
    same = copy.copy(inputs)
    same.max_tokens = 10**9
    return same


def too_long(tokens: int, most: int) -> tuple[str, str]:
    """Reason and detail of a row that is too long."""
    return f"it is longer than max_tokens = {most}", f"{tokens} tokens; give fewer or smaller frames, or raise it"
