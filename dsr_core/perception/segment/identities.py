"""Which detection is which thing that is already followed: the bookkeeping of re-detection, without any network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from dsr_core.errors import ModelError
from dsr_core.perception.boxes import iou_matrix
from dsr_core.values import Detection


@dataclass(frozen=True)
class IdentityConfig:
    """Constants of the bookkeeping.

    Attributes:
        same_iou: A detection whose box overlaps a visible thing's by at least this is that thing.
        new_iou: A detection that overlaps every visible thing by less than this is something else.
        regain_distance: A detection of a lost thing's name lies at most this many diagonals of its last box away.
        regain_size: Largest ratio of the diagonals of the two boxes.
        max_lost_frames: A thing that was not seen for longer is forgotten.
        max_missed_detections: A thing that so many detections in a row do not confirm is forgotten: its mask drifted.
        max_same_masks: Of two masks whose intersection over union exceeds this, the younger thing is forgotten.
        max_things: At most this many are followed.
    """

    same_iou: float = 0.5
    new_iou: float = 0.3
    regain_distance: float = 1.0
    regain_size: float = 2.0
    max_lost_frames: int = 150
    max_missed_detections: int = 10
    max_same_masks: float = 0.8
    max_things: int = 32

    def __post_init__(self):
        if not 0 < self.new_iou <= self.same_iou <= 1 or not 0 < self.max_same_masks <= 1:
            raise ModelError(f"{self}: 0 < new_iou <= same_iou <= 1 and 0 < max_same_masks <= 1 are needed")
        if min(self.max_lost_frames, self.max_missed_detections, self.max_things) < 1 or self.regain_size < 1:
            raise ModelError(f"{self}: counts and regain_size must be at least 1")


@dataclass(eq=False)
class Thing:
    """One thing that is followed.

    Attributes:
        id: Its number, never given twice.
        score: Score of the last detection of it.
        box_px: (4,) last box it was seen in.
        lost_frames: Frames since it was seen last.
        missed_detections: Detections in a row that did not find it while it was visible.
        votes: Sum of the scores of its detections by name.
    """

    id: int
    score: float
    box_px: np.ndarray
    lost_frames: int = 0
    missed_detections: int = 0
    votes: Counter = field(default_factory=Counter)

    @property
    def label(self) -> str:
        """The name that its detections agree on best."""
        return self.votes.most_common(1)[0][0]

    def confirm(self, detection: Detection) -> None:
        """Takes up a detection of this thing."""
        self.votes[detection.label] += max(detection.score, 1e-6)
        self.score, self.missed_detections = detection.score, 0


@dataclass(frozen=True)
class Assignment:
    """What a frame's detections are.

    Attributes:
        seen: Visible thing -> its detection.
        regained: Lost thing -> its detection.
        new: Detections of things that were not known.
    """

    seen: tuple[tuple[Thing, Detection], ...]
    regained: tuple[tuple[Thing, Detection], ...]
    new: tuple[Detection, ...]


def assign(things: list[Thing], detections: tuple[Detection, ...], config: IdentityConfig) -> Assignment:
    """Tells which detections are things that are visible, lost ones that came back, or new ones.

    A detection between `new_iou` and `same_iou` of something visible is neither: a part of it, or two in one box.

    Args:
        things: All that are followed; `lost_frames` tells which of them are visible.
        detections: With `box_px`.
        config: Constants.
    """
    visible = [t for t in things if t.lost_frames == 0]
    lost = [t for t in things if t.lost_frames > 0]
    boxes = np.array([d.box_px for d in detections], float).reshape(-1, 4)
    overlaps = iou_matrix(np.array([t.box_px for t in visible]).reshape(-1, 4), boxes)
    rows, columns = linear_sum_assignment(-overlaps)
    seen = [(visible[i], j) for i, j in zip(rows, columns, strict=True) if overlaps[i, j] >= config.same_iou]
    taken = {j for _, j in seen}
    if len(visible):
        taken |= set(np.flatnonzero(overlaps.max(axis=0) >= config.new_iou).tolist())
    free = [j for j in range(len(detections)) if j not in taken]
    regained = _regain(lost, [detections[j] for j in free], config)
    back = {j for _, j in regained}
    return Assignment(
        tuple((thing, detections[j]) for thing, j in seen),
        tuple((thing, detections[free[j]]) for thing, j in regained),
        tuple(detections[j] for i, j in enumerate(free) if i not in back),
    )


def _regain(lost: list[Thing], detections: list[Detection], config: IdentityConfig) -> list[tuple[Thing, int]]:
    """Lost things and the indices of the detections of the same name that are near enough and of a like size."""
    if not lost or not detections:
        return []
    old = np.array([t.box_px for t in lost], float)[:, None]
    new = np.array([d.box_px for d in detections], float)[None]
    diagonals = [np.maximum(np.linalg.norm(b[..., 2:] - b[..., :2], axis=-1), 1e-6) for b in (old, new)]
    ratio = np.maximum(diagonals[0] / diagonals[1], diagonals[1] / diagonals[0])
    centres = [(b[..., 2:] + b[..., :2]) / 2 for b in (old, new)]
    distance = np.linalg.norm(centres[0] - centres[1], axis=-1) / diagonals[0]
    same_name = np.array([[t.label == d.label for d in detections] for t in lost])
    possible = same_name & (distance <= config.regain_distance) & (ratio <= config.regain_size)
    rows, columns = linear_sum_assignment(np.where(possible, distance, 1e6))
    return [(lost[i], int(j)) for i, j in zip(rows, columns, strict=True) if possible[i, j]]


def duplicates(masks: np.ndarray, max_iou: float) -> np.ndarray:
    """Whether each mask (N, H, W) bool, the oldest thing first, is the same as one before it."""
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    common = flat @ flat.T
    area = np.diag(common)
    union = area[:, None] + area[None] - common
    iou = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return np.tril(iou > max_iou, -1).any(axis=1)
