"""Whether questions can be guessed: original and physical options on the same scenes, attacked blindly, side by side.

    python benchmarks/qa_audit.py                          recorded and simulated scenes; about half an hour of one core
    python benchmarks/qa_audit.py --smooth 20 --recorded 500 --plot audit.png     smaller and quicker, with a picture

Scenes are KITTI's and Argoverse's labels, one play of the simulator, and things that move smoothly at random
(tests/smooth_scenes.py). Both sets are made of the same candidates; the physical one is also thinned by the filter.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from dsr_core import load_scene
from dsr_core.qa.audit.audit import audit
from dsr_core.qa.audit.plot import plot_audits
from dsr_core.qa.audit.records import from_items
from dsr_core.qa.audit.table import legend, side_by_side, table
from dsr_core.qa.config import QaConfig
from dsr_core.qa.item import Candidate, Item
from dsr_core.qa.making.generate import candidates
from dsr_core.qa.options.filter import REASON, filter_guessable
from dsr_core.qa.options.options import with_options
from dsr_core.scene import Scene
from dsr_core.sources.simulator import Simulator
from tests.smooth_scenes import smooth_scene

DATA = Path(__file__).parents[2] / "shared/data"
#: Candidates of the original set are thinned to so many a type: enough for every attacker.
MOST_ORIGINAL = 4000
#: Scenes are given their options in shards of about so many candidates.
SHARD = 50_000


def scenes(smooth: int) -> Iterator[tuple[str, Scene, bool]]:
    """Name, scene, and whether it was recorded."""
    kitti = DATA / "kitti_tracking"
    for labels in sorted((kitti / "label_02").glob("*.txt")):
        yield f"kitti{labels.stem}", load_scene(kitti, sequence=labels.stem), True
    for log in sorted((DATA / "av2").glob("*/annotations.feather")):
        yield f"av2-{log.parent.name[:8]}", load_scene(log.parent), True
    yield "simulator", Simulator(render=False).truth(), True
    for seed in range(smooth):
        yield f"smooth{seed:04d}", smooth_scene(seed), False


def gather(args: argparse.Namespace) -> list[Candidate]:
    """Candidates of all scenes."""
    found, reasons, start = [], Counter(), time.perf_counter()
    for name, scene, recorded in scenes(args.smooth):
        wanted = args.recorded if recorded else args.each
        config = QaConfig(per_scene=wanted, rules=args.rules, min_confidence=args.min_confidence, max_failures=200)
        found += candidates(scene, config, args.seed, name, name, reasons)
    took = time.perf_counter() - start
    print(f"{len(found)} candidates of {len({c.scene for c in found})} scenes in {took:.0f} s")
    return found


def made(found: list[Candidate], style: str, seed: int) -> tuple[list[Item], Counter]:
    """Items of all shards, with the dropped candidates by reason."""
    by_scene = defaultdict(list)
    for candidate in found:
        by_scene[candidate.scene].append(candidate)
    items, drops, shard, start = [], Counter(), [], time.perf_counter()
    for number, name in enumerate(sorted(by_scene), 1):
        shard += by_scene[name]
        if len(shard) >= SHARD or number == len(by_scene):
            some, dropped = with_options(shard, style, seed)
            items, drops, shard = items + some, drops + dropped, []
    took = time.perf_counter() - start
    print(f"{style}: {len(items)} questions of {len(found)} candidates, {len(found) / took:.0f} candidates a second")
    return items, drops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smooth", type=int, default=120, help="how many simulated scenes")
    parser.add_argument("--each", type=int, default=900, help="candidates of each of them")
    parser.add_argument("--recorded", type=int, default=6000, help="candidates of each recording")
    parser.add_argument("--rules", choices=("robust", "dsr"), default="robust", help="of the true answers")
    parser.add_argument("--min-confidence", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", metavar="PATH")
    parser.add_argument("--json", metavar="PATH", help="write all figures")
    args = parser.parse_args()
    found = gather(args)
    physical, drops = made(found, "physical", args.seed)
    matched = len(physical)
    start = time.perf_counter()
    physical, history = filter_guessable(physical, args.seed)
    print(f"filter: {len(physical)} questions are left after {time.perf_counter() - start:.0f} s")
    rng = np.random.default_rng(args.seed)
    by_type = defaultdict(list)
    for candidate in found:
        by_type[candidate.type].append(candidate)
    some = [of_type[i] for of_type in by_type.values() for i in sorted(rng.permutation(len(of_type))[:MOST_ORIGINAL])]
    original, _ = made(some, "dsr", args.seed)
    counts = Counter(c.type for c in found), Counter(i.candidate.type for i in physical)
    print(
        "\nfrom candidates to questions: "
        + "; ".join(f"{t} {n} -> {counts[1][t]}" for t, n in sorted(counts[0].items()))
    )
    for reason, number in drops.most_common():
        print(f"  dropped {number:>7}: {reason}")
    print(f"  dropped {matched - len(physical):>7}: {REASON}")
    for step in history:
        if step.number == 0:
            print(f"  filter, {step.type}: attackers had {100 * step.accuracy:.1f} % of {step.count}")
    audits = {"original options": audit(from_items(original)), "physical options": audit(from_items(physical))}
    for name, one in audits.items():
        print(f"\n== {name}\n{table(one)}", flush=True)
    print(f"\n{side_by_side(audits)}\n\n{legend()}")
    if args.plot:
        print(plot_audits(audits, args.plot))
    if args.json:
        Path(args.json).write_text(json.dumps({name: one.to_dict() for name, one in audits.items()}, indent=1))


if __name__ == "__main__":
    main()
