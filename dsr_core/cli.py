"""`dsr …`: argument parsing and printing only; each verb is a file of `dsr_core.commands`.

Exit status: 0 done or answered, 1 the demo or the doctor found a fault or not all could be done, 2 wrong usage or
unreadable input (one line on stderr says what to do), 3 the question was declined, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import dsr_core
from dsr_core.commands import ask, audit, bench, convert, curate, demo, doctor, models, qa, track, train, view
from dsr_core.commands.common import BAD_USAGE
from dsr_core.errors import DsrError

INTERRUPTED = 130


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="dsr",
        description="A 4D memory of the things around a robot, and answers to questions about how they change.",
        epilog="SOURCE is a ROS 2 bag, a KITTI tracking root (--sequence), an Argoverse 2 log, an RGB-D folder or a"
        " saved scene.",
    )
    parser.add_argument("--version", action="version", version=f"dsr {dsr_core.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for command in (demo, convert, ask, track, view, curate, qa, audit, train, bench, models, doctor):
        command.add(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `dsr`; returns the exit status."""
    parser = make_parser()
    args, rest = parser.parse_known_args(argv)
    if rest and args.verb == "ask" and not any(word.startswith("-") for word in rest):
        # argparse takes positional words in one run only; `dsr ask SOURCE --rules dsr "question"` has two.
        args.words = [*args.words, *rest]
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return args.run(args)
    except BrokenPipeError:  # the reader of a pipe (head) has gone; nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (DsrError, OSError) as error:
        print(f"dsr {args.verb}: {error}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
