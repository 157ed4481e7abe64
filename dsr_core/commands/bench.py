"""`dsr bench`: scores a model on a benchmark, compares two runs, or asks running nodes while a bag plays."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import time
from collections import Counter

from dsr_core.commands.common import DONE, print_json, show_progress, verb

NOT_ALL = 1
_EPILOG = """\
NAME: dsr_bench, vlm4d, sti_bench, vsi_bench, vsti_bench, mllm4d_bench, or own for a file that dsr qa made.
MODEL: openai:URL#NAME (key in $DSR_LANGUAGE_MODEL_API_KEY), hf:FOLDER_OR_NAME (never downloads),
       vlm:FOLDER (what dsr train made, or DSR Suite's checkpoint; asked in the words of its training),
       geometry[:dsr|:robust], random[:SEED], majority:FILE (what is right most often in other questions).

examples:
  dsr bench dsr_bench --data benchmark.parquet --videos videos/ --out out/a --model openai:http://localhost:8000/v1#NAME
  dsr bench dsr_bench --data benchmark.parquet --videos videos/ --out out/b --model hf:Qwen/Qwen2.5-VL-7B-Instruct
  dsr bench vlm4d --data real_mc.json --predictions gpt-4o_32frame.json --out out/gpt4o
  dsr bench own --data questions.parquet --scenes scenes/ --model geometry --out out/geometry
  dsr bench compare out/a out/b
  dsr bench replay BAG --rate 2
  dsr bench replay BAG --data questions.parquet --model vlm:runs/mine/model

DIR gets replies.jsonl (as they come), result.json and report.html. A run that was killed goes on where it was.
Exit status: 0 all asked, 1 not all (run it again), 2 wrong usage."""


def add(verbs) -> None:
    parser = verb(verbs, "bench", "score a model on a benchmark, compare two runs, or evaluate a replay", run, _EPILOG)
    parser.add_argument("name", metavar="NAME|compare|replay", help="a benchmark, or what else to do")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="compare: two result folders; replay: a bag")
    what = parser.add_argument_group("what is asked")
    what.add_argument("--data", metavar="FILE", help="the benchmark's file or folder")
    what.add_argument("--videos", metavar="DIR", help="folder of its videos")
    what.add_argument("--scenes", metavar="DIR", help="folder of VIDEO.scene.npz: geometry, vlm (none: without)")
    what.add_argument("--limit", type=int, metavar="N", help="only the first N rows")
    what.add_argument("--frames", metavar="N|1fps", help="how many frames are shown (the benchmark's own number)")
    what.add_argument(
        "--view",
        default="normal",
        choices=("normal", "blind", "shuffled", "first", "reversed"),
        help="which frames are shown: none, shuffled, the first one alone, … (normal)",
    )
    what.add_argument(
        "--hide-future",
        action=argparse.BooleanOptionalAction,
        help="hide what is to be predicted (yes on DSR-Bench and own files); published numbers are made without",
    )
    what.add_argument(
        "--prompt", metavar="NAME", help="how it is asked (direct, cot, official, …; the benchmark's own)"
    )
    who = parser.add_argument_group("who answers")
    who.add_argument("--model", metavar="MODEL", help="see below")
    who.add_argument("--predictions", metavar="FILE", help="replies given elsewhere, in place of a model")
    who.add_argument("--temperature", type=float, metavar="T", help="0: the likeliest word (hf: 0; else the prompt's)")
    who.add_argument("--max-reply-tokens", type=int, metavar="N", help="longest reply (the prompt's)")
    who.add_argument("--batch-size", type=int, default=1, metavar="N", help="hf, vlm: rows at once (1)")
    who.add_argument("--device", metavar="NAME", help="hf, vlm: cuda, cpu, … (an accelerator where there is one)")
    who.add_argument("--seed", type=int, default=0, help="seed of all that is drawn (0)")
    _add_endpoint(parser)
    out = parser.add_argument_group("results")
    out.add_argument("--out", metavar="DIR", help="folder of the result")
    out.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="go on with the replies in DIR (yes)"
    )
    out.add_argument("--wrong", type=int, default=24, metavar="N", help="wrong answers in the report (24)")
    _add_replay(parser)


def _add_endpoint(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("an endpoint")
    for option, kind, default, told in (
        ("--reply-timeout", float, 120.0, "longest wait for a reply, seconds"),
        ("--concurrency", int, 4, "requests at a time"),
        ("--tries", int, 5, "requests for one reply where the endpoint is busy or broken"),
        ("--price-prompt", float, None, "price of a million tokens of prompts"),
        ("--price-completion", float, None, "price of a million tokens of replies"),
        ("--max-cost", float, None, "stop before it costs more (in the prices' currency)"),
        ("--max-tokens", int, None, "stop before it takes more tokens"),
    ):
        told += "" if default is None else f" ({default:g})"
        group.add_argument(option, type=kind, default=default, metavar="N", help=told)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("replay")
    group.add_argument("--service", default="/dsr/ask", metavar="NAME", help="who is asked (/dsr/ask)")
    group.add_argument("--truth", default="auto", metavar="sim|topic|NAME", help="the bag's ground truth (auto)")
    group.add_argument("--rate", type=float, default=1.0, metavar="R", help="recorded seconds a second (1)")
    group.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds between two rounds (2)")
    group.add_argument("--running", action="store_true", help="the nodes run already; only the bag is played")


def run(args: argparse.Namespace) -> int:
    from dsr_core.bench.row import BenchError

    if args.name == "compare":
        if len(args.paths) != 2:
            raise BenchError("dsr bench compare needs two result folders")
        return _compare(args)
    if args.name == "replay":
        if len(args.paths) != 1:
            raise BenchError("dsr bench replay needs one bag")
        return _replay(args)
    if args.paths:
        raise BenchError(f"{args.paths[0]!r} is one word too many; give the benchmark's file as --data")
    missing = [name for name in ("data", "out") if not getattr(args, name)]
    if missing or bool(args.model) == bool(args.predictions):
        raise BenchError(
            f"dsr bench {args.name} needs --data, --out and either --model or --predictions (dsr bench --help)"
        )
    return _score(args)


# --- a benchmark -----------------------------------------------------------------------------------------------------


def _score(args: argparse.Namespace) -> int:
    from dsr_core.bench.models.predictions import PredictionsModel
    from dsr_core.bench.report import write_report
    from dsr_core.bench.result import REPLIES_FILE, RESULT_FILE
    from dsr_core.bench.run import make_plan, run
    from dsr_core.bench.task import find_task

    task = find_task(args.name)
    greedy = 0.0 if args.model and args.model.startswith("hf:") else None
    plan = make_plan(
        task,
        args.data,
        args.videos,
        args.limit,
        args.frames,
        args.view,
        args.hide_future,
        args.prompt,
        greedy if args.temperature is None else args.temperature,
        args.max_reply_tokens,
        args.seed,
    )
    model = PredictionsModel(args.predictions, task.read(plan.data)) if args.predictions else _model(args, task)
    told = _Told(args, len(plan.rows))
    try:
        ended = run(plan, model, args.out, args.resume, told)
    finally:
        told.close()
    report = write_report(ended.result, plan, args.out, args.wrong, _cost(ended))
    complete = not ended.unfinished and not ended.stopped
    if args.json:
        document = ended.result.to_dict()
        del document["rows"]
        files = {"replies": f"{args.out}/{REPLIES_FILE}", "result": f"{args.out}/{RESULT_FILE}", "report": str(report)}
        told_last = {"unfinished": ended.unfinished, "stopped": ended.stopped, "spent": ended.spent, "files": files}
        print_json({**document, **told_last})
    else:
        print(_text(ended, task, args.out))
    return DONE if complete else NOT_ALL


def _model(args: argparse.Namespace, task):
    from dsr_core.bench.models.make import ModelOptions, make_model
    from dsr_core.qa.asking.asking import AskingConfig

    asking = AskingConfig(
        tries=args.tries,
        concurrency=args.concurrency,
        price_prompt=args.price_prompt,
        price_completion=args.price_completion,
        max_cost=args.max_cost,
        max_tokens=args.max_tokens,
    )
    rules = "robust" if task.name == "own" else "dsr"  # as dsr qa makes questions; as the published ones are made
    options = ModelOptions(args.scenes, args.reply_timeout, asking, args.batch_size, args.device, args.seed, rules)
    return make_model(args.model, options, task.read)


def _cost(ended) -> str:
    """Tokens and seconds of all replies, those of earlier runs too; then what this run has cost."""
    totals = Counter()
    for told in ended.replies.values():
        totals.update({name: told[name] for name in ("prompt_tokens", "completion_tokens", "took_s") if name in told})
    said = []
    if totals["prompt_tokens"] or totals["completion_tokens"]:
        said.append(f"{totals['prompt_tokens']} + {totals['completion_tokens']} tokens")
    if totals["took_s"]:
        said.append(f"{totals['took_s'] / len(ended.replies):.2f} s a reply")
    if ended.spent:
        said.append(f"this run: {ended.spent}")
    return "; ".join(said)


def _text(ended, task, out: str) -> str:
    from dsr_core.bench.report import percent

    scores, lines = ended.result.scores, []
    figures = [scores.headline, *scores.figures.values(), *scores.by_type]
    wide = max(len(figure.name) for figure in figures)
    lines.append(f"{task.title}: {ended.result.name}")
    head = f"{'':{wide}}  {'score':>7}  {'95 % interval':>17} {'replies':>8} {'unparsed':>9} {'missing':>8}"
    lines.append(head)
    for figure in figures:
        known = figure.low == figure.low
        interval = f"{percent(figure.low)} - {percent(figure.high)}" if known else ""
        lines.append(
            f"{figure.name or '(no type)':{wide}}  {percent(figure.value):>7}  {interval:>17} {figure.rows:>8}"
            f" {figure.unparsed:>9} {figure.missing:>8}"
        )
    lines += [f"note: {note}" for note in scores.notes]
    if cost := _cost(ended):
        lines.append(cost)
    if ended.stopped:
        lines.append(f"stopped: {ended.stopped}")
    if ended.unfinished:
        lines.append(f"{ended.unfinished} rows have no reply yet; run the same command again")
    lines.append(f"-> {out}/result.json, {out}/report.html")
    return "\n".join(lines)


class _Told:
    """A bar on a terminal, else a line every half minute, on stderr."""

    def __init__(self, args: argparse.Namespace, total: int):
        self._bar, self._done, self._total, self._shown_s = None, 0, total, time.monotonic()
        self._lines = not args.no_progress
        if show_progress(args):
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc="asked", unit="row", leave=False)

    def __call__(self, spent: str) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.set_postfix_str(spent, refresh=False)
            self._bar.update()
        elif self._lines and time.monotonic() - self._shown_s > 30.0:
            self._shown_s = time.monotonic()
            print(f"{self._done} of {self._total} rows{spent and '; ' + spent}", file=sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


# --- the other two ---------------------------------------------------------------------------------------------------


def _compare(args: argparse.Namespace) -> int:
    from dsr_core.bench.compare import compare, table
    from dsr_core.bench.result import load_result

    found = compare(*map(load_result, args.paths))
    if args.json:
        print_json(found.to_dict())
    else:
        print(table(found))
    return DONE


def _pictures(frames: str | None) -> int:
    from dsr_core.bench.row import BenchError

    if frames is None:
        return 0
    if not frames.isdigit():
        raise BenchError(f"--frames {frames}: a replay's model is shown a number of pictures")
    return int(frames)


def _replay(args: argparse.Namespace) -> int:
    from dsr_core.errors import DependencyError

    try:
        replay = importlib.import_module("dsr_ros.bench_replay")
    except ImportError as error:
        raise DependencyError(f"a replay needs ROS 2, which is not there ({error}); `make` installs it") from None
    quiet = contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext()
    with quiet:
        found = replay.evaluate(
            args.paths[0],
            args.service,
            args.truth,
            args.rate,
            args.every,
            args.running,
            args.data,
            args.limit,
            args.model or "",
            _pictures(args.frames),
        )
    if args.json:
        print_json(found.to_dict())
    else:
        print(found)
    return DONE
