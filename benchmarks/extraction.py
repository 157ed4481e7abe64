"""How well `extract_choice` reads published replies, and how little it depends on how they end.

    python benchmarks/extraction.py [--data ../shared/data/vlm4d] [--show]

Table 1: agreement with the extraction that the authors of VLM4D recorded (made by a language model), and the accuracy
that follows of either. Table 2: chains of thought whose last statement is taken off and put in other words; the letter
must stay. Table 3: the same without any conclusion: how often a letter is still read, and how often it is the one that
the model went on to name. --show prints every disagreement.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

from dsr_core.bench import PARSER_VERSION, extract_choice

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "vlm4d"
PROMPTS = ("real_mc_direct-output", "real_mc_cot")
MODELS = ("InternVL2_5-8B_4frame", "Qwen2.5-VL-7B-Instruct_1fps", "gpt-4o_32frame")
_CONCLUSION = re.compile(r"(?:Therefore|Thus|Hence|So)?,?\s*the final answer is", re.IGNORECASE)
ENDINGS = {
    "\\boxed{B}": "\n\n\\boxed{{{letter}}}",
    "<answer>B</answer>": "\n<answer>{letter}</answer>",
    "**B**": "\n\n**{letter}**",
    "B": "\n\n{letter}",
    "B. text": "\n\n{letter}. {text}",
    "text": "\n\n{text}",
    "So the answer is (B) text.": "\n\nSo the answer is ({letter}) {text}.",
    "The answer is: text.": "\n\nThe answer is: {text}.",
    "Therefore, the best option is B.": "\n\nTherefore, the best option is {letter}.",
    "I would choose option B.": "\n\nI would choose option {letter}.",
}


def rows(data: Path, prompt: str, model: str) -> list[dict]:
    return json.loads((data / "published_outputs" / prompt / f"{model}.json").read_text())


def recorded(row: dict) -> str | None:
    """The letter of the recorded extraction; None for "No Valid Answer"."""
    match = re.match(r"([A-D]):", row["extracted_answer"])
    return None if match is None else match[1]


def thoughts(data: Path, model: str) -> Iterator[tuple[dict, str, str]]:
    """(row, reply without its conclusion, recorded letter) of the chains of thought that have both."""
    for row in rows(data, "real_mc_cot", model):
        ends = list(_CONCLUSION.finditer(row["response"]))
        text = row["response"][: ends[-1].start()].rstrip() if ends else ""
        if recorded(row) and len(text) >= 50:
            yield row, text, recorded(row)


def is_right(row: dict, letter: str | None) -> bool:
    return letter is not None and str(row["choices"][letter]) == str(row["ground_truth_answer"])


def print_agreement(data: Path, show: bool) -> None:
    print(f"{'prompt':24}{'model':30}{'agree':>12}{'share':>9}{'accuracy: recorded':>20}{'read':>9}")
    for prompt in PROMPTS:
        for model in MODELS:
            replies = rows(data, prompt, model)
            read = [extract_choice(row["response"], row["choices"]) for row in replies]
            differ = [(row, letter) for row, letter in zip(replies, read, strict=True) if letter != recorded(row)]
            ours = sum(is_right(row, letter) for row, letter in zip(replies, read, strict=True)) / len(replies)
            theirs = sum(row["correct"] for row in replies) / len(replies)
            same = len(replies) - len(differ)
            share = same / len(replies)
            print(f"{prompt:24}{model:30}{same:>7}/{len(replies)}{share:>9.2%}{theirs:>20.2%}{ours:>9.2%}")
            for row, letter in differ if show else ():
                print(
                    f"    {row['id']}: recorded {row['extracted_answer']!r}, read {letter}: {row['response'][-120:]!r}"
                )


def print_endings(data: Path) -> None:
    print(f"\n{'chains of thought that end in':36}" + "".join(f"{model[:14]:>16}" for model in MODELS))
    for name, shape in ENDINGS.items():
        cells = []
        for model in MODELS:
            kept = total = 0
            for row, text, letter in thoughts(data, model):
                option = str(row["choices"][letter])
                if "text" in name and [str(v) for v in row["choices"].values()].count(option) > 1:
                    continue
                total += 1
                kept += extract_choice(text + shape.format(letter=letter, text=option), row["choices"]) == letter
            cells.append(f"{kept}/{total}")
        print(f"{name:36}" + "".join(f"{cell:>16}" for cell in cells))


def print_unconcluded(data: Path) -> None:
    print("\nchains of thought without their conclusion")
    for model in MODELS:
        read = [(extract_choice(text, row["choices"]), letter) for row, text, letter in thoughts(data, model)]
        named = [(found, letter) for found, letter in read if found is not None]
        right = sum(found == letter for found, letter in named)
        print(f"{model:36}{len(named)} of {len(read)} name an option; {right} ({right / len(named):.0%}) the later one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--show", action="store_true", help="print every disagreement")
    args = parser.parse_args()
    print(f"parser version {PARSER_VERSION}")
    print_agreement(args.data, args.show)
    print_endings(args.data)
    print_unconcluded(args.data)


if __name__ == "__main__":
    main()
