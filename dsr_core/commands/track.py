"""`dsr track`: runs the tracker over a recording's frames and writes the tracks."""

from __future__ import annotations

import argparse
from pathlib import Path

from dsr_core.commands.common import DONE, add_source_options, print_json, show_progress, verb
from dsr_core.commands.perception import Looker, add_perception_options


def add(verbs) -> None:
    parser = verb(
        verbs,
        "track",
        "track the things in a recording; KITTI sources give KITTI's tracking result files, others saved scenes",
        run,
        "A video, or a recording with images but no detections, is looked at by the embedded detector (CPU): people and"
        "\ncommon things, fetched by `dsr models fetch default`. Without depth the scene is not metric. Other networks"
        "\nlook for what is named, give depth, or reconstruct a video: docs/networks.md.",
    )
    parser.add_argument("source", metavar="SOURCE", help="bag, data set folder, video or saved scene")
    add_source_options(parser)
    add_perception_options(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the result files")


def run(args: argparse.Namespace) -> int:
    from dsr_core.sources import kitti
    from dsr_core.sources.kitti_results import write_results

    path = Path(args.source).expanduser()
    is_kitti = path.is_dir() and kitti.recognises(path)
    names = kitti.sequences(path) if is_kitti and not args.sequence else [args.sequence]
    out = Path(args.out)
    results = []
    look = Looker(args)
    for name in names:
        source = look(look.open(sequence=name))
        scene = source.tracked_scene(progress=show_progress(args))
        if is_kitti:
            written = write_results(out / f"{source.sequence}.txt", scene, frames=len(source))
        else:
            written = scene.save(out / f"{source.name}.scene.npz")
        counts = {"frames": len(source), "tracks": len(scene.tracks), "metric": scene.metric}
        results.append({"source": source.name, "out": str(written), **counts})
        if not args.json:
            kind = "" if scene.metric else " (not metric: no depth)"
            print(f"{source.name}: {len(scene.tracks)} tracks in {len(source)} frames{kind} -> {written}")
    if args.json:
        print_json(results)
    return DONE
