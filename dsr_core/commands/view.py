"""`dsr view`: a picture and a rerun recording of a recording's tracks, with answers where questions are given."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

from dsr_core.commands.common import DONE, add_source_options, open_recording, print_json, show_progress, verb
from dsr_core.commands.perception import Looker, add_perception_options

#: Images in the picture of what a detector found.
_TILES = 12


def add(verbs) -> None:
    parser = verb(verbs, "view", "draw a recording: tracks from above (PNG) and in 3D over time (rerun)", run)
    parser.add_argument("source", metavar="SOURCE", help="bag, data set folder, video or saved scene")
    add_source_options(parser)
    add_perception_options(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the picture and the rerun recording")
    parser.add_argument(
        "--ask", action="append", default=[], metavar="QUESTION", help="draw an answer too (repeatable)"
    )
    parser.add_argument("--images", type=int, default=160, metavar="N", help="images in the rerun recording, at most")


def run(args: argparse.Namespace) -> int:
    from dsr_core.api import ask
    from dsr_core.view.detections import DetectionSheet
    from dsr_core.view.picture import save_picture
    from dsr_core.view.rerun_log import save_rerun

    look = Looker(args)
    recording = look.open()
    sheet = DetectionSheet(every=-(-len(recording) // _TILES))
    source = look(recording, sheet)
    scene = source.scene(progress=show_progress(args))
    answers = [(question, ask(scene, question)) for question in args.ask]
    out = Path(args.out)
    picture = save_picture(out / f"{source.name}.png", scene, answers)
    detections = sheet.save(out / f"{source.name}.detections.png")
    step = max(len(source) // max(args.images, 1), 1)
    frames = itertools.islice(open_recording(args).frames(), 0, None, step) if args.images > 0 else None
    rerun = save_rerun(out / f"{source.name}.rrd", scene, answers, frames)
    if args.json:
        pictures = {"picture": str(picture), "detections": None if detections is None else str(detections)}
        print_json({**pictures, "rerun": str(rerun), "answers": [a.to_dict() for _, a in answers]})
        return DONE
    for question, answer in answers:
        print(f"{question}\n  {answer.answer}")
    if detections is not None:
        print(f"found    {detections}")
    print(f"picture  {picture}\nrerun    {rerun}   (look at it with `rerun {rerun}`)")
    return DONE
