"""`dsr curate`: which recordings are worth asking about, and which classes are in them."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict, fields, replace

from dsr_core.commands.common import DONE, add_source_options, print_json, verb
from dsr_core.commands.endpoint import Told, add_endpoint_options, make_asker
from dsr_core.commands.perception import Looker, add_perception_options

NOT_ALL = 1
_EPILOG = """\
SOURCE: recordings, folders and globs of them. Their tracks are judged where they have any (or a --detector makes them);
a model judges captions and frames where there is an --endpoint. The list goes to dsr qa: dsr qa FILE.json --out …

examples:
  dsr curate bags/ --out curated.json
  dsr curate --captions koala.csv --endpoint http://localhost:8000/v1 --model Qwen3-8B --out curated.json
  dsr curate videos/ --frames 8 --endpoint http://localhost:8000/v1 --model Qwen3-VL-8B --out curated.json

A run that was killed goes on where it was. Exit status: 0 all judged, 1 not all (run it again), 2 wrong usage."""
#: Options of the motion filter: name of the field, what it is.
_FILTER = {
    "min_duration_s": "shortest recording, seconds",
    "max_duration_s": "longest one; 0: any",
    "min_movers": "things that must move in the world",
    "min_displacement_m": "how far a thing must get, metres",
    "min_screen": "least share of the picture that a mover takes",
    "max_screen": "largest share",
}


def add(verbs) -> None:
    parser = verb(verbs, "curate", "choose the recordings in which enough moves, and name the classes", run, _EPILOG)
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="recordings, folders and globs of them")
    parser.add_argument("--out", required=True, metavar="FILE.json", help="the curated list")
    parser.add_argument("--captions", metavar="FILE", help="captions: csv or tsv as Koala-36M has them, json or jsonl")
    parser.add_argument("--frames", type=int, default=8, metavar="N", help="frames that the model sees; 0: none (8)")
    parser.add_argument("--no-tracks", action="store_true", help="do not judge tracks")
    add_filter_options(parser)
    add_endpoint_options(parser)
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with a run that was stopped (the default), or begin anew",
    )
    add_source_options(parser)
    add_perception_options(parser)


def add_filter_options(parser: argparse.ArgumentParser) -> None:
    """An option for each number of the motion filter."""
    from dsr_core.qa.curation.motion_filter import MotionFilterConfig

    group = parser.add_argument_group("what is wanted")
    for field in fields(MotionFilterConfig):
        if field.name in _FILTER:
            option = "--" + field.name.replace("_", "-").removesuffix("-s").removesuffix("-m")
            told = f"{_FILTER[field.name]} ({field.default:g})"
            kind = int if isinstance(field.default, int) else float
            group.add_argument(option, dest=field.name, type=kind, default=field.default, metavar="N", help=told)


def run(args: argparse.Namespace) -> int:
    from dsr_core.errors import QueryError
    from dsr_core.qa.asking.journal import Journal
    from dsr_core.qa.curation.captions import read_captions
    from dsr_core.qa.curation.curate import CurateConfig, Curator, captioned, journal_path
    from dsr_core.qa.curation.curated import write_curated
    from dsr_core.qa.curation.motion_filter import MotionFilterConfig
    from dsr_core.qa.curation.recordings import expand

    if not args.sources and not args.captions:
        raise QueryError("dsr curate needs a SOURCE or --captions (dsr curate --help)")
    asker = make_asker(args)
    if args.captions and asker is None:
        raise QueryError("captions are read by a model: give --endpoint URL --model NAME")
    config = CurateConfig(
        replace(MotionFilterConfig(), **{name: getattr(args, name) for name in _FILTER}), frames=args.frames
    )
    captions = read_captions(args.captions) if args.captions else {}
    recordings = captioned(expand(args.sources, args.sequence) if args.sources else [], captions)
    opener = _Opener(args)
    curator = Curator(
        config, opener.source, None if args.no_tracks else opener.scene, asker, captions, opener.makes_tracks
    )
    settings = {
        "curation": config.to_dict(),
        "model": None if asker is None else asker.endpoint.config.model,
        "captions": bool(captions),
        "tracks": not args.no_tracks,
        "detector": args.detector,
        "detections": args.detections,
    }
    told = Told(args, len(recordings), asker, "recording")
    with Journal(journal_path(args.out), settings, args.resume) as journal:
        entries, ending = curator.run(recordings, journal, told)
    told.close()
    totals = None if asker is None else asker.ledger.totals()
    report = {
        "settings": settings,
        "judged": len(entries),
        "kept": sum(e.keep for e in entries),
        "not_kept": dict(Counter(_kind(e.reasons[0]) for e in entries if not e.keep).most_common()),
        "unfinished": ending.unfinished,
        "stopped": ending.why,
        "this_run": None if totals is None else asdict(totals),
    }
    out = write_curated(args.out, entries, report)
    complete = len(entries) == len(recordings)
    if args.json:
        print_json({"out": str(out), "of": len(recordings), **report})
    else:
        _print(report, len(recordings), str(out), totals)
    return DONE if complete else NOT_ALL


class _Opener:
    """Opens recordings as the arguments say; with a detector also the tracks of recordings that have none."""

    def __init__(self, args: argparse.Namespace):
        self._args = args
        self._look = Looker(args)
        self.makes_tracks = args.detector not in (None, "none") or args.perception is not None

    def source(self, recording):
        from dsr_core.sources import open_source

        return open_source(recording.path, recording.sequence, self._args.detections)

    def scene(self, recording):
        from dsr_core.sources.detected import lacks_detections

        source = self.source(recording)
        if not self.makes_tracks:
            return None if lacks_detections(source) else source.scene()
        source = self._look.open(path=recording.path, sequence=recording.sequence)
        return self._look(source, classes=recording.classes).scene()


def _kind(reason: str) -> str:
    """A reason without its numbers, for counts."""
    words = reason.partition(":")[0].partition("(")[0].partition(";")[0].split()
    return " ".join("N" if any(c.isdigit() for c in word) else word for word in words)


def _print(report: dict, total: int, out: str, totals) -> None:
    print(f"{report['kept']} of {report['judged']} recordings kept -> {out}")
    for reason, count in report["not_kept"].items():
        print(f"  {count:5d} not kept: {reason}")
    for name, why in report["unfinished"].items():
        print(f"  not finished: {name}: {why}")
    if report["stopped"]:
        print(f"  stopped: {report['stopped']}")
    if report["judged"] < total:
        print(f"  {total - report['judged']} are left; run the same command again")
    if totals is not None:
        print(f"  {totals}")
