"""Small runs of training: scenes, question sets, a tiny base, and processes that train together or are killed."""

from __future__ import annotations

import multiprocessing
import os
import socket
from pathlib import Path

from tests.qa_sets import made, save_scenes
from training.config import TrainConfig, load_config


def make_sets(folder: Path) -> Path:
    """folder/train.parquet and test.parquet of different scenes, all of them in folder/scenes."""
    (folder / "scenes").mkdir(parents=True)
    recordings = save_scenes(folder / "all", 5)
    for name, some in (("train", recordings[:3]), ("test", recordings[3:])):
        made(some, folder / f"{name}.parquet")
    for recording in recordings:
        os.link(recording.path, folder / "scenes" / Path(recording.path).name)
    return folder


def config(folder: Path, out: Path, *words: str) -> TrainConfig:
    """The configuration `tiny` on the sets of `make_sets`, with the base folder/base."""
    return load_config(
        "tiny",
        [
            f"base={folder / 'base'}", f"data.train=[{folder / 'train.parquet'}]", f"data.scenes={folder / 'scenes'}",
            f"data.cache={folder / 'cache'}", f"out={out}", "data.workers=0", "tensorboard=false",
            "batch.rows=4", "steps=6", "save_every=3", *words,
        ],
    )  # fmt: skip


def forked(target, count: int = 1) -> list[int]:
    """Runs `target(number)` in processes that know of each other as torch's launcher tells them; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(number: int) -> None:
        from accelerate.state import AcceleratorState, GradientState, PartialState

        for state in (AcceleratorState, GradientState, PartialState):
            state._reset_state()
        if count > 1:
            told = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
            told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in told.items()})
        os.environ["ACCELERATE_USE_CPU"] = "true"
        target(number)

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=run, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes]


def losses(out: Path) -> dict[int, float]:
    """Step -> loss of a run's log."""
    import json

    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    found = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    assert len(dict(found)) == len(found), "a step is logged twice"
    return dict(found)
