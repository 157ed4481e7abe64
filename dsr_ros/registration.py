"""Depth that does not lie in the colour image: moved there, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dsr_core.errors import SourceError
from dsr_core.geometry.camera import Camera
from dsr_core.geometry.registration import DepthRegistration


class Registrar:
    """Brings one camera's depth images into its colour image.

    Args:
        lookup: (target frame, source frame, stamp in nanoseconds) -> T_target_source.
        depth_info_topic: Name of the depth camera's calibration topic, "" for none; for messages.
    """

    def __init__(self, lookup: Callable[[str, str, int], np.ndarray], depth_info_topic: str):
        self._lookup, self._topic = lookup, depth_info_topic
        self.depth_camera: Camera | None = None
        self._registration: DepthRegistration | None = None

    def __call__(
        self, depth_m: np.ndarray, depth_frame: str, stamp_ns: int, color: Camera | None, color_frame: str
    ) -> np.ndarray:
        """The depth image (H, W) float32 metres as the colour camera sees it.

        Raises:
            SourceError: it is not registered and what is needed to move it is missing.
            TransformUnavailable: TF does not join the two cameras.
        """
        size = (depth_m.shape[1], depth_m.shape[0])
        same_frame = not color_frame or depth_frame == color_frame
        if color is None or (self.depth_camera is None and same_frame and size == color.image_size):
            return depth_m
        if self.depth_camera is None:
            need = (
                f"; nothing has come on {self._topic}"
                if self._topic
                else "; set depth_info_topic, or publish aligned depth"
            )
            raise SourceError(
                f"depth of {size[0]}x{size[1]} in {depth_frame!r} is not registered to the colour image of"
                f" {color.image_size[0]}x{color.image_size[1]} in {color_frame!r}{need}"
            )
        if size != self.depth_camera.image_size:
            expected = self.depth_camera.image_size
            raise SourceError(
                f"depth of {size[0]}x{size[1]} does not fit to its camera_info of {expected[0]}x{expected[1]}"
            )
        T_color_depth = np.eye(4) if same_frame else self._lookup(color_frame, depth_frame, stamp_ns)
        known = self._registration
        if same_frame and size == color.image_size and np.allclose(color.K, self.depth_camera.K) and not color.D.size:
            return depth_m
        if (
            known is None
            or known.color_camera is not color
            or known.depth_camera is not self.depth_camera
            or not np.allclose(known.T_color_depth, T_color_depth, atol=1e-6)
        ):
            self._registration = known = DepthRegistration(self.depth_camera, color, T_color_depth)
        return known(depth_m)
