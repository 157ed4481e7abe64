"""The folder beside an output in which a run keeps what it has done, so that a killed one goes on where it was."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dsr_core.files import whole_file
from dsr_core.qa.item import QaError
from dsr_core.qa.running.engine import Engine, Lost, Task

_SUFFIX = ".part"


@dataclass(frozen=True)
class Job:
    """A task and what its result is kept under.

    Attributes:
        key: Of all that the result depends on. task: The task.
        number: Whatever the one who asked needs to know it by.
    """

    key: str
    task: Task
    number: int


class WorkFolder:
    """Results by key, each written whole or not at all; use it as a context manager.

    Args:
        path: The folder; it is made. resume: False throws away what is in it.

    Raises:
        QaError: another run works in it.
    """

    def __init__(self, path: str | Path, resume: bool = True):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.path / "lock", "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise QaError(f"{self.path} is in use by another run; wait for it, or give another output") from None
        for file in self.path.iterdir():
            if file.name.startswith(".") or (not resume and file.suffix == _SUFFIX):
                file.unlink()  # not written whole, or not wanted

    def __enter__(self) -> WorkFolder:
        return self

    def __exit__(self, *exception) -> None:
        self._lock.close()

    def __contains__(self, key: str) -> bool:
        return (self.path / f"{key}{_SUFFIX}").is_file()

    def read(self, key: str) -> bytes:
        return (self.path / f"{key}{_SUFFIX}").read_bytes()

    def write(self, key: str, data: bytes) -> None:
        with whole_file(self.path / f"{key}{_SUFFIX}") as partial:
            partial.write_bytes(data)

    def discard(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path)

    def work_off(
        self, engine: Engine, jobs: Iterable[Job], seen: Callable[[Job], None] = lambda job: None
    ) -> dict[int, Lost]:
        """Does what has not been done; results are in the folder afterwards.

        Args:
            jobs: Looked at one by one, when somebody is free. seen: Told each job that is done, also long ago.

        Returns:
            The jobs that no process survived, by their number.
        """
        under_way: dict[int, Job] = {}

        def tasks() -> Iterator[Task]:
            for job in jobs:
                if job.key in self:
                    seen(job)
                    continue
                under_way[id(job.task)] = job
                yield job.task

        lost = {}
        for task, result in engine.run(tasks()):
            job = under_way.pop(id(task))
            if isinstance(result, Lost):
                lost[job.number] = result
            else:
                self.write(job.key, result)
                seen(job)
        return lost


def digest(*parts: bytes | str) -> str:
    """A key of texts and bytes."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()[:32]
