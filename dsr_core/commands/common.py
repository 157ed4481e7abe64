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
