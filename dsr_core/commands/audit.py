"""`dsr audit`: how well a question set can be answered without seeing anything."""

from __future__ import annotations

import argparse

from dsr_core.commands.common import DONE, print_json, show_progress, verb

LEAKS = 1


def add(verbs) -> None:
    parser = verb(
        verbs,
        "audit",
        "attack a question set blindly: what can be guessed from its text alone, by type, against chance",
        run,
        "FILE is a question set in any published layout. Attackers are rules on length and form, classifiers on"
        "\noptions, on questions and on both, and neighbours; those that learn are scored on scenes they never saw."
        "\nExit status 0 whatever is found; with --strict 1 where a type with 2,000 questions or more does not pass.",
    )
    parser.add_argument("file", metavar="FILE", help="question set (.parquet, .json, .jsonl, .tsv)")
    parser.add_argument("--plot", metavar="PATH", help="draw it (.png, .svg, .pdf)")
    parser.add_argument("--seed", type=int, default=0, help="seed of folds and models (0)")
    parser.add_argument("--rules-only", action="store_true", help="nothing is trained (seconds; needs no scikit-learn)")
    parser.add_argument("--lm", metavar="NAME_OR_PATH", help="also ask a language model of transformers (slow)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a judged type does not pass")


def run(args: argparse.Namespace) -> int:
    from dsr_core.qa.audit.audit import audit
    from dsr_core.qa.audit.records import read_records
    from dsr_core.qa.audit.table import table

    records = read_records(args.file)
    scorers = {}
    if args.lm:
        from dsr_core.qa.audit.lm import LanguageModel

        scorers["language model"] = LanguageModel(args.lm)
    found = audit(records, args.seed, not args.rules_only, scorers, show_progress(args))
    if args.plot:
        from dsr_core.qa.audit.plot import plot_audits

        plot_audits({args.file: found}, args.plot)
    if args.json:
        print_json({"file": args.file, **found.to_dict()})
    else:
        print(table(found))
    judged = [verdict for verdict in found.verdicts.values() if verdict != "small"]
    return LEAKS if args.strict and any(verdict != "pass" for verdict in judged) else DONE
