"""The folder of a run: its settings, log, checkpoints and result, each written whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dsr_core.files import whole_file
from training.config import TrainConfig
from training.settings import TrainingError

CONFIG, LOG, RESULT, PLOT, MODEL = "config.yaml", "log.jsonl", "result.json", "loss.png", "model"
_CHECKPOINTS, _STEP = "checkpoints", "step-"
_WEIGHTS, _OPTIMIZER, _STATE = "trained.safetensors", "optimizer.pt", "state.json"


class RunFolder:
    """Where a run keeps what it does.

    Args:
        path: The folder; it is made. keep: Checkpoints kept.
    """

    def __init__(self, path: str | Path, keep: int = 2):
        self.path, self._keep = Path(path).expanduser(), keep
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = None

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def claim(self) -> None:
        """Keeps other runs out until `release`, and clears what a killed one has left half done.

        Raises:
            TrainingError: another run works in it.
        """
        self._lock = open(self.path / "lock", "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise TrainingError(f"{self.path} is in use by another run; wait for it, or give another out") from None
        for part in (self.path / _CHECKPOINTS).glob(".*"):
            shutil.rmtree(part)

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def clear(self) -> None:
        """Removes what a run has written."""
        for name in (CONFIG, LOG, RESULT, PLOT):
            (self.path / name).unlink(missing_ok=True)
        for name in (_CHECKPOINTS, MODEL, "tensorboard"):
            shutil.rmtree(self.path / name, ignore_errors=True)

    # --- checkpoints

    @property
    def checkpoints(self) -> list[Path]:
        """Whole checkpoints, the newest last."""
        return sorted(p for p in (self.path / _CHECKPOINTS).glob(f"{_STEP}*") if p.is_dir())

    def save(self, step: int, weights: Mapping[str, Tensor], optimizer: Mapping, state: Mapping) -> Path:
        """A checkpoint after `step` steps; older ones than are kept go.

        Args:
            step: How many steps are done. weights: What is trained, by name. optimizer: Its tensors by the same names.
            state: What else is to be known, as JSON.
        """
        path = self.path / _CHECKPOINTS / f"{_STEP}{step:08d}"
        partial = path.with_name(f".{path.name}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file(dict(weights), partial / _WEIGHTS)
        torch.save(dict(optimizer), partial / _OPTIMIZER)
        (partial / _STATE).write_text(json.dumps({"step": step, **state}, indent=1), encoding="utf-8")
        for file in partial.iterdir():
            _flush(file)
        shutil.rmtree(path, ignore_errors=True)
        os.rename(partial, path)
        for old in self.checkpoints[: -self._keep]:
            shutil.rmtree(old, ignore_errors=True)
        return path

    @staticmethod
    def load(path: Path) -> tuple[dict[str, Tensor], dict, dict]:
        """Weights, optimiser and state of a checkpoint.

        Raises:
            TrainingError: it cannot be read.
        """
        try:
            state = json.loads((path / _STATE).read_text(encoding="utf-8"))
            optimizer = torch.load(path / _OPTIMIZER, map_location="cpu", weights_only=True)
            return load_file(path / _WEIGHTS), optimizer, state
        except Exception as error:
            raise TrainingError(
                f"the checkpoint {path} cannot be read ({type(error).__name__}: {error}); remove it to go on from the"
                " one before, or begin anew with resume=false"
            ) from error

    # --- the log

    def log(self, line: Mapping) -> None:
        """Appends a line to the log."""
        with open(self.path / LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def lines(self) -> Iterator[dict]:
        """The log's lines; one that a killed run has left half written is not among them."""
        path = self.path / LOG
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def cut_log(self, step: int) -> None:
        """Removes what was logged after `step` steps were done."""
        kept = [line for line in self.lines() if line["step"] <= step]
        with whole_file(self.path / LOG) as partial:
            partial.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def write_result(self, result: Mapping) -> None:
        with whole_file(self.path / RESULT) as partial:
            partial.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def write_config(self, config: TrainConfig) -> None:
        with whole_file(self.path / CONFIG) as partial:
            config.save(partial)


def differing(before: Mapping, now: Mapping) -> list[str]:
    """Names of settings that are not the same, with both values."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name} = {before.get(name)!r} then, {now.get(name)!r} now" for name in names]


def _flush(path: Path) -> None:
    """Brings a file to the disk, so that a checkpoint's name never stands for less than all of it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
