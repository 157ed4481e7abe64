"""`dsr demo`: the main job, end to end, through real ROS 2 nodes where they are installed."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from pathlib import Path

from dsr_core.commands.common import DONE, print_json, show_progress, verb


def add(verbs) -> None:
    parser = verb(verbs, "demo", "the main job, end to end, on a recording that it makes itself", run)
    parser.add_argument("--out", default="out/demo", metavar="DIR", help="folder for everything that is made")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulated recording")
    parser.add_argument("--duration", type=float, default=40.0, metavar="S", help="length of the recording, seconds")
    parser.add_argument("--rate", type=float, default=10.0, metavar="HZ", help="frames a second of the recording")
    parser.add_argument("--offline", action="store_true", help="without ROS nodes, also where ROS 2 is installed")


def run(args: argparse.Namespace) -> int:
    from dsr_core import demo

    if args.json:
        return _as_json(args)
    if not args.offline:
        try:
            ros_demo = importlib.import_module("dsr_ros.demo")
        except ImportError as error:
            print(f"ROS 2 is not there ({error}): the demo runs without nodes. `make` installs it.", file=sys.stderr)
        else:
            return ros_demo.main(
                [
                    "--out",
                    args.out,
                    "--seed",
                    str(args.seed),
                    "--duration",
                    str(args.duration),
                    "--rate",
                    str(args.rate),
                ]
            )
    return demo.main(args.out, args.seed, args.duration, args.rate)


def _as_json(args: argparse.Namespace) -> int:
    """The offline demo's questions, answers and truth as one document."""
    from dsr_core import demo
    from dsr_core.sources import open_source

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(sys.stderr):
        bag, truth = demo.make_recording(out, args.seed, args.duration, args.rate)
        scene = open_source(bag).tracked_scene(progress=show_progress(args))
        asked = demo.ask_all(scene)
        demo.save_views(out, scene, asked, bag)
    print_json(
        {
            "recording": str(bag),
            "asked": [
                {
                    "question": a.question,
                    "at": a.at_s,
                    "answer": a.answer.to_dict(),
                    "truth": demo.true_answer(a, truth).to_dict(),
                }
                for a in asked
            ],
        }
    )
    return DONE
