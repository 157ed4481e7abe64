"""Things in an occupancy grid or a Nav2 costmap: connected lethal cells as detections."""

from __future__ import annotations

import numpy as np

from dsr_core.errors import SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.sources.ros_messages import quaternion, vector
from dsr_core.values import Detection

LABEL = "obstacle"
#: Larger connected areas are walls, not things, metres.
LARGEST_THING_M = 3.0
#: Cells that hold something: Nav2's LETHAL_OBSTACLE in costmaps (255 = unknown), 65..100 in occupancy grids.
COSTMAP_LETHAL = 254
OCCUPIED = 65


def detections_from_grid(message) -> tuple[Detection, ...]:
    """Connected occupied cells of a `nav2_msgs/Costmap` or `nav_msgs/OccupancyGrid`, in the grid's own frame.

    The centre is that of the cells, at the grid's height; its covariance is that of a uniform spread over a cell.

    Raises:
        SourceError: the number of cells is not width x height.
    """
    from scipy import ndimage

    costmap = hasattr(message, "metadata")
    info = message.metadata if costmap else message.info
    width, height = (info.size_x, info.size_y) if costmap else (info.width, info.height)
    cells = np.asarray(message.data)
    if cells.size != width * height or not info.resolution > 0:
        raise SourceError(
            f"grid in frame {message.header.frame_id!r} has {cells.size} cells of {info.resolution} m, but says"
            f" {width} x {height}"
        )
    cells = cells.reshape(height, width)
    occupied = cells == COSTMAP_LETHAL if costmap else cells >= OCCUPIED
    areas, _ = ndimage.label(occupied, structure=np.ones((3, 3)))
    resolution = float(info.resolution)
    R = tf.matrices_from_quaternions(quaternion(info.origin.orientation))
    T_frame_grid = tf.make_transform(R, vector(info.origin.position))
    out = []
    for k, part in enumerate(ndimage.find_objects(areas), 1):
        extent_y, extent_x = ((s.stop - s.start) * resolution for s in part)
        if max(extent_x, extent_y) > LARGEST_THING_M:
            continue
        y, x = ndimage.center_of_mass(areas == k)
        centre = np.array([x + 0.5, y + 0.5, 0.0]) * resolution
        out.append(
            Detection(
                label=LABEL,
                position_camera_m=tf.transform_points(T_frame_grid, centre),
                covariance_camera=np.eye(3) * resolution**2 / 12,
            )
        )
    return tuple(out)
