"""What a run tells while it lasts and when it ends: log, bar, tensorboard, picture, result."""

from __future__ import annotations

import logging
import platform
import resource
import sys
import time
from collections import deque
from importlib import metadata
from pathlib import Path

import torch

from dsr_core.bench.result import sha256_of
from dsr_core.errors import DependencyError
from dsr_core.vlm.faults import Faults
from training import curves
from training.batches import Plan
from training.config import TrainConfig
from training.data import Data
from training.run_folder import PLOT, RunFolder

FORMAT = 1
log = logging.getLogger(__name__)
#: Steps whose mean is told on the bar and in the result.
_RECENT = 20
_PACKAGES = ("dsr_ros", "torch", "transformers", "peft", "accelerate", "numpy")


class Report:
    """Tells how a run goes; only one process of it writes.

    Args:
        folder: Of the run. config: Its settings. data, plan: What it works on.
        accelerator: Tells who writes. first: Steps that were done before.
    """

    def __init__(self, folder: RunFolder, config: TrainConfig, data: Data, plan: Plan, accelerator, first: int):
        self._folder, self._config, self._data, self._plan = folder, config, data, plan
        self._accelerator, self._writes = accelerator, accelerator.is_main_process
        before = [line for line in folder.lines() if "loss" in line]
        self.tokens = before[-1]["tokens_seen"] if before else 0
        self._seconds = before[-1]["seconds"] if before else 0.0
        self._first, self._begun = first, time.monotonic()
        self._recent: deque[tuple[float, int]] = deque([(time.monotonic(), self.tokens)], maxlen=_RECENT + 1)
        self._board = self._tensorboard() if config.tensorboard and self._writes else None

    def begun(self, change: float | None) -> None:
        """Before the first step: how much geometry that has learned nothing changes a logit."""
        if change is not None and self._writes:
            log.info("geometry that has learned nothing changes a logit by %.3g at most", change)
            self._folder.log({"step": 0, "logit_change_at_start": change})

    def step(self, done: int, line: dict | None, bar) -> None:
        """After each step; `line` is None where none of its rows could be used."""
        if line is None:
            bar.update(1)
            log.warning("step %d: not one of its rows could be used; it was passed over", done)
            return
        self.tokens += line["tokens"]
        now = time.monotonic()
        self._recent.append((now, self.tokens))
        speed = (self.tokens - self._recent[0][1]) / max(now - self._recent[0][0], 1e-9)
        told = {
            "step": done,
            "epoch": round(self._plan.epochs_at(done), 4),
            **line,
            "tokens_seen": self.tokens,
            "tokens_per_s": round(speed, 1),
            "memory_gb": round(memory_gb(self._accelerator.device), 3),
            "seconds": round(self._seconds + now - self._begun, 3),
        }
        left_out = {"left out": len(self._data.rows.faults)} if len(self._data.rows.faults) else {}
        bar.set_postfix(
            {"loss": f"{line['loss']:.3f}", "tok/s": f"{speed:.0f}", "GB": f"{told['memory_gb']:.1f}", **left_out},
            refresh=False,
        )
        bar.update(1)
        if self._writes and (done % self._config.log_every == 0 or done == self._plan.steps):
            self._folder.log(told)
            for name in ("loss", "lr", "geometry_lr", "gradient", "tokens_per_s", "memory_gb", "epoch"):
                self._scalar(f"train/{name}", told[name], done)

    def evaluated(self, done: int, found: dict | None) -> None:
        """After an evaluation."""
        if found is None or not self._writes:
            return
        self._folder.log({"step": done, "evaluation": found})
        self._scalar("held_out/accuracy", found["accuracy"], done)
        for name, part in found.items():
            if isinstance(part, dict) and "accuracy" in part:
                self._scalar(f"held_out/{name}", part["accuracy"], done)

    def end(self, done: int, finished: bool, evaluated: dict | None, faults: Faults) -> dict:
        """When the run ends or is stopped: picture and result.

        Returns:
            What stands in result.json.
        """
        lines = list(self._folder.lines())
        losses = [line["loss"] for line in lines if "loss" in line]
        config, device = self._config, self._accelerator.device
        sets = [self._data.rows] + ([self._data.held_out] if self._data.held_out is not None else [])
        told = {
            "format": FORMAT,
            "finished": finished,
            "steps": done,
            "steps_in_all": self._plan.steps,
            "loss": sum(losses[-_RECENT:]) / len(losses[-_RECENT:]) if losses else None,
            "logit_change_at_start": next((x["logit_change_at_start"] for x in lines if x["step"] == 0), None),
            "tokens": self.tokens,
            "seconds": round(self._seconds + time.monotonic() - self._begun, 1),
            "memory_gb": round(memory_gb(device), 3),
            "evaluation": evaluated,
            "rows": {"train": len(self._data.rows), "held_out": len(sets[1]) if len(sets) > 1 else 0},
            "left_out": faults.to_dict(),
            "settings": config.to_dict(),
            "data_sha256": {p: sha256_of(Path(p).expanduser()) for p in (*config.data.train, *config.data.held_out)},
            "processes": self._accelerator.num_processes,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
            "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        }
        if self._writes:
            self._folder.write_result(told)
            if losses:
                try:
                    curves.plot(lines, self._folder / PLOT, self._folder.path.name)
                except DependencyError as error:
                    log.warning("%s", error)
            if table := faults.table(sum(questions.total for questions in sets)):
                log.warning("%s", table)
            if self._board is not None:
                self._board.close()
        return told

    def _scalar(self, name: str, value: float | None, done: int) -> None:
        if self._board is not None and value is not None:
            self._board.add_scalar(name, value, done)

    def _tensorboard(self):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            log.warning("tensorboard is not installed, so nothing is written for it: pip install tensorboard")
            return None
        return SummaryWriter(str(self._folder / "tensorboard"), purge_step=self._first + 1)


def memory_gb(device: torch.device) -> float:
    """Most memory that was taken so far, in 1e9 bytes: of the accelerator, or of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    # Linux counts kilobytes, macOS bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
