"""`dsr convert`: a recording -> a bag with standard topics, or a saved scene."""

from __future__ import annotations

import argparse

from dsr_core.commands.common import DONE, add_source_options, open_recording, print_json, show_progress, verb


def add(verbs) -> None:
    parser = verb(verbs, "convert", "turn a recording into a ROS 2 bag or a saved scene", run)
    parser.add_argument("source", metavar="SOURCE", help="bag, data set folder or saved scene")
    add_source_options(parser)
    parser.add_argument("--to", choices=("bag", "scene"), required=True, help="what to write")
    parser.add_argument(
        "--out", required=True, metavar="PATH", help="new bag folder, or a file that ends in .scene.npz"
    )
    parser.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap", help="storage of the bag")
    parser.add_argument("--image-format", choices=("jpeg", "raw"), default="jpeg", help="colour images of the bag")
    parser.add_argument(
        "--depth-format", choices=("png", "16UC1", "32FC1"), default="png", help="depth images: packed, raw mm or raw m"
    )


def run(args: argparse.Namespace) -> int:
    from dsr_core.sources.convert import convert

    source = open_recording(args)
    out = convert(
        source,
        args.to,
        args.out,
        storage=args.storage,
        image_format=args.image_format,
        depth_format=args.depth_format,
        progress=show_progress(args),
    )
    if args.json:
        print_json({"source": source.name, "to": args.to, "out": str(out), "skipped": dict(source.skipped)})
    else:
        print(f"{source.name} -> {out}")
    return DONE
