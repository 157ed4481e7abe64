"""Question sets from saved scenes: questions a second on one core, stage by stage, and memory over many scenes.

    python benchmarks/qa.py                                 about two minutes
    python benchmarks/qa.py --reads 10000 --per-scene 10    memory over 10,000 scenes; about ten minutes of one core
    python benchmarks/qa.py --distractors dsr --per-scene 40

The scenes are rooms of the simulator, saved; a folder of links to them stands for many recordings. Stages are timed by
the processor's time of this process; the whole by the clock, with one worker as `dsr qa --workers 1` runs it. Memory is
that of both processes, told whenever another tenth of the scenes is done, and at its highest.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from dsr_core import load_scene
from dsr_core.qa.config import STYLES, QaConfig
from dsr_core.qa.curation.recordings import Recording, expand
from dsr_core.qa.files import codec
from dsr_core.qa.making.generate import candidates
from dsr_core.qa.options.options import STYLES as DISTRACTORS
from dsr_core.qa.options.options import with_options
from dsr_core.qa.running import assemble, blocks
from dsr_core.qa.running.engine_local import LocalEngine
from dsr_core.qa.running.run import SetConfig, make_questions


def save_rooms(folder: Path, rooms: int, seconds: float, reads: int) -> list[Recording]:
    """`reads` recordings that are links to `rooms` saved scenes."""
    kept, links = folder / "rooms", folder / "links"
    kept.mkdir()
    links.mkdir()
    saved = [
        load_scene(f"sim:seed={seed},duration={seconds:g},render=0").save(kept / f"{seed}.scene.npz")
        for seed in range(rooms)
    ]
    for number in range(reads):
        (links / f"room{number:06d}.scene.npz").symlink_to(saved[number % rooms])
    return expand([str(links)])


def stages(recordings: list[Recording], config: SetConfig, folder: Path) -> None:
    """Prints what each stage takes, one after the other in this process."""
    spent: dict[str, float] = {}

    def timed(name: str, make: Callable):
        start = time.process_time()
        made = make()
        spent[name] = time.process_time() - start
        return made

    candidates(load_scene(recordings[0].path), config.asked, 1, "warm up")
    scenes = timed("read scenes", lambda: [(r.name, load_scene(r.path)) for r in recordings])
    found = timed(
        "ask, with true answers",
        lambda: [c for name, scene in scenes for c in candidates(scene, config.asked, 0, name)],
    )
    data = timed("pack", lambda: codec.pack(found, {}))
    timed("unpack", lambda: codec.unpack(data))
    items, _ = timed(f"{config.distractors} options", lambda: with_options(found, config.distractors, 0))
    head = {"asked": {}, "given": {}, "drops": {}}
    block = timed("rows", lambda: blocks.write_block(items, {}, head))
    tables = timed("shuffle", lambda: list(assemble.shuffled(1, lambda _: block, set(), 0)))
    timed("write", lambda: assemble.write_tables(folder / "stages.parquet", iter(tables), "parquet", {}))
    total = sum(spent.values())
    print(f"{len(recordings)} scenes, {len(found)} questions asked, {len(items)} with {config.distractors} options")
    print(f"{'stage':26} {'us a question':>14} {'share':>6}")
    for name, seconds in spent.items():
        print(f"{name:26} {1e6 * seconds / len(found):14.1f} {seconds / total:6.0%}")
    print(f"{'all':26} {1e6 * total / len(found):14.1f} {len(found) / total:6.0f} questions asked a second and core")
    if items:
        print(f"{'':41} {len(items) / total:6.0f} questions of the set a second and core", flush=True)


def whole(recordings: list[Recording], config: SetConfig, folder: Path) -> None:
    """Prints rate and memory of a whole run with one worker."""
    process, told, most = psutil.Process(), [], [0.0, 0.0]

    def seen(stage: str, done: int, total: int) -> None:
        memory = [p.memory_info().rss / 1e6 for p in (process, *_workers(process))]
        most[:] = max(most[0], memory[0]), max(most[1], *memory[1:], 0.0)
        if stage == "asking" and done >= len(told) * total / 10:
            told.append(f"{done}: {' + '.join(f'{m:.0f}' for m in memory)}")

    start = time.perf_counter()
    with LocalEngine(1) as engine:
        report = make_questions(recordings, folder / "set.parquet", config, engine, seen=seen)
    seconds = time.perf_counter() - start
    print(f"\n{report['scenes']} scenes in {seconds:.0f} s: {report['asked'] / seconds:.0f} questions asked a second")
    print(f"MB (this process + worker) after so many scenes: {', '.join(told)}")
    print(f"at most {most[0]:.0f} + {most[1]:.0f} MB; {report['questions']} questions in the file")


def _workers(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children() if "spawn_main" in " ".join(child.cmdline())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=40, help="different scenes")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each")
    parser.add_argument("--reads", type=int, default=400, help="recordings of a whole run, links to the rooms")
    parser.add_argument("--per-scene", type=int, default=40)
    parser.add_argument("--style", choices=STYLES, default="dsr")
    parser.add_argument("--distractors", choices=DISTRACTORS, default="physical")
    parser.add_argument("--filter", action="store_true", help="thin out guessable groups, too")
    args = parser.parse_args()
    asked = QaConfig(per_scene=args.per_scene, style=args.style)
    config = SetConfig(asked, distractors=args.distractors, filter=args.filter)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recordings = save_rooms(folder, args.rooms, args.seconds, max(args.reads, args.rooms))
        stages(recordings[: args.rooms], config, folder)
        whole(recordings, config, folder)


if __name__ == "__main__":
    main()
