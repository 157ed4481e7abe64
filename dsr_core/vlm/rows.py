"""Question sets -> what a model is asked: rows of any layout with the scenes and frames that belong to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dsr_core.qa.files.readers import QaRow, read_rows
from dsr_core.qa.files.rescale import rescale_boxes
from dsr_core.vlm.compose import compose
from dsr_core.vlm.disk_cache import Memory, key_of
from dsr_core.vlm.faults import Faults, RowFault, told
from dsr_core.vlm.recordings import Recordings
from dsr_core.vlm.sources import GeometrySource
from dsr_core.vlm.values import Asked, VlmError


@dataclass(frozen=True)
class Question:
    """A row with the name that reports call it by ("train.parquet row 17")."""

    key: str
    row: QaRow

    @property
    def scene(self) -> str:
        """What must not be in two sets at once."""
        return self.row.scene or self.row.video_id


class QuestionSet:
    """Questions with their scenes and frames.

    Args:
        paths: Files of any layout that `read_rows` reads; a row that is no question is told in `faults`.
        recordings: Where scenes and frames are.
        sources: Geometry sources by name; a scene or frames are needed where one of them looks at it.
        blind: Leaves out frames and geometry.
        hide_future: Whether frames and scene end where a question's future begins.
        limit: At most so many questions, drawn by `seed`; those of a smaller limit are among those of a larger one.
        memory_bytes: Bound of the geometry that is kept in memory.
        among: Other files whose rows keys must not be taken for.

    Attributes:
        questions: Those that can be asked, as far as is known. faults: Those that cannot.
        total: Rows of the files.

    Raises:
        QaError: a file is missing, cut off or foreign. VlmError: it names no files.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        recordings: Recordings,
        sources: Mapping[str, GeometrySource],
        blind: bool = False,
        hide_future: bool = True,
        limit: int | None = None,
        seed: int = 0,
        memory_bytes: float = 1e9,
        among: Sequence[str | Path] = (),
    ):
        if not paths:
            raise VlmError("no question set is named; make one with `dsr qa`, or give a file of DSR-Train")
        self.recordings, self.sources = recordings, {} if blind else dict(sources)
        self._hides, self._blind = hide_future, blind
        self.faults, self.total, self.questions = Faults(), 0, []
        for path in map(Path, paths):
            name, bad = short_name(path, [*paths, *among]), {}
            rows = read_rows(path.expanduser(), bad)
            for index, why in bad.items():
                self.faults.add(f"{name} row {index}", "it is no question with a true answer", why)
            self.questions += [Question(f"{name} row {row.index}", row) for row in rows]
            self.total += len(rows) + len(bad)
        if limit is not None and limit < len(self.questions):
            drawn = np.random.default_rng(seed).permutation(len(self.questions))[:limit]
            self.questions = [self.questions[i] for i in sorted(drawn.tolist())]
            self.total = len(self.questions) + len(self.faults)
        self._memory = Memory(memory_bytes)

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def needs_scene(self) -> bool:
        return any(source.looks_at == "scene" for source in self.sources.values())

    @property
    def shows_frames(self) -> bool:
        return not self._blind and self.recordings.frames is not None

    @property
    def scenes(self) -> set[str]:
        """Names of the scenes that it asks about."""
        return {question.scene for question in self.questions}

    def check(self, accept: Callable[[Question], None] = lambda question: None) -> None:
        """Leaves out what cannot be asked, as far as that is known without opening recordings.

        Args:
            accept: May raise a `RowFault` of its own for a question (too long).
        """
        good, places = [], {}
        for question in self.questions:
            name = (question.row.scene, question.row.video_id)
            if name not in places:
                places[name] = self._place_fault(question.row)
            fault = places[name]
            try:
                if fault is not None:
                    raise fault
                accept(question)
                good.append(question)
            except RowFault as found:
                self.faults.add(question.key, found.reason, found.detail)
        self.questions = good

    def _place_fault(self, row: QaRow) -> RowFault | None:
        try:
            if self.needs_scene:
                self.recordings.scene_of(row)
            if self.shows_frames:
                self.recordings.video_of(row)
        except RowFault as fault:
            return fault
        return None

    def asked(self, index: int) -> Asked:
        """What a model is asked.

        Raises:
            RowFault: it cannot be asked.
        """
        question = self.questions[index]
        row, clip = question.row, None
        scene = self.recordings.scene(row) if self.needs_scene else None
        until_s = self.recordings.future_s(row, scene) if self._hides and not self._blind and self._sees else None
        if self.shows_frames:
            clip = self.recordings.clip(row, scene, until_s, row.window)
        kept = self._memory.get(index)
        if kept is None:
            try:
                made = compose(
                    row.question,
                    row.options,
                    scene=scene,
                    clip=clip,
                    window=row.window,
                    future_from_s=until_s,
                    sources=self.sources,
                    answer_index=row.answer_index,
                    key=question.key,
                )
            except Exception as error:  # whatever a strange row does to a source, it costs itself alone
                raise RowFault("its geometry cannot be made", told(error)) from error
            kept = _rescaled(replace(made, clips=()), row, clip)
            self._memory.put(index, kept, 1000 + sum(tokens.features.nbytes for tokens in kept.geometry.values()))
        return kept if clip is None else replace(kept, clips=(clip,))

    @property
    def _sees(self) -> bool:
        return self.needs_scene or self.shows_frames

    def usable(self, indices: Sequence[int]) -> list[Asked]:
        """Those of some questions that can be asked; the others are told in `faults`."""
        out = []
        for index in indices:
            key = self.questions[index].key
            if key in self.faults.rows:
                continue
            try:
                out.append(self.asked(index))
            except RowFault as fault:
                self.faults.add(key, fault.reason, fault.detail)
        return out

    def tell_repaired(self) -> None:
        """Takes what was damaged in the caches into `faults`."""
        self.faults.repaired = dict(self.recordings.faults().repaired)
        damaged = {id(s.cache): len(s.cache.damaged) for s in self.sources.values() if hasattr(s, "cache")}
        if count := sum(damaged.values()):
            self.faults.repaired["damaged files of the token cache, made again"] = count


def short_name(path: str | Path, among: Sequence[str | Path]) -> str:
    """As much of a path's end as tells it from others."""
    parts, others = Path(path).parts, [Path(other).parts for other in among if Path(other) != Path(path)]
    count = next((n for n in range(1, len(parts)) if all(o[-n:] != parts[-n:] for o in others)), len(parts))
    return "/".join(parts[-count:])


def shared_scenes(training: QuestionSet, held_out: QuestionSet) -> list[str]:
    """Names of the scenes that are in both sets."""
    return sorted(training.scenes & held_out.scenes)


def fingerprint_of(questions: Sequence[Question]) -> str:
    """A digest of what is asked, in its order."""
    return key_of(*(json.dumps([q.key, q.row.question, q.row.options, q.row.answer_index]) for q in questions))


def _rescaled(asked: Asked, row: QaRow, clip) -> Asked:
    """Its boxes in pixels of the frames that are shown."""
    if clip is None or row.image_size is None:
        return asked
    height, width = clip.frames[0].shape[:2]
    sizes = row.image_size, (width, height)
    options = tuple(rescale_boxes(option, *sizes) for option in asked.options)
    return replace(asked, question=rescale_boxes(asked.question, *sizes), options=options)
