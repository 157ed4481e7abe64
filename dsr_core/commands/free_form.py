"""`dsr qa --free-form N`: the stage in which a language model writes questions and the engine checks them."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dsr_core.commands.endpoint import Told, add_endpoint_options, make_asker


def add_free_form_options(parser: argparse.ArgumentParser) -> None:
    """`--free-form`, `--read-back` and the endpoint's options."""
    from dsr_core.qa.freeform.freeform import READ_BACK

    group = parser.add_argument_group("free-form questions (type non_temp), written by a model (docs/curation.md)")
    group.add_argument("--free-form", type=int, metavar="N", help="ask for so many of each scene (published: 2)")
    group.add_argument(
        "--read-back",
        choices=READ_BACK,
        default="model",
        help="who reads a question again without its query, to see whether it says what it means: the grammar alone,"
        " the model where the grammar cannot (the default), or nobody",
    )
    add_endpoint_options(parser)


@dataclass(frozen=True)
class FreeFormBlock:
    """Free-form questions as a block for the question set.

    Attributes:
        data: The block. complete: Whether all was asked.
        report: What to tell: kept, drops by reason, tokens and cost, why it stopped.
    """

    data: bytes
    complete: bool
    report: dict


def free_form_block(
    args: argparse.Namespace, recordings: Sequence, opener: Callable, qa, seed: int
) -> FreeFormBlock | None:
    """Makes the free-form questions that the arguments ask for, None where they ask for none.

    What has been asked is kept in a journal beside the output, also when all is done: it has been paid for.

    Args:
        recordings: `dsr_core.qa.curation.recordings.Recording` each. opener: Gives the scene of one.
        qa: `QaConfig`. seed: Of the whole set.

    Raises:
        DsrError: no endpoint, or settings that cannot be used.
    """
    if args.free_form is None:
        return None
    from dsr_core.qa.asking.journal import Journal
    from dsr_core.qa.freeform.freeform import FreeForm, FreeFormConfig, SceneToAsk
    from dsr_core.qa.item import QaError
    from dsr_core.qa.running.blocks import write_block
    from dsr_core.qa.running.shards import fingerprint

    asker = make_asker(args)
    if asker is None:
        raise QaError("free-form questions are written by a model: give --endpoint URL --model NAME")
    free = FreeForm(FreeFormConfig(args.free_form, args.read_back), qa, asker, seed)
    scenes = [
        SceneToAsk(r.name, r.video_id, lambda r=r: opener(r), f"{r.name} {r.key} {fingerprint(r.path)}".strip())
        for r in recordings
    ]
    drops: Counter = Counter()
    told = Told(args, len(scenes) * args.free_form, asker, "question")
    try:
        with Journal(free_form_path(args.out), free.settings(), args.resume) as journal:
            ending = free.run(scenes, journal, told)
            items = list(free.items(scenes, journal, drops))
    finally:
        told.close()
    head = {
        "asked": {"non_temp": len(items) + drops.total() - drops["not asked yet"]},
        "given": {"non_temp": len(items)},
        "drops": {reason: count for reason, count in sorted(drops.items()) if reason != "not asked yet"},
        "settings": free.settings(),
    }
    data = write_block(items, {"seed": seed, "style": "free-form", "model": asker.endpoint.config.model}, head)
    totals = asker.ledger.totals()
    report = {
        "questions": len(items),
        "dropped": dict(drops.most_common()),
        "stopped": ending.why,
        "unfinished": ending.unfinished,
        "this_run": asdict(totals),
        "told": str(totals),
    }
    return FreeFormBlock(data, not drops["not asked yet"], report)


def free_form_path(out: str | Path) -> Path:
    """The journal of free-form questions beside a question set."""
    return Path(out).with_suffix(".freeform.jsonl")


def print_free_form(report: dict) -> None:
    """Says how it went."""
    print(f"free-form: {report['questions']} questions kept; {report['told']}")
    for reason, count in report["dropped"].items():
        print(f"  {count:9d}  {reason}")
    if report["stopped"]:
        print(f"  stopped: {report['stopped']}")
    for name, why in list(report["unfinished"].items())[:3]:
        print(f"  not finished: {name}: {why}")
