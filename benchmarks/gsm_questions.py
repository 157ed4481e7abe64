"""Questions for `gsm_learning.py`: debiased, of simulated and of recorded scenes, no scene in both sets.

    python benchmarks/gsm_questions.py FOLDER [--smooth 240] [--each 1200]      about seven minutes of two cores

FOLDER gets scenes/*.scene.npz and train.parquet and test.parquet as `dsr qa` writes them. Every wrong option is the
true answer of another question, what blind attackers guess has been thinned out, and of no kind there are more than
`--most`. The simulated scenes are those of tests/smooth_scenes.py; the recorded ones are the labels of KITTI tracking,
where they are there.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from dsr_core import load_scene
from dsr_core.qa.config import QaConfig
from dsr_core.qa.files.files import write_items
from dsr_core.qa.item import Candidate, Item
from dsr_core.qa.making.generate import candidates
from dsr_core.qa.options.filter import filter_guessable
from dsr_core.qa.options.options import with_options
from dsr_core.scene import Scene
from tests.smooth_scenes import smooth_scene

KITTI = Path(__file__).parents[2] / "shared/data/kitti_tracking"
KITTI_TEST = ("0000", "0005", "0009")
TYPES = tuple(f"{mode}_{what}" for mode in ("abs", "rel") for what in ("dis", "dir", "spd_comp"))
#: Half of a scene's candidates are of speeds, of which the fewest find options and pass the filter.
HALVES = (TYPES[:2] + TYPES[3:5], (TYPES[2], TYPES[5]))
#: The first simulated scene to test with; those before it may be learned from.
TEST_SEED = 200_000
#: Scenes are given their options in shards of about so many candidates.
SHARD = 40_000


def questions(folder: Path, names: list[str], recorded: int, each: int, seed: int, workers: int) -> list[Item]:
    """Questions of saved scenes with options; `recorded` candidates of recorded scenes ("kitti…"), `each` of others."""
    names = sorted(names)
    items, shard = [], []
    with ProcessPoolExecutor(workers) as pool:
        counts = [recorded if name.startswith("kitti") else each for name in names]
        drawn = pool.map(
            _drawn, [folder / f"{name}.scene.npz" for name in names], names, counts, itertools.repeat(seed)
        )
        for number, found in enumerate(drawn, 1):
            shard += found
            if len(shard) >= SHARD or number == len(names):
                items += with_options(shard, "physical", seed)[0]
                shard = []
    return items


def _drawn(path: Path, name: str, count: int, seed: int) -> list[Candidate]:
    """At most `count` questions of a scene."""
    scene, found = Scene.load(path), []
    for types in HALVES:
        config = QaConfig(
            per_scene=count // 2,
            types=types,
            refer="names",
            min_confidence=0.8,
            max_window_s=8.0,
            max_failures=200,
        )
        found += candidates(scene, config, seed, name)
    return found


def balanced(items: list[Item], most: int, seed: int) -> list[Item]:
    """At most about `most` questions of each of distance, direction and speed; those with the same options together."""
    by_kind: dict[str, dict[str, list[Item]]] = {}
    for item in items:
        kind = item.candidate.type.partition("_")[2]
        by_kind.setdefault(kind, {}).setdefault(item.group, []).append(item)
    kept = []
    for kind in sorted(by_kind):
        groups, count = sorted(by_kind[kind].items()), 0
        random.Random(f"{seed} {kind}").shuffle(groups)
        for _, group in groups:
            if count >= most:
                break
            kept += group
            count += len(group)
    return kept


def make_sets(
    folder: Path,
    smooth: int,
    test_smooth: int,
    each: int,
    recorded: int,
    most: int = 12_000,
    seed: int = 0,
    workers: int = 2,
) -> None:
    """Writes scenes and both question sets; what is there already is kept."""
    (folder / "scenes").mkdir(parents=True, exist_ok=True)
    sequences = sorted(path.stem for path in (KITTI / "label_02").glob("*.txt"))
    if not sequences:
        print(f"KITTI tracking is not at {KITTI}: simulated scenes alone")
    for part, seeds in (("test", range(TEST_SEED, TEST_SEED + test_smooth)), ("train", range(smooth))):
        path = folder / f"{part}.parquet"
        if path.is_file():
            continue
        begun = time.perf_counter()
        scenes = {f"smooth{number:06d}": smooth_scene(number) for number in seeds}
        mine = [s for s in sequences if (s in KITTI_TEST) == (part == "test")]
        scenes |= {f"kitti{s}": load_scene(KITTI, sequence=s) for s in mine}
        for name, scene in scenes.items():
            scene.save(folder / "scenes" / f"{name}.scene.npz")
        items = questions(folder / "scenes", list(scenes), recorded, each, seed, workers)
        # The filter takes a share, and time for whatever it is given.
        items = filter_guessable(balanced(items, most * 3 // 2, seed), seed)[0]
        items = balanced(items, most, seed)
        write_items(path, items)
        counts = Counter((item.candidate.type, item.candidate.scene.startswith("kitti")) for item in items)
        print(f"{part}: {len(items)} questions of {len(scenes)} scenes in {time.perf_counter() - begun:.0f} s")
        for type_ in TYPES:
            print(f"  {type_:<14} {counts[type_, False]:>7} simulated {counts[type_, True]:>6} recorded")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--smooth", type=int, default=240, help="simulated scenes to train with")
    parser.add_argument("--test-smooth", type=int, default=24, help="simulated scenes to test with")
    parser.add_argument("--each", type=int, default=1200, help="candidates of each of them")
    parser.add_argument("--recorded", type=int, default=2666, help="candidates of each recording")
    parser.add_argument("--most", type=int, default=12_000, help="questions kept of each kind")
    parser.add_argument("--workers", type=int, default=2, help="processes that ask")
    args = parser.parse_args()
    make_sets(args.folder, args.smooth, args.test_smooth, args.each, args.recorded, args.most, workers=args.workers)


if __name__ == "__main__":
    main()
