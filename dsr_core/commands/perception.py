"""The options of verbs that look at a recording's images, and what they make of the recording."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from dataclasses import replace

from dsr_core.commands.common import open_recording, show_progress

#: In words of the command line: "auto" and "none" stand for "embedded" and "external".
DETECTORS = ("auto", "embedded", "none", "grounding_dino", "sam2", "sam3")
POSES = ("given", "visual", "reconstruction")


def add_perception_options(parser: argparse.ArgumentParser) -> None:
    """`--detector`, `--depth`, `--poses` and what belongs to them."""
    from dsr_core.perception.config import DEPTHS, DTYPES, ORIENTATIONS, WEIGHTS

    group = parser.add_argument_group("what looks at the images (docs/networks.md)")
    group.add_argument(
        "--detector",
        choices=DETECTORS,
        help="what looks for things; auto (the default): the embedded detector where the recording has no detections",
    )
    group.add_argument("--names", metavar="A,B", help='what to look for, e.g. "person,forklift"')
    group.add_argument("--depth", choices=DEPTHS, help="where a frame has none; sensor (the default) adds none")
    group.add_argument("--orientation", choices=ORIENTATIONS, help="what tells which way things face (none)")
    group.add_argument(
        "--poses",
        choices=POSES,
        help="given (the default): as recorded; visual: visual odometry on depth; reconstruction: depth and poses of"
        " the whole recording, by --depth pi3 or depth_anything_3",
    )
    group.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help=f"folder or hub id of a network's weights (repeatable): {', '.join(WEIGHTS)}",
    )
    group.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, … (the GPU where there is one)")
    group.add_argument("--dtype", choices=DTYPES, help="of the networks that can choose (float32)")
    group.add_argument("--perception", metavar="FILE", help="YAML file with these settings; options win over it")
    group.add_argument(
        "--fov-deg", type=float, metavar="DEG", help="horizontal field of view where there are no intrinsics (65)"
    )


class Looker:
    """Looks at recordings as the arguments say; networks are loaded once for all of them."""

    def __init__(self, args: argparse.Namespace):
        self._args = args
        self._settings = _settings(args)
        self.poses = self._settings.get("poses", "given")
        self._loaded = None

    def open(self, **options):
        """The recording that the arguments name; without its own poses where visual odometry is to find them."""
        source = open_recording(self._args, **options)
        if self.poses == "visual" and hasattr(source, "poses"):
            return open_recording(self._args, poses="none", **options)
        return source

    def __call__(self, source, watch=None, classes=()):
        """The recording with what is added to its frames; itself where nothing is.

        `watch`, where given, is shown every frame that comes out. `classes` are looked for where the arguments name
        none and the detector needs names (networks are loaded anew where they change).

        Raises:
            ModelError: settings that do not go together, or weights that are not there.
        """
        from dsr_core.errors import ModelError
        from dsr_core.perception.backends import PerceptionConfig, load, load_reconstructor
        from dsr_core.perception.config import NAMED_DETECTORS, RECONSTRUCTIONS
        from dsr_core.sources.detected import DEFAULT_FOV_DEG, Detected, lacks_detections

        settings = dict(self._settings)
        detector = settings.get("detector", "auto")
        if detector == "auto":
            detector = "embedded" if lacks_detections(source) else "none"
        settings["detector"] = "external" if detector == "none" else detector
        if classes and detector in NAMED_DETECTORS and not settings.get("names"):
            settings["names"] = list(classes)
        reconstruct = self.poses == "reconstruction"
        if reconstruct:
            if settings.get("depth") not in RECONSTRUCTIONS:
                raise ModelError(f"--poses reconstruction needs --depth {' or '.join(RECONSTRUCTIONS)}")
            settings["poses"] = "given"
        config = PerceptionConfig.from_dict(settings)
        if config.names and config.detector not in NAMED_DETECTORS:
            raise ModelError(f"names are looked for by --detector {', '.join(NAMED_DETECTORS)}, not by {detector}")
        if config.adds_nothing:
            return source
        if self._loaded is None or self._loaded[0] != config:
            rest = replace(config, depth="sensor") if reconstruct else config
            # Some packages announce what they load on stdout, where JSON may be wanted alone.
            with redirect_stdout(sys.stderr):
                self._loaded = config, load(rest), load_reconstructor(config) if reconstruct else None
            if self._loaded[1].missing:
                print(f"dsr {self._args.verb}: {self._loaded[1].missing}", file=sys.stderr)
        _, perception, reconstructor = self._loaded
        if reconstruct:
            from dsr_core.sources.reconstructed import Reconstructed

            source = Reconstructed(source, reconstructor, progress=show_progress(self._args))
        fov_deg = DEFAULT_FOV_DEG if self._args.fov_deg is None else self._args.fov_deg
        return Detected(source, perception, fov_deg, watch)


def _settings(args: argparse.Namespace) -> dict:
    """The settings of the file, and over them those of the options."""
    from dsr_core.errors import ModelError
    from dsr_core.perception.config import read_yaml

    settings = {} if args.perception is None else read_yaml(args.perception)
    given = {name: getattr(args, name) for name in ("detector", "depth", "orientation", "poses", "device", "dtype")}
    settings |= {name: value for name, value in given.items() if value is not None}
    if args.names is not None:
        settings["names"] = [name.strip() for name in args.names.split(",")]
    weights = {}
    for pair in args.weights:
        name, equals, source = pair.partition("=")
        if not (name and equals and source):
            raise ModelError(f"--weights {pair!r} must be NAME=PATH, as in sam2=/models/sam2")
        weights[name] = source
    if weights:
        settings["weights"] = {**(settings.get("weights") or {}), **weights}
    return settings
