"""The embedded default: people and common things on one CPU core, without a GPU, a hub or an account.

Per frame: the Open Images SSD finds things and people, BlazePose's detector people who are near; each person gets a
mask and a heading from BlazePose's landmark network. A person is followed by the landmarks of the frame before. With
depth the boxes and masks are lifted as any detector's; without, a body that is seen whole is placed by its size (30 %),
and of everything else only the bearing is known.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from dsr_core.errors import GeometryError, ModelError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.perception.bearing import RANGE_M, is_bearing, on_ray
from dsr_core.perception.boxes import iou_matrix
from dsr_core.perception.people import body as geometry
from dsr_core.perception.people.body import BodyConfig
from dsr_core.perception.people.region import Region
from dsr_core.values import Detection, Frame

if TYPE_CHECKING:
    from dsr_core.perception.people.blazepose import Body

log = logging.getLogger(__name__)
PERSON = "person"
#: What people wear lies inside their boxes; anything else with the box of a person is that person.
WORN = ("boot", "high heels", "footwear")
MISTAKEN_IOU = 0.7
#: One-sigma of the range of a body that is followed but was last seen whole some time ago, as a part of it.
LAST_RANGE_SIGMA = 0.5


@dataclass(frozen=True)
class EmbeddedConfig:
    """Constants of the embedded detector.

    Attributes:
        thing_score: Least score of a thing that the SSD finds.
        person_score: The same of a person who is to be looked at by the landmark network.
        lone_person_score: The same of a person whom the landmark network does not confirm.
        presence: Least presence of a body.
        same_iou: Boxes that overlap by more are one person.
        inside: So much of the smaller box in the larger one is one person, too.
        agree_iou: A body must overlap the box (or the body before) that it was looked for in by this much.
        max_people: Most bodies looked at in a frame.
        max_unconfirmed: A body is followed for so many frames in which no detector finds a person there.
        bearing_range_m: Where things are put whose range is not known; their one-sigma along the ray is as long.
        body: Constants of heading and range.
    """

    thing_score: float = 0.5
    person_score: float = 0.3
    lone_person_score: float = 0.4
    presence: float = 0.5
    same_iou: float = 0.4
    inside: float = 0.75
    agree_iou: float = 0.35
    max_people: int = 8
    max_unconfirmed: int = 10
    bearing_range_m: float = RANGE_M
    body: BodyConfig = field(default_factory=BodyConfig)

    def __post_init__(self):
        for name in ("thing_score", "person_score", "lone_person_score", "presence", "same_iou", "inside", "agree_iou"):
            if not 0 < getattr(self, name) <= 1:
                raise GeometryError(f"embedded detector: {name} = {getattr(self, name)} must be in (0, 1]")
        if not self.bearing_range_m > 0 or self.max_people < 1:
            raise GeometryError("embedded detector: bearing_range_m and max_people must be positive")


@dataclass(frozen=True, eq=False)
class Person:
    """One person in an image.

    Attributes:
        score: The body's presence, or the detector's score where there is no body.
        box_px: (4,) x1, y1, x2, y2.
        body: What the landmark network says, or None where it does not confirm what the detector found.
        unconfirmed: For how many frames the body was followed without a detector's word.
        range_m: Its range when it was last seen whole, since it is followed; None where it never was.
        id: Stays the same while the body is followed; "" where there is no body.
    """

    score: float
    box_px: np.ndarray
    body: Body | None = None
    unconfirmed: int = 0
    range_m: float | None = None
    id: str = ""


def _is_same(region: Region, body: Body) -> bool:
    """Whether a detector's region is about where a body's landmarks say that it is."""
    off = np.linalg.norm(region.centre_px - body.next_region.centre_px)
    return bool(off < 0.25 * min(region.side_px, body.next_region.side_px))


class EmbeddedDetector:
    """Detections of frames in order; it remembers where the bodies of the frame before were.

    Args:
        config: Constants.
        landmarks: Network of the bodies: pose-landmark-lite, -full or -heavy.
        threads: CPU threads.

    Attributes:
        missing: What it has to do without, in words; "" for nothing.

    Raises:
        ModelError: BlazePose's networks are not fetched; the message says how.
        DependencyError: LiteRT is not installed.
    """

    def __init__(
        self, config: EmbeddedConfig = EmbeddedConfig(), landmarks: str = "pose-landmark-full", threads: int = 2
    ):
        from dsr_core.perception.detect.ssd_openimages import SsdOpenImages
        from dsr_core.perception.people.blazepose import BlazePose
        from dsr_core.perception.people.pose_detector import PoseDetector

        self.config, self.missing = config, ""
        self._pose, self._people = BlazePose(name=landmarks, threads=threads), PoseDetector(threads=threads)
        try:
            least = min(config.thing_score, config.person_score)
            self._things = SsdOpenImages(min_score=least, threads=threads)
        except ModelError as error:
            self._things, self.missing = None, f"people only: {error}"
            log.warning("%s", self.missing)
        self._before: list[Person] = []
        self._count = 0

    def reset(self) -> None:
        """Forgets the bodies of the frame before (another recording, a jump of the clock)."""
        self._before = []

    def detect(self, frame: Frame) -> tuple[Detection, ...]:
        """What is seen in a frame; nothing in one without an image.

        With `frame.depth_m` detections are boxes and masks; without, and with `frame.camera`, they are placed: whole
        bodies by their size, the rest at `bearing_range_m` with a one-sigma along the ray as long as that.
        """
        if frame.rgb is None:
            return ()
        things, people = self.look(frame.rgb)
        placed = frame.depth_m is None and frame.camera is not None
        found = [self._bearing(thing, frame.camera) if placed else thing for thing in things]
        self._before = []
        for person in people:
            detection = self._person(person, frame.camera, placed)
            spot = detection.position_camera_m
            if person.body is not None:
                known = placed and detection.covariance_camera is not None and not is_bearing(detection)
                self._before.append(replace(person, range_m=float(np.linalg.norm(spot)) if known else None))
            found.append(detection)
        return tuple(sorted(found, key=lambda detection: -detection.score))

    def look(self, rgb: np.ndarray) -> tuple[list[Detection], list[Person]]:
        """Things but people, and people, in an image (H, W, 3) uint8; people are followed from the call before."""
        config = self.config
        found = [] if self._things is None else list(self._things.detect(rgb))
        things = [d for d in found if d.label != PERSON and d.score >= config.thing_score]
        boxes = self._person_boxes(found)
        regions = [region for region, _ in self._people.regions(rgb)]
        people = self._followed(rgb, boxes, regions)
        for detection in boxes:
            if self._is_new(detection.box_px, people) and len(people) < config.max_people:
                body = self._body(rgb, Region.of_box(detection.box_px), detection.box_px)
                if body is not None:
                    people.append(self._new_person(body))
        for region in regions:
            if len(people) >= config.max_people or any(_is_same(region, person.body) for person in people):
                continue
            body = self._body(rgb, region)
            if body is not None and self._is_new(body.box_px, people):
                people.append(self._new_person(body))
        self._before = list(people)
        for detection in boxes:
            if detection.score >= config.lone_person_score and self._is_new(detection.box_px, people):
                people.append(Person(detection.score, detection.box_px))
        things = [d for d in things if d.label in WORN or not self._is_person(d.box_px, people)]
        return things, people

    def _new_person(self, body: Body) -> Person:
        self._count += 1
        return Person(body.presence, body.box_px, body, id=f"body {self._count}")

    def _person_boxes(self, found: list[Detection]) -> list[Detection]:
        """Boxes of people but those that another name fits better: what has no name is often taken for a person."""
        people = [d for d in found if d.label == PERSON and d.score >= self.config.person_score]
        others = [d for d in found if d.label != PERSON and d.label not in WORN]
        if not people or not others:
            return people
        overlap = iou_matrix(np.array([d.box_px for d in people]), np.array([d.box_px for d in others])) > MISTAKEN_IOU
        better = np.array([d.score for d in others])[None] > np.array([d.score for d in people])[:, None]
        return [d for d, wrong in zip(people, (overlap & better).any(axis=1), strict=True) if not wrong]

    def _followed(self, rgb: np.ndarray, boxes: list[Detection], regions: list[Region]) -> list[Person]:
        """The people of the frame before whom the landmark network sees again."""
        people: list[Person] = []
        for before in self._before:
            body = self._pose.body(rgb, before.body.next_region)
            if not self._is_good(body, before.box_px) or not self._is_new(body.box_px, people):
                continue
            found = any(not self._is_new(d.box_px, [before]) for d in boxes)
            found = found or any(_is_same(region, body) for region in regions)
            unconfirmed = 0 if found else before.unconfirmed + 1
            if unconfirmed <= self.config.max_unconfirmed:
                people.append(
                    replace(before, score=body.presence, box_px=body.box_px, body=body, unconfirmed=unconfirmed)
                )
        return people

    def _body(self, rgb: np.ndarray, region: Region, box_px: np.ndarray | None = None) -> Body | None:
        """The body in a region, at the second look in the region that its own landmarks give; None for none."""
        first = self._pose.body(rgb, region)
        second = self._pose.body(rgb, first.next_region)
        good = [body for body in (second, first) if self._is_good(body, box_px)]
        return max(good, key=lambda body: body.presence, default=None)

    def _is_good(self, body: Body, box_px: np.ndarray | None) -> bool:
        if body.presence < self.config.presence or body.box_px is None:
            return False
        return box_px is None or float(iou_matrix(body.box_px[None], box_px[None])[0, 0]) >= self.config.agree_iou

    def _is_new(self, box_px: np.ndarray, people: list[Person]) -> bool:
        """Whether a box shows none of these people."""
        if not people:
            return True
        others = np.array([person.box_px for person in people])
        overlap = iou_matrix(box_px[None], others)[0]
        low, high = np.maximum(box_px[:2], others[:, :2]), np.minimum(box_px[2:], others[:, 2:])
        common = np.prod(np.maximum(high - low, 0.0), axis=1)
        smaller = np.minimum(np.prod(box_px[2:] - box_px[:2]), np.prod(others[:, 2:] - others[:, :2], axis=1))
        return bool((overlap < self.config.same_iou).all() and (common < self.config.inside * smaller).all())

    def _is_person(self, box_px: np.ndarray, people: list[Person]) -> bool:
        """Whether the box of a thing is that of a person, so that one of the two names is wrong."""
        others = np.array([person.box_px for person in people]).reshape(-1, 4)
        return bool((iou_matrix(box_px[None], others) > MISTAKEN_IOU).any())

    def _person(self, person: Person, camera: Camera | None, placed: bool) -> Detection:
        body = person.body
        detection = Detection(PERSON, float(person.score), box_px=person.box_px, id=person.id)
        if body is None:
            return self._bearing(detection, camera) if placed else detection
        detection = replace(detection, mask=body.mask)
        turn = None
        if camera is not None:
            # The middle of the trunk; hips alone may lie outside the image.
            trunk = [geometry.LEFT_SHOULDER, geometry.RIGHT_SHOULDER, geometry.LEFT_HIP, geometry.RIGHT_HIP]
            turn = geometry.toward(camera.rays(body.landmarks_px[trunk].mean(axis=0))[0])
            facing = geometry.heading(body.world_m, body.visibility, self.config.body)
            if facing is not None:
                quaternion = tf.quaternions_from_matrices(turn @ facing[0])
                detection = replace(detection, orientation_camera_xyzw=quaternion, orientation_sigma_rad=facing[1])
        if not placed:
            return detection
        spot = geometry.place(body.world_m @ turn.T, body.landmarks_px, body.visibility, camera, self.config.body)
        if spot is not None:
            return replace(detection, position_camera_m=spot[0], covariance_camera=spot[1])
        if person.range_m is not None:
            return on_ray(detection, camera, person.range_m, LAST_RANGE_SIGMA)
        return self._bearing(detection, camera)

    def _bearing(self, detection: Detection, camera: Camera) -> Detection:
        """A detection whose range is not known."""
        return on_ray(detection, camera, self.config.bearing_range_m, 1.0)
