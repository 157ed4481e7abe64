"""BlazePose's landmark network (Google, Apache-2.0), run by LiteRT: one body's landmarks, mask and presence.

About 12, 20 or 60 ms a body on one core (lite, full, heavy). It is shown a square region around one body; the regions
come from a detector, or from the body's own landmarks in the frame before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dsr_core.perception.detect.ssd import sigmoid
from dsr_core.perception.litert import LiteRtNet
from dsr_core.perception.people.region import Region
from dsr_core.perception.registry import model_path

NAME = "pose-landmark-full"
SIZE_PX = 256
COUNT = 33
#: Of the six points beside the landmarks: the middle of the hips, and a point on the circle around the body.
_HIPS, _TOP = 33, 34


@dataclass(frozen=True, eq=False)
class Body:
    """One person.

    Attributes:
        presence: How sure it is that there is a body in the region, 0..1.
        landmarks_px: (33, 2) in the image.
        visibility: (33,) how sure it is that each is inside the region and not hidden, 0..1.
        world_m: (33, 3) metres, origin between the hips, x right, y down, z away from a camera that looks at the body.
        region: What the network was shown.
        next_region: Around this body as its landmarks tell: where to look in the next frame.
        mask_logits: (256, 256) over the region, positive on the body.
        image_size: (width, height).
    """

    presence: float
    landmarks_px: np.ndarray
    visibility: np.ndarray
    world_m: np.ndarray
    region: Region
    next_region: Region
    mask_logits: np.ndarray
    image_size: tuple[int, int]

    @cached_property
    def mask(self) -> np.ndarray:
        """(H, W) bool: the pixels of this body in the image."""
        return self.region.paste(self.mask_logits, self.image_size, outside=-1.0) > 0.0

    @cached_property
    def box_px(self) -> np.ndarray | None:
        """(4,) x1, y1, x2, y2 around the mask but for 0.5 % of it on each side (stray pixels); None for no mask."""
        ends = []
        for counts in (self.mask.sum(axis=0), self.mask.sum(axis=1)):
            total = np.cumsum(counts)
            if total[-1] < 25:
                return None
            low = np.searchsorted(total, 0.005 * total[-1], "right")
            ends.append((float(low), float(np.searchsorted(total, 0.995 * total[-1], "left") + 1)))
        (x1, x2), (y1, y2) = ends
        return np.array([x1, y1, x2, y2])


class BlazePose:
    """The network.

    Args:
        path: The network's file; None takes the fetched one.
        name: Which fetched one: pose-landmark-lite, -full or -heavy.
        threads: CPU threads.

    Raises:
        ModelError: the network is not fetched; the message says how.
        DependencyError: LiteRT is not installed.
    """

    def __init__(self, path: str | Path | None = None, name: str = NAME, threads: int = 2):
        shapes = ((1, 195), (1, 1), (1, SIZE_PX, SIZE_PX, 1), (1, 117))
        self._net = LiteRtNet(path or model_path(name), shapes, threads)

    def body(self, rgb: np.ndarray, region: Region) -> Body:
        """The body in a region of an image (H, W, 3) uint8; its `presence` says whether there is one."""
        crop = region.crop(rgb, SIZE_PX).astype(np.float32) / 255.0
        points, presence, mask, world = self._net(crop)
        return read(points[0], float(presence[0, 0]), mask[0, :, :, 0], world[0], region, rgb.shape[1::-1])


def read(
    points: np.ndarray,
    presence: float,
    mask_logits: np.ndarray,
    world: np.ndarray,
    region: Region,
    image_size: tuple[int, int],
) -> Body:
    """A body of the network's outputs.

    Args:
        points: (195,) = 39 x (u, v, depth in pixels of the crop, logits of visibility and of presence).
        presence: 0..1.
        mask_logits: (256, 256).
        world: (117,) = 39 x 3 metres along the crop's axes.
        region: What the network was shown.
        image_size: (width, height).
    """
    points = points.reshape(39, 5).astype(float)
    in_image = region.to_image(points[:, :2] / SIZE_PX)
    world = world.reshape(39, 3)[:COUNT].astype(float)
    world[:, :2] = world[:, :2] @ region.rotation.T
    seen = np.minimum(sigmoid(points[:COUNT, 3]), sigmoid(points[:COUNT, 4]))
    return Body(
        presence=presence,
        landmarks_px=in_image[:COUNT],
        visibility=seen,
        world_m=world,
        region=region,
        next_region=Region.of_axis(in_image[_HIPS], in_image[_TOP]),
        mask_logits=mask_logits,
        image_size=(int(image_size[0]), int(image_size[1])),
    )
