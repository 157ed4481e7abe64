"""Questions made of scenes: how many a second on one core, by type, and what was dropped why.

    python benchmarks/qa_generate.py                        about two minutes
    python benchmarks/qa_generate.py --style mllm4d --questions 300
    python benchmarks/qa_generate.py --rules dsr --clock cpu

The scenes are the labels of KITTI sequences, two Argoverse 2 logs and simulated rooms; reading them is not counted.
Options are not counted either. `--clock cpu` leaves out what else the machine does.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections import Counter
from pathlib import Path

from dsr_core import load_scene
from dsr_core.qa.config import RULES, STYLES, QaConfig
from dsr_core.qa.making.generate import candidates
from dsr_core.scene import Scene

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def sources(rooms: int) -> dict[str, list[tuple[str, Scene]]]:
    """Scenes by data set, each with its name."""
    kitti, logs = SHARED / "kitti_tracking", SHARED / "av2"
    found = {"simulator": [(s, load_scene(s)) for s in (f"sim:seed={k},duration=30,render=0" for k in range(rooms))]}
    if kitti.is_dir():
        names = sorted(p.stem for p in (kitti / "label_02").glob("*.txt"))
        found["KITTI"] = [(name, load_scene(kitti, sequence=name)) for name in names]
    if logs.is_dir():
        found["Argoverse 2"] = [(p.name, load_scene(p)) for p in sorted(logs.iterdir()) if p.is_dir()]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=200, help="wanted of a scene")
    parser.add_argument("--rooms", type=int, default=6, help="simulated scenes")
    parser.add_argument("--style", choices=STYLES, default="dsr")
    parser.add_argument("--rules", choices=RULES, default="robust")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    args = parser.parse_args()
    clock = time.perf_counter if args.clock == "wall" else time.process_time
    config = QaConfig(per_scene=args.questions, style=args.style, rules=args.rules)
    for source, scenes in sources(args.rooms).items():
        found, drops, answers = Counter(), Counter(), {}
        candidates(scenes[0][1], config, args.seed + 1, "warm up")
        start = clock()
        for name, scene in scenes:
            for made in candidates(scene, config, args.seed, name, drops=drops):
                found[made.type] += 1
                answers.setdefault(made.type, set()).add(made.answer)
        seconds = clock() - start
        total, tries = found.total(), found.total() + drops.total()
        print(f"\n{source}: {len(scenes)} scenes, {total} questions, {total / seconds:.0f} a second; {tries} tries,")
        print(f"{1e6 * seconds / tries:.0f} us each\n{'type':42} questions answers  kept  dropped")
        for type_ in sorted(found | Counter({t: 0 for t, _ in drops})):
            why = Counter({reason: n for (t, reason), n in drops.items() if t == type_})
            kept = found[type_] / max(found[type_] + why.total(), 1)
            reasons = ", ".join(f"{reason} {n}" for reason, n in why.most_common())
            print(f"{type_:42} {found[type_]:9} {len(answers.get(type_, ())):7} {kept:5.0%}  {reasons}")


if __name__ == "__main__":
    main()
