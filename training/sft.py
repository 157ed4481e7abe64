"""Supervised fine-tuning: a run on one page.

    dsr train sft CONFIG [key=value …]
    accelerate launch -m training.sft CONFIG [key=value …]

A step sees the same rows in the same micro-batches with the same random numbers whoever computes them: one process or
several, in one go or after a break. So there is no state of generators and loaders to save, and curves agree.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, gather_object
from tqdm import tqdm

from dsr_core.errors import DsrError
from dsr_core.vlm.faults import Faults
from dsr_core.vlm.model import GeometryVLM
from dsr_core.vlm.values import Asked
from training.batches import Plan, rate
from training.config import TrainConfig, load_config
from training.data import Data, make_data, unbounded
from training.evaluation import CONTROLS, Counts, evaluate
from training.feed import Feed, MicroBatch
from training.model import (
    groups,
    make_model,
    optimizer_state,
    set_optimizer_state,
    set_trained,
    set_weights,
    weights_of,
)
from training.report import Report
from training.run_folder import MODEL, RunFolder, differing
from training.settings import TrainingError
from training.stop import Stop

log = logging.getLogger(__name__)
#: Rows on which the change that fresh geometry makes is measured.
_TRIED = 4


@dataclass
class Result:
    """What a run has come to.

    Attributes:
        finished: Whether all steps are done; else it was stopped, and the same call goes on.
        steps: How many are done. model: Trained, in evaluation mode.
        told: What stands in result.json. faults: Rows that were left out.
    """

    finished: bool
    steps: int
    model: GeometryVLM
    told: dict
    faults: Faults


def train(config: TrainConfig, model: GeometryVLM | None = None, progress: bool = False) -> Result:
    """Trains a model, or goes on training it where a run in `config.out` was stopped.

    Args:
        config: All settings. model: What is trained in place of `config.base`. progress: Shows bars on stderr.

    Raises:
        DsrError: it cannot begin or go on, no row can be used, or the loss is no number; checkpoints stay.
    """
    accelerator = Accelerator(mixed_precision="no")
    main, processes = accelerator.is_main_process, accelerator.num_processes
    if config.batch.micro_batches % processes:
        raise TrainingError(
            f"batch.micro_batches = {config.batch.micro_batches} cannot be shared by {processes} processes"
        )
    torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
    folder = RunFolder(config.out, config.keep)
    if main:
        folder.claim()
    try:
        with Stop(config.stop_after) as stop:
            # What is trained, and what it learns from.
            model = make_model(config) if model is None else model
            set_trained(model, config)
            with accelerator.main_process_first():  # the others find in the cache what one has put there
                data = make_data(config, model, progress and main)
            table = data.rows.faults.table(data.rows.total)
            if main and table:
                log.warning("%s", table)
            if not len(data.rows):
                raise TrainingError(f"not one row can be used\n{table}")
            plan = Plan(data.lengths, config.batch, config.epochs, config.steps, config.seed)
            o = config.optimizer
            # A fifth of the time for a small model's many tensors on a CPU; not tried on a GPU.
            fused = accelerator.device.type == "cpu"
            optimizer = torch.optim.AdamW(groups(model, o), betas=tuple(o.betas), eps=o.eps, fused=fused)
            wrapped, optimizer = accelerator.prepare(model, optimizer)
            run = _Run(config, accelerator, folder, data, plan, wrapped, optimizer)
            first = run.resume()
            report = Report(folder, config, data, plan, accelerator, first)
            feed = Feed(
                plan, data.rows, model.inputs, config.max_tokens, config.batch.micro_batches,
                accelerator.process_index, processes, config.data.workers, accelerator.device,
            )  # fmt: skip

            if not first:
                report.begun(run.change_at_start())

            # The loop.
            done, evaluated = first, None
            bar = tqdm(total=plan.steps, initial=first, unit="step", disable=not (progress and main))
            for step, part in feed.steps(first):
                try:
                    line = run.step(step, part)
                except torch.OutOfMemoryError:
                    raise TrainingError(_too_large(step, part)) from None
                done = step + 1
                report.step(done, line, bar)
                stopped = run.anyone(stop.now(done - first))
                if stopped or done == plan.steps or done % config.save_every == 0:
                    run.save(done, report.tokens)
                if stopped and done < plan.steps:
                    break
                every = config.evaluation.every
                if every and done % every == 0 and done < plan.steps:
                    report.evaluated(done, run.evaluate(progress))
            bar.close()

            # The end.
            finished = done == plan.steps
            if finished and not report.tokens:
                raise TrainingError(f"not one row could be used\n{run.faults().table(data.rows.total)}")
            if finished:
                evaluated = run.evaluate(progress)
                report.evaluated(done, evaluated)
            faults = run.faults()
            run.export()
            told = report.end(done, finished, evaluated, faults)
            return Result(finished, done, accelerator.unwrap_model(wrapped).eval(), told, faults)
    finally:
        folder.release()
        accelerator.free_memory()


class _Run:
    """A run under way: what a step, a checkpoint and an evaluation need."""

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        folder: RunFolder,
        data: Data,
        plan: Plan,
        model: torch.nn.Module,
        optimizer,
    ):
        self.config, self.accelerator, self.folder, self.data, self.plan = config, accelerator, folder, data, plan
        self.model, self.optimizer = model, optimizer
        self.bare: GeometryVLM = accelerator.unwrap_model(model)
        self._sharded = accelerator.distributed_type == DistributedType.FSDP
        self._trained = [p for group in optimizer.param_groups for p in group["params"]]
        idle = Asked("?", ("a", "b"), answer_index=0)
        #: Computed with weight zero by a process that has no rows: all processes must do the same collective steps.
        self._idle = self.bare.inputs([idle], [self.bare.inputs.prompt.true_reply(idle)])

    def step(self, step: int, part: Sequence[MicroBatch]) -> dict | None:
        """One step of the optimiser; what is to be logged, None where no row of the step could be used.

        The loss is the mean over all reply tokens of the step, whichever process and micro-batch they are in.
        """
        config, accelerator = self.config, self.accelerator
        share = rate(step, self.plan.steps, config.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * share
        rows = sum(len(micro.keys) for micro in part)
        counts = self._sum(sum(m.reply_tokens for m in part), sum(m.tokens for m in part), rows)
        learned, tokens, rows = (int(n) for n in counts)
        if not learned:
            return None
        self.model.train()
        losses = {}
        for micro in part:
            torch.manual_seed(_seed(config.seed, micro.number))
            together = nullcontext() if micro is part[-1] else accelerator.no_sync(self.model)
            batch = self._idle if micro.batch is None else micro.batch
            with together:
                with self._computing():
                    loss = self.model(batch).loss * (micro.reply_tokens / learned)
                # Gradients of processes are averaged; their losses are parts of a sum.
                accelerator.backward(loss * accelerator.num_processes)
            losses[micro.number] = loss.detach()
        (total,) = self._sum(float(sum(losses.values())))
        norm = float(accelerator.clip_grad_norm_(self._trained, config.optimizer.clip))
        if not np.isfinite([total, norm]).all():
            self._diverged(step, total, norm, [m for m in part if not losses[m.number].isfinite()] or part)
        self.optimizer.step()
        self.optimizer.zero_grad()
        rates = {group["name"]: group["lr"] for group in self.optimizer.param_groups}
        return {
            "loss": total,
            "lr": rates.get("base"),
            "geometry_lr": rates.get("geometry"),
            "gradient": norm,
            "reply_tokens": learned,
            "tokens": tokens,
            "rows": rows,
        }

    def change_at_start(self) -> float | None:
        """Largest change that geometry makes to a logit of some rows before anything is learned; None without any.

        Inserted tokens shift attention even where they are small: this says by how much.
        """
        if self.bare.geometry is None:
            return None
        inputs, tried = unbounded(self.bare.inputs), range(min(_TRIED, len(self.data.rows)))
        asked = [one for one in self.data.rows.usable(tried) if inputs.length(one) <= self.config.max_tokens]
        return max((self.bare.change_at_start([one]) for one in asked), default=None)

    # --- checkpoints

    def resume(self) -> int:
        """Goes on where a run has stopped; how many steps are done.

        Raises:
            TrainingError: that run had other settings or other rows.
        """
        config, main = self.config, self.accelerator.is_main_process
        if not config.resume and main:
            self.folder.clear()
        self.accelerator.wait_for_everyone()
        found = self.folder.checkpoints
        if not found:
            if main:
                self.folder.clear()
                self.folder.write_config(config)
            self.accelerator.wait_for_everyone()
            return 0
        weights, optimizer, state = self.folder.load(found[-1])
        if changed := differing(state["settings"], self._settings()):
            raise TrainingError(
                f"{self.folder.path} holds a run with other settings: {'; '.join(changed[:5])}. Give another out, or"
                " begin anew with resume=false"
            )
        set_weights(self.model, weights)
        set_optimizer_state(self.model, self.optimizer.optimizer, optimizer)
        if main:
            self.folder.cut_log(state["step"])
            self.folder.write_config(config)
        self.accelerator.wait_for_everyone()
        return state["step"]

    def save(self, done: int, tokens: int) -> None:
        """Writes a checkpoint: what is trained, the optimiser, and how far the run is."""
        if self.accelerator.is_main_process or self._sharded:
            weights, optimizer = weights_of(self.model), optimizer_state(self.model, self.optimizer.optimizer)
        if self.accelerator.is_main_process:
            self.folder.save(done, weights, optimizer, {"settings": self._settings(), "tokens": tokens})
        self.accelerator.wait_for_everyone()

    def export(self) -> None:
        """Writes the model as `GeometryVLM.load` reads it."""
        weights = weights_of(self.model) if self._sharded else None
        if self.accelerator.is_main_process:
            model = self.bare
            if self._sharded:
                model = make_model(self.config)
                set_trained(model, self.config)
                set_weights(model, weights)
            named = getattr(model.core.config, "_name_or_path", "")
            model.save(self.folder / MODEL, whole=self.config.trains == "full" or not named)
        self.accelerator.wait_for_everyone()

    def _settings(self) -> dict:
        return {**self.config.decisive(), "rows": self.data.fingerprint, "steps in all": self.plan.steps}

    # --- evaluation and reports

    def evaluate(self, progress: bool) -> dict | None:
        """Asks the held-out set; None where there is none."""
        held_out, config, accelerator = self.data.held_out, self.config.evaluation, self.accelerator
        if held_out is None:
            return None
        part = (accelerator.process_index, accelerator.num_processes)
        gathered = _gathered
        if self._sharded:  # all processes must do the same steps: each asks everything
            part, gathered = (0, 1), lambda counts: [counts]
        controls = () if self.config.blind or not config.controls else CONTROLS
        shown = progress and accelerator.is_main_process
        bar = tqdm(total=len(held_out), desc="held-out", unit="row", leave=False, disable=not shown)
        with bar, self._computing():
            return evaluate(self.bare, held_out, config.batch, controls, part, gathered, bar.update)

    def faults(self) -> Faults:
        """Rows that any process has left out, of both sets."""
        out = Faults()
        for questions in (self.data.rows, self.data.held_out):
            if questions is not None:
                questions.tell_repaired()
                for faults in gather_object([questions.faults]):
                    out.merge(faults)
        return out

    def anyone(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        return self._sum(float(flag))[0] > 0

    # --- parts of a step

    def _computing(self):
        if self.config.trains == "full" and self.config.dtype == "bfloat16":
            return torch.autocast(self.accelerator.device.type, torch.bfloat16)
        return nullcontext()

    def _sum(self, *values: float) -> list[float]:
        told = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        return self.accelerator.reduce(told, "sum").tolist()

    def _diverged(self, step: int, loss: float, norm: float, suspects: Sequence[MicroBatch]) -> None:
        keys = sorted({key for keys in gather_object([[k for m in suspects for k in m.keys]]) for key in keys})
        kept = self.folder.checkpoints
        raise TrainingError(
            f"step {step + 1}: the loss is {loss} and its gradient {norm}, no numbers to go on with; rows:"
            f" {', '.join(keys[:8])}{' …' if len(keys) > 8 else ''}. Look at these rows, or lower the learning rates;"
            f" {f'the last good checkpoint is {kept[-1]}' if kept else 'there is no checkpoint yet'}"
        )


def _too_large(step: int, part: Sequence[MicroBatch]) -> str:
    sizes = ", ".join(f"{tuple(m.batch['input_ids'].shape)}" for m in part if m.batch is not None)
    return (
        f"step {step + 1}: too little memory for micro-batches of {sizes} rows and tokens; give"
        " gradient_checkpointing=true, a smaller batch.tokens, or fewer or smaller frames"
    )


def _seed(seed: int, number: int) -> int:
    """Of the random numbers of a micro-batch."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> 1)


def _gathered(counts: dict[str, Counts]) -> list[dict[str, Counts]]:
    return gather_object([counts])


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m training.sft CONFIG [key=value …]`, under `accelerate launch` too; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0].startswith("-"):
        print(__doc__)
        return 2
    try:
        result = train(load_config(words[0], words[1:]), progress=sys.stderr.isatty())
    except DsrError as error:
        print(f"training.sft: {error}", file=sys.stderr)
        return 2
    return 0 if result.finished else 130


if __name__ == "__main__":
    sys.exit(main())
