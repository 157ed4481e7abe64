"""What both ways to run SAM 2 share: prompts from a detector, identities, and memory that does not grow.

A detector looks at every `interval`-th image: what it finds anew is prompted by its box, what is already followed keeps
its identity, and a thing that was lost takes it up again. Each thing has a session of its own, which shares the image's
features with the others; so things come and go without touching each other, and what a session no longer reads is
dropped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from dsr_core.errors import GeometryError, ModelError
from dsr_core.perception import networks
from dsr_core.perception.boxes import mask_box
from dsr_core.perception.detect.protocol import Detector
from dsr_core.perception.segment.identities import IdentityConfig, Thing, assign, duplicates
from dsr_core.values import Detection

Session = TypeVar("Session")


@dataclass(frozen=True)
class Sam2Config:
    """Constants of the segmentation.

    Attributes:
        interval: The detector looks at every so many images, and at the first.
        max_prompts: Prompted images of a thing that are kept in its memory: the first and the newest.
        identities: Constants of telling which is which.
    """

    interval: int = 10
    max_prompts: int = 4
    identities: IdentityConfig = field(default_factory=IdentityConfig)

    def __post_init__(self):
        if self.interval < 1 or self.max_prompts < 1:
            raise ModelError(f"SAM 2: interval = {self.interval} and max_prompts = {self.max_prompts} must be positive")


class Kept(NamedTuple):
    """What one session remembers of its thing, by the number of the image.

    Attributes:
        prompted: Outputs of prompted images.
        followed: Outputs of the other images.
        tracked: Which images were followed.
        prompts: The prompts.
    """

    prompted: dict[int, dict]
    followed: dict[int, dict]
    tracked: dict[int, object]
    prompts: dict[int, object]


class PromptedSegmenter(ABC, Generic[Session]):
    """Follows what a detector finds.

    Args:
        detector: What to follow; only `box_px`, `label` and `score` of its detections are used.
        config: Constants, the defaults where None is given.
        reads_back: So many images before the current one are read by a session.
    """

    def __init__(self, detector: Detector, config: Sam2Config | None, reads_back: int):
        self.detector, self.config = detector, config or Sam2Config()
        self._reads_back = reads_back
        self._next_id = 1
        self.reset()

    @abstractmethod
    def prepare(self, rgb: np.ndarray):
        """An image (H, W, 3) uint8 as the network's input (1, 3, S, S)."""

    @abstractmethod
    def _new_session(self) -> Session:
        """A session for one thing that shares images and features with the others of this video."""

    @abstractmethod
    def _next_image(self, pixels) -> None:
        """Drops the image before; `pixels` is the current one as the network's input."""

    @abstractmethod
    def _infer(self, session: Session, pixels, box_px: np.ndarray | None) -> tuple[object, float]:
        """Logits (1, 1, h, w) of a thing's mask in the current image, and the probability that it is there.

        Args:
            session: The thing's.
            pixels: The image as the network's input.
            box_px: (4,) a box around it that prompts it anew, or None.
        """

    @abstractmethod
    def _kept(self, session: Session) -> Kept:
        """What a session remembers."""

    def reset(self) -> None:
        """Forgets what was followed: the next image begins a new video. Identities go on counting."""
        self._things: list[Thing] = []
        self._sessions: dict[int, Session] = {}
        self._index = -1
        self._size_hw: tuple[int, int] | None = None

    def step(self, rgb: np.ndarray) -> tuple[Detection, ...]:
        """Things in the next image (H, W, 3) uint8, with masks, boxes and `id`, the oldest first.

        Raises:
            GeometryError: `rgb` is no such image, or its size is not that of the images before (call `reset` first).
        """
        rgb = networks.check_image(rgb)
        if self._size_hw not in (None, rgb.shape[:2]):
            raise GeometryError(
                f"image of {rgb.shape[:2]} after images of {self._size_hw} (height, width): call reset() first"
            )
        self._size_hw = rgb.shape[:2]
        self._index += 1
        pixels = self.prepare(rgb)
        self._next_image(pixels)
        masks, presence = {}, {}
        for thing in self._things:
            masks[thing.id], presence[thing.id] = self._run(thing.id, pixels)
            self._note(thing, masks[thing.id])
        if self._index % self.config.interval == 0:
            for thing, detection in self._take_up(self.detector.detect(rgb)):
                masks[thing.id], presence[thing.id] = self._run(thing.id, pixels, np.asarray(detection.box_px, float))
                self._note(thing, masks[thing.id])
        self._forget(masks)
        self._trim()
        return tuple(
            Detection(
                label=thing.label,
                score=min(thing.score, presence[thing.id]),
                box_px=thing.box_px.copy(),
                mask=masks[thing.id],
                id=str(thing.id),
            )
            for thing in self._things
            if thing.lost_frames == 0
        )

    def _take_up(self, detections: tuple[Detection, ...]) -> list[tuple[Thing, Detection]]:
        """Confirms what is visible; gives the things that must be prompted: those that came back, and new ones."""
        config = self.config.identities
        found = assign(self._things, tuple(d for d in detections if d.box_px is not None), config)
        confirmed = {thing.id for thing, _ in found.seen}
        for thing in self._things:
            thing.missed_detections += int(thing.lost_frames == 0 and thing.id not in confirmed)
        for thing, detection in (*found.seen, *found.regained):
            thing.confirm(detection)
        prompts = list(found.regained)
        room = max(config.max_things - len(self._things), 0)
        for detection in sorted(found.new, key=lambda d: -d.score)[:room]:
            thing = Thing(self._next_id, detection.score, np.asarray(detection.box_px, float))
            thing.confirm(detection)
            self._next_id += 1
            self._things.append(thing)
            self._sessions[thing.id] = self._new_session()
            prompts.append((thing, detection))
        return prompts

    def _run(self, thing_id: int, pixels, box_px: np.ndarray | None = None) -> tuple[np.ndarray, float]:
        """Mask (H, W) bool of a thing in the current image and the probability that it is there."""
        torch = networks.import_torch()
        session = self._sessions[thing_id]
        if box_px is not None:
            # What was followed in this image gives way, so that the prompt counts as a first sight.
            kept = self._kept(session)
            kept.tracked.pop(self._index, None)
            kept.followed.pop(self._index, None)
        logits, presence = self._infer(session, pixels, box_px)
        if presence <= 0.5:
            return np.zeros(self._size_hw, bool), presence
        logits = torch.nn.functional.interpolate(logits.float(), self._size_hw, mode="bilinear")
        return (logits[0, 0] > 0).cpu().numpy(), presence

    def _note(self, thing: Thing, mask: np.ndarray) -> None:
        """Takes down where a thing was seen, or that it was not."""
        box = mask_box(mask)
        if box is None:
            thing.lost_frames += 1
        else:
            thing.box_px, thing.lost_frames = box, 0

    def _forget(self, masks: dict[int, np.ndarray]) -> None:
        """Drops what was lost for too long, what detections do not confirm, and the younger of two of the same."""
        config = self.config.identities
        visible = [t for t in self._things if t.lost_frames == 0]
        twice: set[int] = set()
        if len(visible) > 1:
            same = duplicates(np.stack([masks[t.id] for t in visible]), config.max_same_masks)
            twice = {t.id for t, double in zip(visible, same, strict=True) if double}
        self._things = [
            t
            for t in self._things
            if t.id not in twice
            and t.lost_frames <= config.max_lost_frames
            and t.missed_detections < config.max_missed_detections
        ]
        kept = {t.id for t in self._things}
        self._sessions = {i: session for i, session in self._sessions.items() if i in kept}

    def _trim(self) -> None:
        """Drops what the sessions no longer read."""
        oldest = self._index - self._reads_back
        for session in self._sessions.values():
            kept = self._kept(session)
            prompted = sorted(kept.prompted)
            for index in prompted[1 : len(prompted) - self.config.max_prompts + 1]:
                del kept.prompted[index]
            for outputs in (kept.followed, kept.tracked):
                for index in [i for i in outputs if i < oldest]:
                    del outputs[index]
            kept.prompts.clear()
