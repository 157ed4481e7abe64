"""What the verbs share: arguments of a recording, JSON printing, progress bars."""

from __future__ import annotations

import argparse
import json
import sys

DONE, BAD_USAGE, DECLINED = 0, 2, 3


def verb(verbs, name: str, help: str, run, epilog: str | None = None) -> argparse.ArgumentParser:
    """A parser for one verb, with the options that every verb has."""
    parser = verbs.add_parser(
        name, help=help, description=help, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar on stderr")
    parser.set_defaults(run=run)
    return parser


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """`--sequence` and `--detections`, which hold for every verb that reads a recording."""
    parser.add_argument(
        "--sequence", metavar="NAME", help='which sequence of a data set, e.g. "0007" of KITTI tracking'
    )
    parser.add_argument(
        "--detections", metavar="NAME", help='a detector\'s output in place of the truth labels, e.g. "pointrcnn"'
    )


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """`--detector` and `--fov-deg`, for verbs that look for things in recordings that hold no detections."""
    parser.add_argument(
        "--detector",
        choices=("auto", "embedded", "none"),
        default="auto",
        help="look for people and common things in the images; auto: where the recording has no detections",
    )
    parser.add_argument(
        "--fov-deg", type=float, metavar="DEG", help="horizontal field of view where there are no intrinsics (65)"
    )


def with_detections(args: argparse.Namespace, source, watch=lambda detector: detector):
    """The recording with what the embedded detector finds, where `--detector` asks for it; else as it is.

    `watch(detector)` may put something between the detector and the recording.
    """
    from dsr_core.sources.detected import DEFAULT_FOV_DEG, Detected, lacks_detections

    if args.detector == "none" or (args.detector == "auto" and not lacks_detections(source)):
        return source
    from dsr_core.perception.embedded import EmbeddedDetector

    fov_deg = DEFAULT_FOV_DEG if args.fov_deg is None else args.fov_deg
    detector = EmbeddedDetector()
    if detector.missing:
        print(f"dsr {args.verb}: {detector.missing}", file=sys.stderr)
    return Detected(source, watch(detector), fov_deg)


def show_progress(args: argparse.Namespace) -> bool:
    """Whether progress bars are drawn: on a terminal only, unless they are unwanted."""
    return not args.no_progress and sys.stderr.isatty()


def print_json(data) -> None:
    """Prints one JSON document."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def open_recording(args: argparse.Namespace, path: str | None = None, sequence: str | None = None, **options):
    """The source that the arguments name, with more options of its reader."""
    from dsr_core.sources import open_source

    return open_source(path or args.source, sequence=sequence or args.sequence, detections=args.detections, **options)
