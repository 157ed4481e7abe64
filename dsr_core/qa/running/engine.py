"""What an engine is: it works tasks off, here in processes (`engine_local`) or on many machines (`engine_ray`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Task:
    """A call that can be made anywhere.

    Attributes:
        name: For messages.
        function: Of a module; it returns bytes and depends on its arguments alone.
        arguments: Of the call; they can be pickled.
    """

    name: str
    function: Callable[..., bytes]
    arguments: tuple = ()


@dataclass(frozen=True)
class Lost:
    """Instead of a result: the process that worked on the task ended, however often it was tried.

    Attributes:
        why: How it ended.
    """

    why: str


class Engine(Protocol):
    """Works tasks off; use it as a context manager."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, *exception) -> None: ...

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, bytes | Lost]]:
        """Each task with its result, in the order in which they end.

        Tasks are taken when there is somebody to work on them, and results are held until they are taken: a few of each
        are in memory. An exception of a task is raised here.
        """
        ...
