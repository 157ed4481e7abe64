"""Runs a model on a benchmark. Replies are on disk as they come; a run that was killed goes on where it was.

Replies are kept raw and read anew whenever a result is made, so that a better parser needs no new replies, and so that
a run in two parts gives the same result file as a run in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dsr_core.bench.extract import PARSER_VERSION
from dsr_core.bench.frames import FramePolicy, MissingVideoError, clip_of
from dsr_core.bench.models.base import Decoding, Model, ModelStopped, NoReply, Request, Said
from dsr_core.bench.prompts import Prompt
from dsr_core.bench.result import REPLIES_FILE, Result, sha256_of
from dsr_core.bench.row import BenchError, Row
from dsr_core.bench.task import Task
from dsr_core.qa.asking.journal import Journal
from dsr_core.qa.files.rescale import rescale_boxes

#: What a model is shown: name on the command line -> order of the frames.
VIEWS = {"normal": "ordered", "blind": "none", "shuffled": "shuffled", "first": "first", "reversed": "reversed"}
NO_VIDEO = "the video is not there or cannot be decoded"
_NOT_YET = "not asked yet"
#: "1fps" takes at most so many frames.
_MOST_FRAMES_BY_RATE = 128


@dataclass(frozen=True)
class Plan:
    """What is asked, and how.

    Attributes:
        task: The benchmark. data: Its file or folder. rows: The rows of it that are asked.
        of_rows: How many rows the file has.
        prompt: The words. decoding: How replies are written. frames: What is shown.
        videos: Folder of the videos, or None.
    """

    task: Task
    data: Path
    rows: Sequence[Row]
    of_rows: int
    prompt: Prompt
    decoding: Decoding
    frames: FramePolicy
    videos: Path | None = None

    def settings(self, model: Model) -> dict:
        """What replies depend on. The version of the parser is not of it."""
        told = self.task.provenance(self.prompt, self.frames)
        told |= {"max_tokens": self.decoding.max_tokens, "temperature": self.decoding.temperature}
        del told["parser_version"]
        if not model.sees:  # then neither words nor frames of ours reached it
            told |= dict.fromkeys(("prompt", "prompt_version", "max_tokens", "temperature", "frames"))
        data = {"file": self.data.name, "sha256": sha256_of(self.data), "rows": self.of_rows}
        return {**told, "data": data, "model": {**model.settings(), "sees": model.sees}}


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        result: Its result so far.
        unfinished: Rows that another run may get replies to.
        stopped: Why no more was asked, or "".
        spent: What this run has cost, in words.
        replies: Row key -> what is kept beside its reply.
    """

    result: Result
    unfinished: int
    stopped: str
    spent: str
    replies: dict[str, dict]


def make_plan(
    task: Task,
    data: str | Path,
    videos: str | Path | None = None,
    limit: int | None = None,
    frames: str | None = None,
    view: str = "normal",
    hide_future: bool | None = None,
    prompt: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
) -> Plan:
    """A plan from what the command line says; None is the benchmark's own way.

    Args:
        task: The benchmark.
        data: Its file or folder.
        videos: Folder of the videos.
        limit: Only the first so many rows.
        frames: A count ("32"), or a rate ("1fps").
        view: One of `VIEWS`.
        hide_future: Whether prediction questions hide what comes after.
        prompt: Name of one of the task's prompts.
        temperature, max_tokens: In place of the prompt's.
        seed: Of shuffled frames.

    Raises:
        DsrError: a value cannot be used, or the data cannot be read.
    """
    if view not in VIEWS:
        raise BenchError(f"there is no view {view!r}; give one of {', '.join(VIEWS)}")
    if limit is not None and limit < 1:
        raise BenchError(f"limit = {limit} must be at least 1")
    if videos is not None and not Path(videos).is_dir():
        raise BenchError(f"there is no folder of videos {videos}")
    policy = replace(task.frames, order=VIEWS[view], seed=seed)
    policy = policy if frames is None else _with_frames(policy, frames)
    policy = policy if hide_future is None else replace(policy, hide_future=hide_future)
    words = task.prompt(prompt)
    decoding = Decoding(
        words.temperature if temperature is None else temperature,
        words.max_tokens if max_tokens is None else max_tokens,
    )
    rows = task.read(Path(data))
    return Plan(
        task,
        Path(data),
        rows[:limit],
        len(rows),
        words,
        decoding,
        policy,
        None if videos is None else Path(videos),
    )


def _with_frames(policy: FramePolicy, frames: str) -> FramePolicy:
    text = frames.strip().lower()
    try:
        if text.endswith("fps"):
            return replace(policy, kind="rate", rate_hz=float(text[:-3]), count=_MOST_FRAMES_BY_RATE)
        return replace(policy, count=int(text))
    except ValueError:
        raise BenchError(f"frames = {frames!r} is neither a count (32) nor a rate (1fps)") from None


def run(
    plan: Plan, model: Model, out: str | Path, resume: bool = True, told: Callable[[str], None] | None = None
) -> Ended:
    """Asks a model every row that has no reply yet, and scores all.

    Args:
        plan: What is asked. model: Whom.
        out: Folder of replies.jsonl and result.json; both are written here.
        resume: Go on with the replies that are there; False begins anew.
        told: Called with what was spent so far after every row.

    Raises:
        BenchError: frames are wanted and there is no folder of videos.
        QaError: the folder is in use, or holds replies that came about with other settings; the message tells which.
    """
    told = told or (lambda spent: None)
    if model.sees and plan.frames.order != "none" and plan.videos is None:
        raise BenchError("the model is shown frames: give --videos DIR, or --view blind to ask it without")
    settings, stopped = plan.settings(model), ""
    no_replies: dict[str, NoReply] = {}
    replies: dict[str, dict] = {}
    with Journal(Path(out) / REPLIES_FILE, settings, resume) as journal:
        for row in plan.rows:
            if row.key in journal:
                told(model.spent())
        try:
            for row, reply in _asked(plan, model, journal):
                if isinstance(reply, NoReply):
                    no_replies[row.key] = reply
                else:
                    journal.write(row.key, _entry(plan.task, row, reply))
                told(model.spent())
        except ModelStopped as error:
            stopped = str(error)
        for row in plan.rows:
            if row.key in journal:
                replies[row.key] = journal[row.key]
    result = _result(plan, settings, replies, no_replies)
    result.save(out)
    unfinished = sum(row.key not in replies and _again(no_replies.get(row.key)) for row in plan.rows)
    return Ended(result, unfinished, stopped, model.spent(), replies)


def _again(reply: NoReply | None) -> bool:
    return reply is None or reply.again


def _asked(plan: Plan, model: Model, journal: Journal) -> Iterator[tuple[Row, Said | NoReply]]:
    """Rows with their replies as they come. Batches are always the same rows, so that a run in two parts asks the same;
    a few are in flight at a time."""
    rows, size = plan.rows, model.batch_size
    batches = (rows[at : at + size] for at in range(0, len(rows), size))
    waiting = (batch for batch in batches if any(row.key not in journal for row in batch))
    flying: dict[Future, Sequence[Row]] = {}
    stopped: ModelStopped | None = None
    pool = ThreadPoolExecutor(model.workers, thread_name_prefix="bench")
    try:
        while True:
            while stopped is None and len(flying) < model.workers:
                batch = next(waiting, None)
                if batch is None:
                    break
                done = frozenset(row.key for row in batch if row.key in journal)
                flying[pool.submit(_answered, plan, model, batch, done)] = batch
            if not flying:
                break
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                del flying[future]
                try:
                    yield from future.result()
                except ModelStopped as error:  # what is in flight may still bring replies
                    stopped = stopped or error
    finally:
        model.stop()
        pool.shutdown(cancel_futures=True)
    if stopped is not None:
        raise stopped


def _answered(plan: Plan, model: Model, batch: Sequence[Row], done: frozenset[str]) -> list[tuple[Row, Said | NoReply]]:
    """Rows of a batch that are not done, with their replies; those without a video have none."""
    made = {row.key: _request(plan, model, row) for row in batch if row.key not in done}
    if any(isinstance(one, Request) for one in made.values()):
        # What a network says to a row depends, in its last digits, on what stands beside it.
        made |= {row.key: _request(plan, model, row) for row in batch if row.key in done}
        requests = [made[row.key] for row in batch if isinstance(made[row.key], Request)]
        replies = iter(model.replies(requests, plan.decoding))
        made |= {request.row.key: reply for request, reply in zip(requests, replies, strict=True)}
    return [(row, made[row.key]) for row in batch if row.key not in done]


def _request(plan: Plan, model: Model, row: Row) -> Request | NoReply:
    if not model.sees or plan.frames.order == "none":
        return Request(row, plan.prompt.message(row))
    try:
        clip = clip_of(plan.videos, row, plan.frames)
        frames = clip.decode()
    except MissingVideoError as error:
        return NoReply(NO_VIDEO, detail=str(error))
    times_s = clip.times_s[: len(frames)]
    return Request(row, plan.prompt.message(_for_frames(row, frames), times_s), frames, times_s)


def _for_frames(row: Row, frames: Sequence[np.ndarray]) -> Row:
    """The row with its boxes in pixels of the frames."""
    if row.image_size is None or not frames:
        return row
    sizes = row.image_size, frames[0].shape[1::-1]
    choices = {letter: rescale_boxes(text, *sizes) for letter, text in (row.choices or {}).items()}
    return replace(row, question=rescale_boxes(row.question, *sizes), choices=choices or None)


def _entry(task: Task, row: Row, reply: Said) -> dict:
    outcome = task.outcome(row, reply.text)
    return {
        "reply": reply.text,
        "parsed": outcome.parsed,
        "status": outcome.status,
        "score": outcome.score,
        "answer": row.answer or row.number,
        "type": row.type,
        **reply.told,
    }


def _result(plan: Plan, settings: dict, replies: dict[str, dict], no_replies: dict[str, NoReply]) -> Result:
    outcomes = []
    for row in plan.rows:
        if row.key in replies:
            outcomes.append(plan.task.outcome(row, replies[row.key]["reply"]))
        else:
            missing = no_replies.get(row.key)
            outcomes.append(plan.task.outcome(row, None, _NOT_YET if missing is None else missing.why))
    scores = plan.task.aggregate(outcomes)
    scores = replace(scores, notes=(*_notes(plan, settings), *scores.notes))
    details = {key: missing.detail for key, missing in no_replies.items() if missing.detail}
    return Result({**settings, "parser_version": PARSER_VERSION}, scores, outcomes, details)


def _notes(plan: Plan, settings: dict) -> Iterator[str]:
    """What makes the numbers differ from published ones."""
    if len(plan.rows) < plan.of_rows:
        yield f"only the first {len(plan.rows)} of {plan.of_rows} rows were asked"
    elif plan.task.sizes:
        yield plan.task.about(plan.rows)
    sees = settings["model"]["sees"] and plan.frames.order != "none"
    if sees and plan.frames.hide_future and any(row.hide_from_s is not None for row in plan.rows):
        yield "predictions were not shown the future; published evaluators show it (--no-hide-future)"
