"""`dsr qa`: makes a question set of recordings."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dsr_core.commands.common import DONE, add_source_options, print_json, show_progress, verb
from dsr_core.commands.free_form import add_free_form_options, free_form_block, print_free_form
from dsr_core.commands.perception import Looker, add_perception_options

NOT_ALL = 1
#: Name of the option -> layout of `dsr_core.qa.files.files`, and which one a suffix stands for.
FORMATS = {"parquet": "parquet", "dsr-json": "dsr", "qwen": "qwen", "ms-swift": "swift"}
BY_SUFFIX = {".parquet": "parquet", ".json": "dsr-json", ".jsonl": "ms-swift"}
_EPILOG = """\
SOURCE: bags, KITTI tracking roots, Argoverse 2 logs, saved scenes, videos, sim:seed=1; folders and globs of these; or
the list that dsr curate wrote.

examples:
  dsr qa bags/ --out train.parquet
  dsr qa kitti av2/ --out train.parquet --per-scene 500 --seed 7
  dsr qa 'scenes/*.scene.npz' --out train.jsonl --format qwen --engine ray --address auto
  dsr qa curated.json --out train.parquet --detector grounding_dino
  dsr qa bags/ --out train.parquet --free-form 2 --endpoint http://localhost:8000/v1 --model Qwen3-32B

Beside FILE stands FILE's name with .report.json: yield by type, drops by reason, settings. A run that was killed goes
on where it was, with the same result. Exit status: 0 all done, 1 some recordings could not be asked about, 2 none, or
wrong usage. More: docs/questions_from_recordings.md"""

#: Questions asked of a scene where nobody says: of many only a part finds others to share physical options with.
PER_SCENE = {"physical": 1000, "dsr": 40}


def add(verbs) -> None:
    from dsr_core.qa.config import REFERS, RULES, STYLES, QaConfig

    default = QaConfig()
    parser = verb(verbs, "qa", "make multiple-choice questions with true answers of recordings", run, _EPILOG)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="recordings, folders and globs of them")
    parser.add_argument("--out", required=True, metavar="FILE", help="question set (.parquet, .json, .jsonl)")
    parser.add_argument("--format", choices=FORMATS, help="layout of the file (by its suffix)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed gives the same file (0)")
    group = parser.add_argument_group("what is asked")
    group.add_argument(
        "--per-scene",
        type=int,
        metavar="N",
        help="questions asked of a scene, before they get options"
        f" ({PER_SCENE['physical']}; with original options {PER_SCENE['dsr']})",
    )
    group.add_argument("--style", choices=STYLES, default=default.style, help=f"templates ({default.style})")
    group.add_argument("--rules", choices=RULES, default=default.rules, help=f"of the answers ({default.rules})")
    group.add_argument(
        "--refer", choices=REFERS, default=default.refer, help=f"things by box, name or class ({default.refer})"
    )
    group.add_argument(
        "--min-confidence",
        type=float,
        default=default.min_confidence,
        metavar="P",
        help=f"drop answers less likely to be right ({default.min_confidence:g})",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting of QaConfig, as JSON (repeatable): --set min_window_s=4 --set 'not_asked=[\"robot\"]'",
    )
    group = parser.add_argument_group("its options")
    group.add_argument(
        "--distractors",
        choices=("physical", "dsr"),
        default="physical",
        help="wrong options: other true answers (physical, the default), or the original noise",
    )
    group.add_argument(
        "--filter",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="thin out what blind attackers find easy (where scikit-learn is installed)",
    )
    group = parser.add_argument_group("who works")
    group.add_argument("--engine", choices=("local", "ray"), default="local", help="processes here, or a Ray cluster")
    group.add_argument("--address", metavar="A", help="of the Ray cluster: auto, HOST:6379, ray://HOST:10001")
    group.add_argument("--workers", type=int, metavar="N", help="processes (a core each; one where a network is named)")
    group.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with a run that was killed (the default), or begin anew",
    )
    add_free_form_options(parser)
    add_source_options(parser)
    add_perception_options(parser)


def run(args: argparse.Namespace) -> int:
    from dsr_core.qa.curation.recordings import expand
    from dsr_core.qa.running.report import table
    from dsr_core.qa.running.run import make_questions, report_path

    config = _config(args)
    recordings = expand(args.sources, args.sequence)
    opener, layout, start, told = OpenLooked.of(args), _layout(args), time.perf_counter(), _Told(args)
    free = free_form_block(args, recordings, opener, config.asked, config.seed)
    extra = () if free is None else (free.data,)
    try:
        with _engine(args) as engine:
            report = make_questions(
                recordings, args.out, config, engine, opener, layout, args.resume, seen=told, extra=extra
            )
    finally:
        told.close()
    seconds = time.perf_counter() - start
    if args.json:
        report = {"out": args.out, "report": str(report_path(args.out)), "seconds": round(seconds, 3), **report}
        report |= {} if free is None else {"free_form": free.report}
        print_json(report)
    else:
        print(table(report))
        if free is not None:
            print_free_form(free.report)
        print(f"{report['questions']} questions of {report['scenes']} scenes in {seconds:.1f} s -> {args.out}")
    return NOT_ALL if report["failed"] or (free is not None and not free.complete) else DONE


def _config(args: argparse.Namespace):
    from dsr_core.qa.config import QaConfig
    from dsr_core.qa.item import QaError
    from dsr_core.qa.running.run import SetConfig

    named = ("per_scene", "style", "rules", "refer", "min_confidence")
    given = {name: getattr(args, name) for name in named}
    given["per_scene"] = PER_SCENE[args.distractors] if args.per_scene is None else args.per_scene
    for pair in args.set:
        name, equals, value = pair.partition("=")
        if not equals or name not in QaConfig.__dataclass_fields__ or name in named:
            known = ", ".join(n for n in QaConfig.__dataclass_fields__ if n not in named)
            raise QaError(f"--set {pair!r} must be NAME=VALUE; names: {known}")
        try:
            given[name] = json.loads(value)
        except ValueError:
            raise QaError(f"--set {pair!r}: the value is no JSON; write texts in double quotes") from None
    return SetConfig(QaConfig(**given), args.seed, args.distractors, filter=_filter(args))


def _filter(args: argparse.Namespace) -> bool:
    """Whether to filter: as asked for, else where scikit-learn is there."""
    from dsr_core.errors import DependencyError
    from dsr_core.qa.audit.learned import require_sklearn

    if args.filter is False or args.distractors != "physical":
        return False
    try:
        require_sklearn()
    except DependencyError as error:
        if args.filter:
            raise
        print(f"dsr qa: questions that can be guessed are not thinned out: {error}", file=sys.stderr)
        return False
    return True


def _layout(args: argparse.Namespace) -> str:
    from dsr_core.qa.item import QaError

    suffix = Path(args.out).suffix
    if args.format is None and suffix not in BY_SUFFIX:
        raise QaError(f"--out {args.out} ends in {suffix or 'nothing'}; end it in {', '.join(BY_SUFFIX)}")
    return FORMATS[args.format or BY_SUFFIX[suffix]]


def _engine(args: argparse.Namespace):
    from dsr_core.qa.item import QaError
    from dsr_core.qa.running.engine_local import LocalEngine, cores
    from dsr_core.qa.running.engine_ray import RayEngine

    if args.engine == "ray":
        return RayEngine(args.address, args.workers)
    if args.address is not None:
        raise QaError(f"--address {args.address} is that of a Ray cluster: add --engine ray")
    networks = any(getattr(args, name) is not None for name in ("detector", "depth", "poses", "perception"))
    return LocalEngine(args.workers if args.workers is not None else 1 if networks else cores())


@dataclass(frozen=True)
class OpenLooked:
    """Gives a recording's tracks, with what networks add to it; `arguments` are those of the command line, as JSON."""

    arguments: str

    @classmethod
    def of(cls, args: argparse.Namespace) -> OpenLooked:
        names = ("detections", "detector", "names", "depth", "orientation", "poses", "weights", "device", "dtype")
        names += ("perception", "fov_deg")
        return cls(json.dumps({name: getattr(args, name) for name in names if getattr(args, name)}))

    def __call__(self, recording):
        look = _looker(self.arguments)
        return look(look.open(path=recording.path, sequence=recording.sequence), classes=recording.classes).scene()


@lru_cache(maxsize=1)
def _looker(arguments: str) -> Looker:
    """Of this process: networks are loaded once."""
    parser = argparse.ArgumentParser()
    add_source_options(parser)
    add_perception_options(parser)
    args = parser.parse_args([], argparse.Namespace(verb="qa", no_progress=True, source=None))
    for name, value in json.loads(arguments).items():
        setattr(args, name, value)
    return Looker(args)


class _Told:
    """Shows how far a run is: a bar a stage on a terminal, else a line every half minute, on stderr."""

    def __init__(self, args: argparse.Namespace):
        self._bars, self._lines = show_progress(args), not args.no_progress
        self._stage, self._bar, self._shown_s = "", None, time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._bars:
            from tqdm import tqdm

            if stage != self._stage:
                self.close()
                self._stage, self._bar = stage, tqdm(total=total, desc=stage, leave=False)
            self._bar.update(done - self._bar.n)
        elif self._lines and time.monotonic() - self._shown_s > 30.0:
            self._shown_s = time.monotonic()
            print(f"dsr qa: {stage}: {done} of {total} done", file=sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
