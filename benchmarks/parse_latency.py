"""Milliseconds that it takes to read a question: every understood sentence, questions that are declined, long ones.

python benchmarks/parse_latency.py [--json]
"""

from __future__ import annotations

import argparse
import json
import re
import time

from dsr_core.errors import DeclineError
from dsr_core.language import parse
from dsr_core.language.parse import MAX_CHARACTERS
from dsr_core.language.sentences import EXAMPLES

UNKNOWN = (
    "is the car red?",
    "which hand does the man in the blue shirt use to open the door of the fridge?",
    "from the camera's perspective, is the skater in the bowl turning to the left or right at the end of the video?",
    "are the man and the dolphins turning to the left or right from their own perspectives?",
    "how many steps does the person who wears a red hat take to the left before turning around?",
    "what is the weather like?",
)
PIECES = (
    "is a ", "is a and b getting ", "from the perspective of ", "how does the distance between a and b ", "a's ",
    "to the left and ", "in the last ", "is the car that ", "how many cars are ", "did a cross from left to ", "' ",
)  # fmt: skip


def milliseconds(text: str, rounds: int = 7) -> float:
    """The middle one of several readings."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        try:
            parse(text)
        except DeclineError:
            pass
        times.append(time.perf_counter() - start)
    return 1e3 * sorted(times)[rounds // 2]


def rows() -> dict[str, dict[str, float]]:
    """Median, 99 % and greatest of each group of texts, in milliseconds."""
    named = [re.sub(r"\bB\b", "the red bus 2", re.sub(r"\bA\b", "the car 1", text)) for text in EXAMPLES]
    groups = {
        "understood": [*named, *(f"between 2 and 5 s, from the child's perspective, {text}" for text in named)],
        "declined": list(UNKNOWN),
        f"{MAX_CHARACTERS} characters": [(piece * MAX_CHARACTERS)[:MAX_CHARACTERS] for piece in PIECES],
    }
    parse(named[0])
    result = {}
    for name, texts in groups.items():
        times = sorted(milliseconds(text) for text in texts)
        result[name] = {
            "median_ms": times[len(times) // 2],
            "p99_ms": times[min(int(0.99 * len(times)), len(times) - 1)],
            "max_ms": times[-1],
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    found = rows()
    if parser.parse_args().json:
        print(json.dumps(found))
        return
    for name, numbers in found.items():
        print(f"{name:16s}" + "".join(f"  {key.removesuffix('_ms')} {value:6.2f} ms" for key, value in numbers.items()))


if __name__ == "__main__":
    main()
