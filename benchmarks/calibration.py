"""Whether a confidence is a probability: accuracy by confidence on recorded truth that was made worse.

python benchmarks/calibration.py                 ask, and report on the recordings that made no map
python benchmarks/calibration.py --plot PATH     and draw it
python benchmarks/calibration.py --fit           make the maps anew from the other recordings, then report

Truth is KITTI's and Argoverse's labels; docs/calibration.md tells what is asked and when an answer is right.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from calibration_cases import MISTOLD, WORSE, Case, cases, is_fitted, recordings
from calibration_fit import fit

from dsr_core.reasoning import calibration

DATA = Path(__file__).parents[2] / "shared/data"
TABLE = Path(calibration.__file__).with_name("calibration.json")
EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0001)
#: What is asked of the figures: expected calibration error, shortfall in a range, accuracy of the surest.
MOST_ECE, MOST_SHORT, SURE, LEAST_SURE = 0.05, 0.02, 0.98, 0.97
#: A range with fewer answers than this says little.
FEWEST = 50


def collect(data: Path, wanted: Callable[[str], bool], all_worse, count: int, seed: int = 0, **options) -> list[Case]:
    """Cases of the recordings whose name is wanted; Argoverse logs hold three times as much as a KITTI sequence."""
    found = []
    for name, path, sequence in recordings(data):
        if wanted(name):
            many = count * (3 if sequence is None else 1)
            found += cases(name, path, sequence, all_worse, many, seed, **options)
    return found


def told_and_right(all_cases: Sequence[Case]) -> tuple[np.ndarray, np.ndarray]:
    """Confidence (N,) of the answers that were given and can be judged, and whether all their states are right."""
    judged = [c for c in all_cases if c.given and None not in c.right]
    return np.array([c.confidence for c in judged]), np.array([all(c.right) for c in judged], float)


def verdicts(all_cases: Sequence[Case]) -> tuple[np.ndarray, np.ndarray]:
    """The same of yes/no questions."""
    judged = [c for c in all_cases if c.verdict_given and c.verdict_right is not None]
    return np.array([c.verdict_confidence for c in judged]), np.array([c.verdict_right for c in judged], float)


def windows(all_cases: Sequence[Case]) -> tuple[np.ndarray, np.ndarray]:
    """The same where the longest state is compared with the one label of the window."""
    judged = [c for c in all_cases if c.given and c.window_right is not None]
    return np.array([c.confidence for c in judged]), np.array([c.window_right for c in judged], float)


def expected_calibration_error(told, right) -> float:
    """Mean difference of accuracy and mean confidence over the ranges, weighted by their answers (Naeini 2015)."""
    return sum(abs(a - c) * n for _, _, n, c, a in ranges(told, right)) / max(len(told), 1)


def ranges(told, right) -> list[tuple[float, float, int, float, float]]:
    """(from, to, answers, mean confidence, accuracy) of each range of confidence that has answers."""
    rows = []
    for low, high in itertools.pairwise(EDGES):
        here = (told >= low) & (told < high)
        if here.any():
            rows.append((low, min(high, 1.0), int(here.sum()), float(told[here].mean()), float(right[here].mean())))
    return rows


def share_answered(all_cases: Sequence[Case]) -> float:
    return sum(c.given for c in all_cases) / max(len(all_cases), 1)


def criteria(told, right) -> list[tuple[str, bool]]:
    """Each requirement with its figure, and whether it holds."""
    error = expected_calibration_error(told, right)
    short = max(c - a for _, _, n, c, a in ranges(told, right) if n >= FEWEST)
    sure = float(right[told >= SURE].mean())
    return [
        (f"expected calibration error {error:.3f}, at most {MOST_ECE}", error <= MOST_ECE),
        (
            f"accuracy below the mean confidence of a range by at most {short:.3f}, at most {MOST_SHORT}",
            short <= MOST_SHORT,
        ),
        (f"accuracy at confidence {SURE} and more {sure:.4f}, at least {LEAST_SURE}", sure >= LEAST_SURE),
    ]


def table(told, right) -> str:
    lines = ["| confidence | answers | mean confidence | accuracy |", "|---|---|---|---|"]
    lines += [f"| {a:.2f}-{b:.2f} | {n} | {c:.3f} | {r:.3f} |" for a, b, n, c, r in ranges(told, right)]
    return "\n".join(lines)


def breakdown(all_cases: Sequence[Case], name_of: Callable[[Case], str], heading: str) -> str:
    """One line a group: cases, share answered, share that the labels can judge, accuracy, calibration error."""
    lines = [
        f"| {heading} | asked | answered | judged | accuracy | mean confidence | ECE |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(map(name_of, all_cases)):
        mine = [c for c in all_cases if name_of(c) == name]
        told, right = told_and_right(mine)
        judged = len(told) / max(sum(c.given for c in mine), 1)
        lines.append(
            f"| {name} | {len(mine)} | {share_answered(mine):.3f} | {judged:.3f} | {right.mean():.3f}"
            f" | {told.mean():.3f} | {expected_calibration_error(told, right):.3f} |"
        )
    return "\n".join(lines)


def report(all_cases: Sequence[Case], mistold: Sequence[Case] = ()) -> str:
    """Everything as Markdown."""
    told, right = told_and_right(all_cases)
    parts = [f"{len(all_cases)} questions, {share_answered(all_cases):.3f} answered, {len(told)} of them judged.\n"]
    parts += [f"{'pass' if holds else 'FAIL'}: {text}" for text, holds in criteria(told, right)]
    parts += ["\n" + table(told, right)]
    for text, pairs in (("Yes or no", verdicts(all_cases)), ("Longest state, window's label", windows(all_cases))):
        error = expected_calibration_error(*pairs)
        parts += [f"\n{text}: {len(pairs[0])} judged, ECE {error:.3f}\n", table(*pairs)]
    parts += ["\n" + breakdown(all_cases, lambda c: c.question.kind, "kind")]
    parts += ["\n" + breakdown([*all_cases, *mistold], lambda c: c.worse, "made worse by")]
    return "\n".join(parts)


def draw(all_cases: Sequence[Case], path: Path) -> None:
    """Accuracy over confidence of states and of verdicts, and how many answers there are of each."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 7), sharex=True, height_ratios=(3, 1), layout="constrained")
    above.plot([0, 1], [0, 1], color="0.6", lw=1, label="confidence = accuracy")
    above.plot([0.02, 1], [0, 0.98], color="0.6", lw=1, ls=":", label="2 % below")
    for name, (told, right), color, marker in (
        ("states", told_and_right(all_cases), "#1f6fb2", "o"),
        ("yes or no", verdicts(all_cases), "#c8571b", "s"),
    ):
        rows = ranges(told, right)
        spread = [2 * np.sqrt(max(r * (1 - r), 1e-4) / n) for _, _, n, _, r in rows]
        text = f"{name}: {len(told)} answers, ECE {expected_calibration_error(told, right):.3f}"
        xy = [row[3] for row in rows], [row[4] for row in rows]
        above.errorbar(*xy, yerr=spread, color=color, marker=marker, ms=5, lw=1.5, capsize=2, label=text)
        below.hist(told, bins=np.linspace(0, 1, 51), histtype="step", color=color, lw=1.5)
    above.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.01))
    above.legend(loc="upper left", frameon=False)
    above.set_title("KITTI and Argoverse 2 truth made worse; recordings that made no map", fontsize=10)
    below.set(xlabel="confidence", ylabel="answers", yscale="log")
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--count", type=int, default=14, help="questions a kind, a KITTI sequence and a way of making worse"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fit", action="store_true", help=f"write {TABLE.name} first")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    started = time.monotonic()
    if args.fit:
        # Speeds rest on the map of motion: a thing at rest keeps its speed. So that one is made first.
        for kinds in ({"kinds": ("motion",)}, {}):
            made = fit(collect(args.data, is_fitted, WORSE, args.count, args.seed, **kinds))
            if kinds:
                made["maps"] = calibration._table()["maps"] | {"motion": made["maps"]["motion"]}
            write(made)
            calibration._table.cache_clear()
    found = collect(args.data, lambda name: not is_fitted(name), (*WORSE, *MISTOLD), args.count, args.seed + 1)
    wrong = {w.name for w in MISTOLD}
    asked = [c for c in found if c.worse not in wrong]
    print(report(asked, [c for c in found if c.worse in wrong]))
    print(f"\n{time.monotonic() - started:.0f} s")
    if args.plot is not None:
        draw(asked, args.plot)


def write(made: dict) -> None:
    """Writes the table, one map a line."""
    maps = ",\n".join(f"  {json.dumps(kind)}: {json.dumps(m)}" for kind, m in made["maps"].items())
    TABLE.write_text(f'{{"answer": {json.dumps(made["answer"])},\n "maps": {{\n{maps}\n}}}}\n')


if __name__ == "__main__":
    main()
