"""Works entries off by some threads and writes each into a journal when it is finished."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dsr_core.qa.asking.asking import NoReply, Unfinished
from dsr_core.qa.asking.journal import Journal
from dsr_core.qa.asking.ledger import Stopped

#: So many entries in a row without a reply, and the endpoint is taken to be gone.
MAX_SILENT = 3


@dataclass
class Ending:
    """How a run ended.

    Attributes:
        finished: Entries finished in this run.
        unfinished: Key of an entry -> why it has no result; the next run takes it up again.
        stopped: Why no more was asked, "" where all was.
        why: The same in full.
    """

    finished: int = 0
    unfinished: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    why: str = ""


def work_off(
    tasks: Iterable[tuple[str, Callable[[], dict]]],
    journal: Journal,
    threads: int = 1,
    stop: threading.Event | None = None,
    seen: Callable[[], None] = lambda: None,
) -> Ending:
    """Works off what the journal does not hold yet.

    Tasks are drawn in order, and only as many as the threads need; the journal gets entries as they are finished. When
    nothing more is to be asked, what runs is finished and no more tasks are drawn.

    Args:
        tasks: Key and work of each entry; the work gives the entry, or raises `Unfinished` or `Stopped`.
        threads: How many work. stop: Is set when no more is to be done (`Asker.stop`).
        seen: Called after each entry.

    Raises:
        Exception: what else a task raises.
    """
    ending, silent = Ending(), 0
    stop = stop or threading.Event()
    todo: queue.Queue = queue.Queue()
    done: queue.Queue = queue.Queue()
    # Daemons: at Ctrl-C nobody waits for a slow reply.
    for _ in range(threads):
        threading.Thread(target=_work, args=(todo, done), daemon=True).start()
    tasks, pending = iter(tasks), 0
    try:
        while True:
            while tasks is not None and not ending.stopped and pending < threads + 1:
                task = next(tasks, None)
                if task is None:
                    tasks = None
                elif task[0] in journal:
                    seen()
                else:
                    todo.put(task)
                    pending += 1
            if not pending:
                return ending
            key, entry, error = done.get()
            pending -= 1
            if isinstance(error, Stopped):
                if not ending.stopped:
                    ending.stopped, ending.why = error.reason, str(error)
            elif isinstance(error, Unfinished):
                ending.unfinished[key] = str(error)
                silent += isinstance(error, NoReply)
                if silent == MAX_SILENT and not ending.stopped:
                    ending.stopped, ending.why = "no replies", f"{error}; {silent} entries in a row had no reply"
                    stop.set()
            elif error is not None:
                raise error
            else:
                silent = 0
                journal.write(key, entry)
                ending.finished += 1
            seen()
    except BaseException:
        stop.set()
        raise
    finally:
        for _ in range(threads):
            todo.put(None)


def _work(todo: queue.Queue, done: queue.Queue) -> None:
    while (task := todo.get()) is not None:
        key, make = task
        try:
            done.put((key, make(), None))
        except Exception as error:
            done.put((key, None, error))
