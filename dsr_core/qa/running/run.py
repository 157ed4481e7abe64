"""Recordings -> a question set in a file: the whole journey of `dsr qa` on one page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import dsr_core
from dsr_core.qa.config import QaConfig
from dsr_core.qa.curation.recordings import Recording
from dsr_core.qa.files.codec import head_of
from dsr_core.qa.files.columns import as_json
from dsr_core.qa.files.files import check_layout
from dsr_core.qa.item import QaError
from dsr_core.qa.options.options import DEFAULT, STYLES, OptionsConfig
from dsr_core.qa.running import assemble, blocks, shards, thinning
from dsr_core.qa.running.engine import Engine, Task
from dsr_core.qa.running.report import make_report, told_drops
from dsr_core.qa.running.shards import Shard
from dsr_core.qa.running.workfolder import Job, WorkFolder, digest
from dsr_core.scene import Scene

#: Told (stage, done, total) as a run goes on.
Seen = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SetConfig:
    """What a question set is like; with the recordings it gives the file, byte for byte.

    Attributes:
        asked: What is asked of a scene. seed: Of everything that is drawn.
        distractors: "physical" or "dsr". options: Of physical ones.
        filter: Whether groups are thinned out that blind attackers find easy (physical ones only).
        block: Options are found among about so many questions of neighbouring scenes.
        shuffled: Rows are shuffled among about so many.
    """

    asked: QaConfig = field(default_factory=QaConfig)
    seed: int = 0
    distractors: str = "physical"
    options: OptionsConfig = DEFAULT
    filter: bool = True
    block: int = blocks.SIZE
    shuffled: int = assemble.SHUFFLED

    def __post_init__(self):
        if self.distractors not in STYLES:
            raise QaError(f"distractors {self.distractors!r}; known: {', '.join(STYLES)}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise QaError(f"seed = {self.seed!r} must be a whole number of at least 0")
        for name in ("block", "shuffled"):
            if getattr(self, name) < 1:
                raise QaError(f"{name} = {getattr(self, name)!r} must be at least 1")

    @property
    def thinned(self) -> bool:
        return self.filter and self.distractors == "physical"

    def to_dict(self) -> dict:
        return {**asdict(self), "asked": self.asked.to_dict(), "filter": self.thinned}


def make_questions(
    recordings: Sequence[Recording],
    out: str | Path,
    config: SetConfig,
    engine: Engine,
    opener: Callable[[Recording], Scene] = shards.OpenRecording(),  # noqa: B008 (it holds no state)
    layout: str = "parquet",
    resume: bool = True,
    size: int = shards.SCENES,
    seen: Seen = lambda stage, done, total: None,
    extra: Sequence[bytes] = (),
) -> dict:
    """Makes a question set.

    Whatever is done is kept in a folder beside the output until the file is there; the same call goes on with it. The
    engine, the size of shards and how often the run was stopped make no difference to the file.

    Args:
        recordings: What is asked about, with names that differ (`recordings.expand`).
        out: The file. layout: As in `files.write_items`.
        config: What the set is like. engine: Who works.
        opener: Gives a recording's scene; picklable, with all its settings in its `repr`.
        resume: False begins anew. size: Saved scenes that are worked on in one go.
        seen: Told how far the run is.
        extra: More questions, of these recordings, as `blocks.write_block` gives them: they are mixed in as they are.

    Returns:
        The report, which is also written beside the output (`report_path`).

    Raises:
        QaError: no recording could be read, no question was left, or the output cannot be written.
    """
    out = Path(out)
    check_layout(out, layout)
    if not recordings:
        raise QaError("no recordings to ask about; give some")
    with WorkFolder(work_path(out), resume) as work:

        def read(keys: Sequence[str]) -> Callable[[int], bytes]:
            return lambda number: work.read(keys[number])

        asked, lost = _ask(shards.cut(recordings, config.asked, config.seed, opener, size), engine, work, seen)
        heads = [head_of(work.read(key)) for key in asked]
        failed = {name: why for head in heads for name, why in head["failed"].items()} | lost
        if not any(head["scenes"] for head in heads):
            work.discard()
            raise QaError(f"none of {len(recordings)} recordings could be asked about; {_first(failed)}")
        given = _options(read(asked), [head["scenes"] for head in heads], config, engine, work, seen)
        given_heads = [blocks.block_head(work.read(key)) for key in given]
        easy = _guessable(read(given), given_heads, config, engine, work, seen) if config.thinned else Easy()
        given_heads += map(blocks.block_head, extra)
        report = make_report(recordings, config, repr(opener), heads, failed, given_heads, easy)
        if extra:
            report["settings"]["extra"] = [blocks.block_head(data).get("settings") for data in extra]
        if not report["questions"]:
            raise QaError(f"of {report['asked']} questions none is left: {told_drops(report)}")
        seen("writing", 0, 1)

        def block(number: int) -> bytes:
            return work.read(given[number]) if number < len(given) else extra[number - len(given)]

        tables = assemble.shuffled(len(given) + len(extra), block, easy.groups, config.seed, config.shuffled)
        assemble.write_tables(out, tables, layout, report)
        assemble.write_report(report_path(out), report)
        seen("writing", 1, 1)
        work.discard()
    return report


def work_path(out: str | Path) -> Path:
    """The folder in which a run keeps what it has done."""
    return Path(f"{out}.work")


def report_path(out: str | Path) -> Path:
    """The report beside a question set."""
    return Path(out).with_suffix(".report.json")


def _ask(cut: list[Shard], engine: Engine, work: WorkFolder, seen: Seen) -> tuple[list[str], dict[str, str]]:
    """Keys of the shards whose questions were made, in order, and the recordings that ended every process."""
    total, done = sum(len(shard.recordings) for shard in cut), 0
    keyed = [(shard.key, shard) for shard in cut]

    def tell(job: Job) -> None:
        nonlocal done
        done += len(job.task.arguments[0].recordings)
        seen("asking", done, total)

    def jobs(some: list[tuple[str, Shard]]) -> Iterator[Job]:
        for number, (key, shard) in enumerate(some):
            yield Job(key, Task(shard.name, shards.ask_shard, (shard,)), number)

    lost = work.work_off(engine, jobs(keyed), tell)
    # Once more, each recording by itself: so the one that is to blame costs nobody else.
    singly = {number: [(one.key, one) for one in keyed[number][1].singly()] for number in lost}
    retried = [pair for some in singly.values() for pair in some]
    gone = work.work_off(engine, jobs(retried), tell)
    failed = {retried[number][1].name: f"twice {why.why}" for number, why in gone.items()}
    held = [pair for number, whole in enumerate(keyed) for pair in singly.get(number, [whole])]
    return [key for key, shard in held if shard.name not in failed], failed


def _options(
    read: Callable[[int], bytes], counts: list[dict], config: SetConfig, engine: Engine, work: WorkFolder, seen: Seen
) -> list[str]:
    """Keys of the blocks whose questions were given options, in order."""
    plan = blocks.plan(counts, config.block)
    rows = {"made_by": f"dsr_ros {dsr_core.__version__}", "seed": config.seed, "style": config.asked.style}
    settings = as_json([config.distractors, config.seed, rows, asdict(config.options), shards.code_digest()])
    keys = [""] * len(plan)

    def jobs() -> Iterator[Job]:
        for number, parts in enumerate(plan):
            some = [(read(part.shard), part.scenes) for part in parts]
            keys[number] = digest("options", settings, *(d for part in some for d in (part[0], as_json(part[1]))))
            arguments = some, config.distractors, config.seed, rows, config.options
            yield Job(keys[number], Task(f"options {number}", blocks.give_options, arguments), number)

    _all(work, engine, jobs, "options", len(plan), seen)
    return keys


@dataclass(frozen=True)
class Easy:
    """What the filter found: groups to drop, by type how many questions they are, and the attackers' rounds."""

    groups: frozenset[str] = frozenset()
    counts: dict[str, int] = field(default_factory=dict)
    rounds: tuple[dict, ...] = ()


def _guessable(
    read: Callable[[int], bytes], heads: list[dict], config: SetConfig, engine: Engine, work: WorkFolder, seen: Seen
) -> Easy:
    attacks = thinning.attacks([head["given"] for head in heads])
    keys = [""] * len(attacks)

    def jobs() -> Iterator[Job]:
        for number, attack in enumerate(attacks):
            texts = thinning.questions_of(attack, read)
            keys[number] = digest("filter", str(config.seed), shards.code_digest(), texts)
            task = Task(f"filter of {attack.type}", thinning.find_guessable, (texts, config.seed))
            yield Job(keys[number], task, number)

    _all(work, engine, jobs, "filter", len(attacks), seen)
    groups, counts, rounds = set(), Counter(), []
    for attack, key in zip(attacks, keys, strict=True):
        found = json.loads(work.read(key))
        groups.update(found["groups"])
        counts[attack.type] += found["dropped"]
        rounds += found["rounds"]
    return Easy(frozenset(groups), dict(counts), tuple(rounds))


def _all(
    work: WorkFolder, engine: Engine, jobs: Callable[[], Iterator[Job]], stage: str, total: int, seen: Seen
) -> None:
    """Works off what the set cannot do without; a second time where a process died."""
    done: set[int] = set()

    def tell(job: Job) -> None:
        done.add(job.number)
        seen(stage, len(done), total)

    if work.work_off(engine, jobs(), tell):
        lost = work.work_off(engine, jobs(), tell)
        if lost:
            why = next(iter(lost.values())).why
            raise QaError(
                f"{stage}: {why}, twice; is there enough memory? Fewer --workers need less; then run it again"
            )


def _first(failed: dict[str, str], count: int = 3) -> str:
    told = "; ".join(f"{name}: {why}" for name, why in list(failed.items())[:count])
    return told + (f"; and {len(failed) - count} more" if len(failed) > count else "")
