"""What verbs that ask a language model share: the options of the endpoint, and how a run is shown."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import fields

from dsr_core.commands.common import show_progress


def add_endpoint_options(parser: argparse.ArgumentParser) -> None:
    """`--endpoint`, `--model`, prices, the budget, and how often is tried."""
    from dsr_core.qa.asking.ledger import AskingConfig

    group = parser.add_argument_group(
        "the model (any OpenAI-compatible endpoint; its key: $DSR_LANGUAGE_MODEL_API_KEY)"
    )
    group.add_argument("--endpoint", metavar="URL", help="e.g. http://localhost:8000/v1 ($DSR_LANGUAGE_MODEL_URL)")
    group.add_argument("--model", metavar="NAME", help="as the endpoint knows it ($DSR_LANGUAGE_MODEL_NAME)")
    group.add_argument("--reply-timeout", type=float, default=120.0, metavar="S", help="longest wait for a reply (120)")
    for name, kind, told in (
        ("concurrency", int, "requests at a time"),
        ("tries", int, "requests for one reply where the endpoint is busy or broken"),
        ("corrections", int, "how often the model is told what is wrong with its reply"),
        ("max_reply_tokens", int, "longest reply"),
        ("price_prompt", float, "price of a million tokens of prompts"),
        ("price_completion", float, "price of a million tokens of replies"),
        ("max_cost", float, "stop before it costs more (in the prices' currency)"),
        ("max_tokens", int, "stop before it takes more tokens"),
    ):
        default = getattr(AskingConfig, name)
        told += "" if default is None else f" ({default:g})"
        group.add_argument("--" + name.replace("_", "-"), type=kind, default=default, metavar="N", help=told)


def make_asker(args: argparse.Namespace):
    """The model that the arguments or the environment name, None where they name none.

    Raises:
        DsrError: settings that cannot be used.
    """
    from dsr_core.endpoint import Endpoint, EndpointConfig
    from dsr_core.qa.asking.asking import Asker
    from dsr_core.qa.asking.ledger import AskingConfig

    config = AskingConfig(**{f.name: getattr(args, f.name) for f in fields(AskingConfig) if hasattr(args, f.name)})
    endpoint = EndpointConfig.from_environment(args.endpoint, args.model, timeout_s=args.reply_timeout)
    return None if endpoint is None else Asker(Endpoint(endpoint), config)


class Told:
    """Shows how far it is and what it has cost: a bar on a terminal, else a line every half minute, on stderr."""

    def __init__(self, args: argparse.Namespace, total: int, asker, what: str):
        self._asker, self._bar, self._shown_s, self._done, self._total = asker, None, time.monotonic(), 0, total
        self._lines = not args.no_progress
        if show_progress(args):
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=what, unit=what, leave=False)

    def __call__(self) -> None:
        self._done += 1
        totals = "" if self._asker is None else str(self._asker.ledger.totals())
        if self._bar is not None:
            self._bar.set_postfix_str(totals, refresh=False)
            self._bar.update()
        elif self._lines and time.monotonic() - self._shown_s > 30.0:
            self._shown_s = time.monotonic()
            print(f"{self._done} of {self._total} done; {totals}", file=sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
