"""Every parameter of the nodes: name, default, description, range; declared and checked here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.node import Node

from dsr_core.errors import DsrError
from dsr_core.perception import config as perception
from dsr_core.reasoning.rules import DEFAULT_RULES, constants
from dsr_ros.qos import RELIABILITY


class ParameterError(DsrError):
    """A parameter has a value that cannot be used."""


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: Its name; a field of the settings, with "." as "_".
        default: Its default, which also gives its type.
        description: For `ros2 param describe` and the configuration file.
        between: Closed range of a number, or None.
        choices: Allowed texts, or None.
        dynamic: May be changed while the node is active; others take effect when the node is configured.
        not_empty: A text or list that must not be empty.

    A list of texts may be given as one text with commas, too: launch arguments are texts.
    """

    name: str
    default: bool | int | float | str | list
    description: str
    between: tuple[float, float] | None = None
    choices: tuple[str, ...] | None = None
    dynamic: bool = False
    not_empty: bool = False

    def descriptor(self) -> ParameterDescriptor:
        out = ParameterDescriptor(description=self.description)
        # Whole numbers are numbers too: stale_s:=5 shall do; and a launch argument gives a list as text.
        out.dynamic_typing = isinstance(self.default, (float, list))
        if self.choices:
            out.additional_constraints = f"one of {', '.join(self.choices)}"
        if self.between and isinstance(self.default, float):
            out.floating_point_range = [
                FloatingPointRange(from_value=float(self.between[0]), to_value=float(self.between[1]))
            ]
        elif self.between:
            out.integer_range = [IntegerRange(from_value=int(self.between[0]), to_value=int(self.between[1]), step=1)]
        return out

    def check(self, value) -> None:
        """Raises ParameterError when the value cannot be used."""
        if isinstance(self.default, float) and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ParameterError(f"{self.name} = {value!r} is no number")
        if isinstance(self.default, list):
            value = texts(value)
            if value is None:
                raise ParameterError(f"{self.name} must be a list of texts, or one text with commas")
        if self.choices and value not in self.choices:
            raise ParameterError(f"{self.name} = {value!r} is not one of {', '.join(self.choices)}")
        if self.between and not self.between[0] <= value <= self.between[1]:
            raise ParameterError(f"{self.name} = {value!r} is not between {self.between[0]} and {self.between[1]}")
        if self.not_empty and (not value or any(not str(v).strip() for v in value)):
            raise ParameterError(f"{self.name} = {value!r} must not be empty")


def texts(value) -> list[str] | None:
    """A list of texts, or one text cut at its commas; None for anything else."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return list(value) if isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value) else None


_COMMON = (
    Parameter("autostart", True, "configure and activate at start; false leaves it to a lifecycle manager"),
    Parameter("world_frame", "odom", "continuous fixed frame that motion is judged in", not_empty=True),
    Parameter(
        "reliability",
        "best_effort",
        "QoS of sensor topics; reliable for replays, where nothing may be lost",
        choices=RELIABILITY,
    ),
)

OBSERVER = (
    *_COMMON,
    Parameter("base_frame", "", "robot base (x forward, y left, z up); empty tries base_link, then base_footprint"),
    Parameter(
        "cameras",
        ["camera"],
        "names of the cameras; each has the parameters below under its name; the first is the robot's eye",
        not_empty=True,
    ),
    Parameter(
        "queue",
        10,
        "images and detections that may wait for the worker before the oldest is dropped (best_effort)",
        between=(1, 1000),
    ),
    Parameter(
        "pair_tolerance_s", 0.02, "largest difference of the stamps of detections and their image", between=(0.0, 1.0)
    ),
    Parameter(
        "max_wait_s",
        0.5,
        "data later than a frame by this shows that what it still lacks will not come",
        between=(0.0, 60.0),
    ),
    Parameter(
        "idle_wait_s",
        1.0,
        "time without any message after which a waiting frame is used as it is (5 times longer when reliable)",
        between=(0.05, 60.0),
    ),
    Parameter(
        "camera_slop_s",
        0.03,
        "several cameras: frames this close in time are one set of observations",
        between=(0.0, 1.0),
    ),
    Parameter(
        "viewer_frames",
        [""],
        "TF frames beside robot and camera that questions may look from or ask about (tool0, robot2/base_link), looked"
        " up at each frame's stamp",
    ),
    Parameter("tf_cache_s", 30.0, "how long transforms are kept", between=(0.1, 3600.0)),
    Parameter("tf_tolerance_s", 0.1, "how far a stamp may lie outside the known transforms", between=(0.0, 10.0)),
    Parameter("tf_backend", "auto", "auto: tf2_ros where it is installed, else own", choices=("auto", "own", "tf2")),
    Parameter(
        "odom_topic", "", "nav_msgs/Odometry used where no transform joins camera and world_frame; empty for none"
    ),
    Parameter(
        "odom_fallback",
        True,
        "where world_frame is in no transform: take odometry, then map, then the root of the tree",
    ),
)

#: One set a camera, declared as `<camera>.<name>`.
CAMERA = (
    Parameter(
        "detections_topic", "/detections", "what a detector or tracker saw; its stamp makes the frame", not_empty=True
    ),
    Parameter("detections_type", "dsr", "type of that topic", choices=("dsr", "vision_msgs_2d", "vision_msgs_3d")),
    Parameter("color_topic", "/camera/color/image_raw", "colour image; empty for none"),
    Parameter(
        "color_transport",
        "auto",
        "raw, compressed (the topic then gets /compressed), or auto: what is published, raw first; also of the right"
        " image",
        choices=("auto", "raw", "compressed"),
    ),
    Parameter("depth_topic", "/camera/depth/image_raw", "depth image, 16UC1 mm or 32FC1 m; empty for none"),
    Parameter(
        "depth_transport",
        "auto",
        "raw, compressedDepth (the topic then gets /compressedDepth), or auto: what is published, raw first",
        choices=("auto", "raw", "compressedDepth"),
    ),
    Parameter(
        "info_topic", "/camera/color/camera_info", "calibration of the image that boxes refer to; empty for none"
    ),
    Parameter(
        "depth_info_topic",
        "",
        "calibration of a depth image that is not registered to the colour image; empty: it is registered",
    ),
    Parameter(
        "right_topic",
        "",
        "rectified right image of a stereo camera, whose left one is the (rectified) colour image: depth is matched"
        " from the two, in place of depth_topic; empty: no stereo",
    ),
    Parameter(
        "right_info_topic", "", "calibration of the right image, with the baseline in P; empty: camera_info beside it"
    ),
    Parameter("rectified", False, "the images are rectified: projection matrix P, no lens distortion"),
    Parameter("camera_frame", "", "optical frame; empty takes the one that the images (or else the detections) name"),
)

#: What networks of ours add to a camera's frames; `dsr_core.perception.config.PerceptionConfig` in words of ROS.
_NETWORKS = (
    Parameter(
        "detector",
        "external",
        "who finds things: external takes what detections_topic says; the others look at the colour image: embedded"
        " (people and common things, CPU), grounding_dino, sam2, sam3 (what names says)",
        choices=perception.DETECTORS,
    ),
    Parameter("names", [""], "what grounding_dino, sam2 and sam3 look for: [person, forklift], or person,forklift"),
    Parameter(
        "depth_source",
        "sensor",
        "where depth comes from: sensor (depth_topic), or a network that makes it of the colour image",
        choices=perception.DEPTHS,
    ),
    Parameter("orientation", "none", "network that tells which way things face", choices=perception.ORIENTATIONS),
    Parameter("weights", [""], "folders or hub ids of networks, as name=path (see docs/networks.md)"),
    Parameter("device", "", "device of the networks, as torch names it; empty: the GPU where there is one"),
    Parameter("dtype", "float32", "numbers of the networks that can choose", choices=perception.DTYPES),
    Parameter("interval", 10, "sam2: a new look for things every so many images", between=(1, 1000)),
)

#: The fast lane, which every frame of a camera may pass; declared as `<camera>.<name>`.
PERCEPTION = (
    *_NETWORKS,
    Parameter(
        "poses",
        "given",
        "given: by TF or odometry; visual: frames without get theirs from the camera's pictures and depth",
        choices=perception.POSES,
    ),
)

#: The slow lane, whose results come late and correct the memory; declared as `<camera>.slow.<name>`.
SLOW_PERCEPTION = (
    *_NETWORKS,
    Parameter("period_s", 0.0, "least time between two frames that it gets", between=(0.0, 3600.0)),
)

MEMORY = (
    *_COMMON,
    Parameter("memory_s", 600.0, "how long samples are remembered", between=(1.0, 1e6)),
    Parameter("max_tracks", 1000, "most things remembered", between=(1, 100000)),
    Parameter(
        "stale_s",
        5.0,
        "decline a question about now when the newest data is older; 0: never",
        between=(0.0, 1e6),
        dynamic=True,
    ),
    Parameter(
        "language_model_url",
        "",
        "OpenAI-compatible endpoint (http://host:port/v1) that reads questions which the grammar does not; it is sent"
        " the question, the names of what has been seen, and DSR_LANGUAGE_MODEL_API_KEY where that is set; empty: none",
    ),
    Parameter("language_model_name", "", "name of the model there"),
    Parameter("language_model_timeout_s", 10.0, "longest wait for the language model", between=(0.1, 600.0)),
    Parameter(
        "name_embedding",
        False,
        "compare names by meaning where no synonym fits them; needs pip install 'dsr_ros[names]'",
    ),
    Parameter("max_question_chars", 4000, "longer questions are declined", between=(1, 1000000), dynamic=True),
    Parameter(
        "ask_long_timeout_s",
        60.0,
        "ask_long: longest wait for a window that ends in the future",
        between=(0.1, 86400.0),
        dynamic=True,
    ),
    Parameter(
        "max_history_samples", 100000, "get_tracks: most samples in one response", between=(1, 10000000), dynamic=True
    ),
    Parameter(
        "scene_path",
        "",
        "where ~/save_scene writes (*.scene.npz); empty: ~/.ros/dsr/<node>-<stamp>.scene.npz",
        dynamic=True,
    ),
    Parameter(
        "marker_lifetime_s",
        1.0,
        "markers vanish after this without news; 0: never",
        between=(0.0, 3600.0),
        dynamic=True,
    ),
    Parameter("marker_rate_hz", 10.0, "most marker messages a second", between=(0.1, 1000.0), dynamic=True),
)

#: The vision-language model of the memory node, declared as `vlm.<name>`.
VLM = (
    Parameter(
        "model",
        "",
        "folder (or hub id) of the model that answers backend vlm, and backend auto where the geometry declines; empty:"
        " none, and no torch",
    ),
    Parameter("device", "", "device of the model, as torch names it; empty: the GPU where there is one"),
    Parameter(
        "dtype",
        "auto",
        "numbers of the model; auto: bfloat16 on a GPU, float32 on a CPU",
        choices=("auto", "float32", "bfloat16", "float16"),
    ),
    Parameter("threads", 0, "CPU threads that the model may take; 0: one for every two cores", between=(0, 1024)),
    Parameter(
        "frames",
        0,
        "pictures that the model is shown, evenly over the time asked about; 0: none are subscribed, and the model sees"
        " what is remembered alone",
        between=(0, 1024),
    ),
    Parameter("max_pixels", 230_400, "pictures are made as small as this when they come", between=(784, 100_000_000)),
    Parameter("image_topic", "/camera/color/image_raw", "colour image; raw or compressed, whichever is published"),
    Parameter(
        "memory_s",
        10.0,
        "how far back the pictures go, and what the model looks at where a question tells no time",
        between=(0.1, 3600.0),
    ),
    Parameter("queue", 4, "questions that may wait for the model; more are declined", between=(0, 1000)),
    Parameter("timeout_s", 30.0, "longest time for an answer where the request sets none", between=(0.01, 3600.0)),
    Parameter(
        "min_confidence", 0.0, "answers of less confidence are declined as too uncertain; 0: none", between=(0.0, 1.0)
    ),
    Parameter(
        "second_opinion",
        False,
        "backend auto: ask the model too where the geometry has an answer (which waits for it), and tell whether it"
        " agrees",
    ),
)

#: Constants of the reasoning (config/rules.yaml), declared as `rules.<name>`.
RULES = tuple(
    Parameter(name, default, meaning, between=(1, 1_000_000) if isinstance(default, int) else None)
    for name, meaning in constants().items()
    for default in [getattr(DEFAULT_RULES, name)]
)


def declare(node: Node, table: Sequence[Parameter], prefix: str = "") -> None:
    """Declares parameters that are not declared yet.

    Raises:
        ParameterError: a value given at start has another type, or is out of range.
    """
    for p in table:
        if not node.has_parameter(prefix + p.name):
            try:
                node.declare_parameter(prefix + p.name, p.default, p.descriptor())
            except (ParameterException, InvalidParameterTypeException) as error:
                raise ParameterError(f"{prefix}{p.name}: {error}") from None


def read(node: Node, table: Sequence[Parameter], prefix: str = "") -> SimpleNamespace:
    """The values of declared parameters, checked, as attributes.

    Raises:
        ParameterError: a value cannot be used; the message names it.
    """
    values = {}
    for p in table:
        value = node.get_parameter(prefix + p.name).value
        try:
            p.check(value)
        except ParameterError as error:
            raise ParameterError(prefix + str(error)) from None
        value = texts(value) if isinstance(p.default, list) else value
        values[p.name] = float(value) if isinstance(p.default, float) else value
    return SimpleNamespace(**values)


def read_perception(node: Node, camera: str) -> perception.PerceptionConfig:
    """What a camera's fast lane adds, from declared parameters.

    Raises:
        ParameterError: a value cannot be used, or two do not go together; the message names it.
    """
    s = read(node, PERCEPTION, f"{camera}.")
    return _perception(s, f"{camera}.", s.poses)


def read_slow_perception(node: Node, camera: str) -> tuple[perception.PerceptionConfig, float]:
    """What a camera's slow lane adds, and the least time between its frames in seconds; errors as above."""
    s = read(node, SLOW_PERCEPTION, f"{camera}.slow.")
    return _perception(s, f"{camera}.slow.", "given"), s.period_s


def _perception(s: SimpleNamespace, prefix: str, poses: str) -> perception.PerceptionConfig:
    weights = {}
    for entry in filter(None, s.weights):
        name, equals, path = (part.strip() for part in entry.partition("="))
        if not (name and equals and path):
            raise ParameterError(f"{prefix}weights: {entry!r} is not name=path, as in sam2=/models/sam2.1-hiera-large")
        weights[name] = path
    try:
        return perception.PerceptionConfig(
            detector=s.detector,
            names=tuple(s.names),
            depth=s.depth_source,
            orientation=s.orientation,
            poses=poses,
            weights=weights,
            device=s.device,
            dtype=s.dtype,
            interval=s.interval,
        )
    except DsrError as error:
        raise ParameterError(f"{prefix}*: {error}") from None


def guard_updates(node: Node, table: Sequence[Parameter], settings: SimpleNamespace) -> None:
    """Checks parameters that are set on a running node; dynamic ones take effect in `settings` at once."""
    known = {p.name: p for p in table}

    def on_set(parameters) -> SetParametersResult:
        for parameter in parameters:
            p = known.get(parameter.name)
            if p is None:
                continue
            try:
                p.check(parameter.value)
            except ParameterError as error:
                return SetParametersResult(successful=False, reason=str(error))
            if not p.dynamic:
                node.get_logger().info(f"{p.name} takes effect when the node is configured again")
        for parameter in parameters:
            if parameter.name in known and known[parameter.name].dynamic:
                setattr(settings, parameter.name, parameter.value)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(on_set)
