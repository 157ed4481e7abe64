"""PerceptionConfig: which networks look at frames and what they add. Checked in one place, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from dsr_core.errors import ModelError

DETECTORS = ("external", "embedded", "grounding_dino", "sam2", "sam3")
#: Detectors that look for what is named.
NAMED_DETECTORS = ("grounding_dino", "sam2", "sam3")
DEPTHS = ("sensor", "depth_anything", "pi3", "depth_anything_3")
#: Depths that come of reconstructing several pictures.
RECONSTRUCTIONS = ("pi3", "depth_anything_3")
ORIENTATIONS = ("none", "orient_anything")
POSES = ("given", "visual")
DTYPES = ("float32", "float16", "bfloat16")
#: Networks whose folder or hub id can be named, and `pi3_checkout`, the folder of pi3's code.
WEIGHTS = (
    "grounding_dino",
    "sam2",
    "sam3",
    "depth_anything",
    "pi3",
    "pi3_checkout",
    "depth_anything_3",
    "orient_anything",
    "orient_anything_backbone",
)
_ALLOWED = {"detector": DETECTORS, "depth": DEPTHS, "orientation": ORIENTATIONS, "poses": POSES, "dtype": DTYPES}


@dataclass(frozen=True)
class PerceptionConfig:
    """What is added to frames, and by which networks.

    Attributes:
        detector: "external" leaves the detections that a frame comes with, "embedded" finds people and common things on
            the CPU, "grounding_dino" finds what is named, "sam2" follows what GroundingDINO finds, with masks and
            identities, "sam3" finds and follows what is named.
        names: What grounding_dino, sam2 and sam3 look for, as in ("person", "forklift").
        depth: "sensor" leaves the depth that a frame comes with; the others estimate it where a frame has none.
        orientation: "orient_anything" tells which way things face; headings of things with an id are put together over
            time, with the body yaw of the embedded detector.
        poses: "visual" follows the camera by pictures with depth where a frame has no pose.
        weights: Network (one of `WEIGHTS`) -> folder or hub id; what is not named is the class's own default.
        device: Of torch; "" takes the GPU where there is one.
        dtype: Of the networks that can choose: "float32", "float16" or "bfloat16".
        interval: GroundingDINO looks at every so many images for sam2.

    Raises:
        ModelError: a value is not known, or two do not go together.
    """

    detector: str = "external"
    names: tuple[str, ...] = ()
    depth: str = "sensor"
    orientation: str = "none"
    poses: str = "given"
    weights: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    dtype: str = "float32"
    interval: int = 10

    def __post_init__(self):
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise ModelError(f"perception: {name} = {getattr(self, name)!r} is none of {', '.join(allowed)}")
        if isinstance(self.names, str) or not all(isinstance(n, str) for n in self.names):
            raise ModelError(f"perception: names = {self.names!r} must be a list of names")
        object.__setattr__(self, "names", tuple(n.strip() for n in self.names if n.strip()))
        if self.detector in NAMED_DETECTORS and not self.names:
            raise ModelError(
                f"perception: detector = {self.detector!r} needs names of what to look for, as in [person, forklift]"
            )
        if not isinstance(self.weights, Mapping):
            raise ModelError(f"perception: weights = {self.weights!r} must map networks to folders or hub ids")
        unknown = [name for name in self.weights if name not in WEIGHTS]
        if unknown:
            raise ModelError(f"perception: weights of {', '.join(unknown)} are not known; known: {', '.join(WEIGHTS)}")
        object.__setattr__(self, "weights", {name: str(source) for name, source in self.weights.items() if source})
        if isinstance(self.interval, bool) or not isinstance(self.interval, int) or self.interval < 1:
            raise ModelError(f"perception: interval = {self.interval!r} must be a whole number of images, 1 or more")
        if self.depth == "pi3" and self.poses == "visual":
            raise ModelError(
                "perception: depth = 'pi3' takes its scale from the poses, and poses = 'visual' takes poses from depth"
                " in metres: choose depth_anything, or poses that are given"
            )

    @property
    def adds_nothing(self) -> bool:
        """Whether frames are left as they are."""
        chosen = (self.detector, self.depth, self.orientation, self.poses)
        return chosen == ("external", "sensor", "none", "given")

    @classmethod
    def from_dict(cls, values: Mapping) -> PerceptionConfig:
        """The configuration that a mapping (of a YAML file, of parameters) describes.

        Raises:
            ModelError: a key or a value is not known; the message says what is.
        """
        if not isinstance(values, Mapping):
            raise ModelError(f"perception: {values!r} must be a mapping from settings to values")
        known = [f.name for f in fields(cls)]
        unknown = [str(key) for key in values if key not in known]
        if unknown:
            raise ModelError(f"perception: {', '.join(unknown)} is not known; known: {', '.join(known)}")
        values = dict(values)
        names = values.get("names", ())
        values["names"] = tuple(names) if isinstance(names, (list, tuple)) else names
        return cls(**values)

    @classmethod
    def from_yaml(cls, path: str | Path) -> PerceptionConfig:
        """The configuration in a YAML file.

        Raises:
            ModelError: it cannot be read, or holds what `from_dict` refuses.
        """
        try:
            return cls.from_dict(read_yaml(path))
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error


def read_yaml(path: str | Path) -> dict:
    """Settings and values in a YAML file, not checked.

    Raises:
        ModelError: it cannot be read, or is no mapping.
    """
    import yaml

    try:
        values = yaml.safe_load(Path(path).expanduser().read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"perception file {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ModelError(f"perception file {path} must hold settings and their values, as in `detector: embedded`")
    return values
