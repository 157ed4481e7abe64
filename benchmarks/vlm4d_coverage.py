"""How many questions of VLM4D the language reads, by kind, and why it does not read the others.

    python benchmarks/vlm4d_coverage.py [../shared/data/vlm4d/real_mc.json] [--show REASON-OR-KIND] [--json]

VLM4D asks people's questions about 1371 pairs of a real video and a question. Nothing is answered here: it is about
words. That the readings are right is held by tests/test_language_vlm4d.py on 150 labelled questions.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from dsr_core.errors import DeclineError
from dsr_core.language import parse
from dsr_core.language.reasons import reason_not_understood

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "vlm4d" / "real_mc.json"


def coverage(questions: list[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The questions that are read, by kind, and those that are not, by reason ("other" where none is known)."""
    read, declined = defaultdict(list), defaultdict(list)
    for text in questions:
        try:
            query = parse(text).query
        except DeclineError:
            reason = reason_not_understood(text)
            declined[reason.name if reason else "other"].append(text)
        else:
            read[query.kind if query.of is None else f"count of {query.of}"].append(text)
    return dict(read), dict(declined)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--show", help="print the questions of this kind or reason")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.data.exists():
        parser.error(f"{arguments.data} is not there; give the path of VLM4D's real_mc.json")
    questions = [row["question"] for row in json.loads(arguments.data.read_text())]
    read, declined = coverage(questions)
    if arguments.show:
        print("\n".join(sorted(set({**declined, **read}.get(arguments.show, ())))))
        return
    counts = {name: {k: len(v) for k, v in part.items()} for name, part in (("read", read), ("declined", declined))}
    if arguments.json:
        print(json.dumps({"questions": len(questions), **counts}))
        return
    for name, part in counts.items():
        total = sum(part.values())
        print(f"{name}: {total} of {len(questions)} ({100 * total / len(questions):.0f} %)")
        for kind, count in sorted(part.items(), key=lambda row: -row[1]):
            print(f"  {count:5d}  {kind}")


if __name__ == "__main__":
    main()
