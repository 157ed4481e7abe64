"""Which topics of a bag are what: detections, colour, depth, camera_info, odometry, grids."""

from __future__ import annotations

from dataclasses import dataclass

from dsr_core.errors import SourceError
from dsr_core.sources.bag_file import BagFile

DETECTION_ARRAY = "dsr_ros/msg/DetectionArray"
VISION_MSGS = ("vision_msgs/msg/Detection2DArray", "vision_msgs/msg/Detection3DArray")
IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TF = "tf2_msgs/msg/TFMessage"
ODOMETRY = "nav_msgs/msg/Odometry"
GRIDS = ("nav2_msgs/msg/Costmap", "nav_msgs/msg/OccupancyGrid")

#: Parts of topic names of images that are neither colour nor metric depth.
_OTHER_IMAGES = ("mask", "segment", "dispar", "infra", "/ir/", "confidence", "theora")


@dataclass(frozen=True)
class BagTopics:
    """The topics that a bag is read from; "" where there is none.

    Attributes:
        detections: dsr_ros/DetectionArray, or vision_msgs' 2D or 3D arrays.
        rgb, depth: Images; depth in 16UC1 or 32FC1.
        info: camera_info of the image that boxes refer to.
        depth_info: camera_info of the depth image, where it is another one.
        odometry: nav_msgs/Odometry, used where TF lacks the chain.
        grid: Costmap or occupancy grid, used where there are neither detections nor images.
        tf: TFMessage topics, static ones included.
    """

    detections: str = ""
    rgb: str = ""
    depth: str = ""
    info: str = ""
    depth_info: str = ""
    odometry: str = ""
    grid: str = ""
    tf: tuple[str, ...] = ()


def find_topics(bag: BagFile, wanted: dict[str, str | None]) -> BagTopics:
    """Finds the topics by their types and names.

    Args:
        bag: The bag.
        wanted: Topics given by the user, by the attribute names of `BagTopics`; None leaves the choice to this
            function, "" does without.

    Raises:
        SourceError: a topic that was asked for is not in the bag.
    """
    for name, topic in wanted.items():
        if topic and topic not in bag.topics:
            raise SourceError(f"{bag.path}: no messages on {name}_topic={topic!r}; topics there: {bag.topics_text()}")

    def choose(name: str, candidates: list[str]) -> str:
        given = wanted.get(name)
        return given if given is not None else (candidates[0] if candidates else "")

    # What one of our own nodes has placed in the world already is no input.
    arrays = [t for t in bag.topics_of(DETECTION_ARRAY) if not t.endswith("/observations")]
    detections = choose("detections", arrays + bag.topics_of(VISION_MSGS[1]) + bag.topics_of(VISION_MSGS[0]))
    images = [t for t in bag.topics_of(*IMAGES) if not any(part in t.lower() for part in _OTHER_IMAGES)]
    depths = [t for t in images if "depth" in t.lower()]
    # Depth that is aligned to the colour image comes first.
    depths.sort(key=lambda t: ("aligned" not in t and "registered" not in t, len(t), t))
    colours = [t for t in images if t not in depths and not t.endswith("/compressedDepth")]
    colours.sort(key=lambda t: (not any(part in t.lower() for part in ("color", "colour", "rgb")), len(t), t))
    rgb, depth = choose("rgb", colours), choose("depth", depths)
    infos = bag.topics_of(CAMERA_INFO)
    alone = infos if len(infos) == 1 else []
    info = choose("info", _siblings(rgb or depth, infos) or _siblings(depth, infos) or alone)
    return BagTopics(
        detections=detections,
        rgb=rgb,
        depth=depth,
        info=info,
        depth_info=choose("depth_info", _siblings(depth, infos)),
        odometry=choose("odometry", bag.topics_of(ODOMETRY)),
        grid=choose("grid", sorted(bag.topics_of(*GRIDS), key=lambda t: ("local" not in t, len(t), t))),
        tf=tuple(bag.topics_of(TF)),
    )


def _siblings(image_topic: str, infos: list[str]) -> list[str]:
    """camera_info topics in the namespace of an image topic (`a/b/image_raw/compressed` -> `a/b/camera_info`)."""
    if not image_topic:
        return []
    for transport in ("/compressedDepth", "/compressed"):
        image_topic = image_topic.removesuffix(transport)
    namespace = image_topic.rsplit("/", 1)[0]
    return [t for t in infos if t.rsplit("/", 1)[0] == namespace]
