"""Processes of this machine as an engine; one that dies costs its own task alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import connection, get_context

from dsr_core.qa.item import QaError
from dsr_core.qa.running.engine import Lost, Task

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Here:
    """No other process: tasks run where they are asked for."""

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *exception) -> None:
        pass

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, bytes | Lost]]:
        for task in tasks:
            yield task, task.function(*task.arguments)


class LocalEngine:
    """A pool of processes.

    Python's own pools break as a whole when a process dies (killed for its memory, a fault in a decoder); this one
    tells which task it was, starts another process and goes on.

    Args:
        workers: How many processes; each takes its share of the cores for numerical libraries.
    """

    def __init__(self, workers: int):
        if workers < 1:
            raise QaError(f"workers = {workers} must be at least 1")
        self._count, self._workers = workers, []

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *exception) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers = []

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, bytes | Lost]]:
        """See `Engine.run`."""
        tasks, busy, idle = iter(tasks), {}, list(self._workers)
        more = True
        while True:
            while more and len(busy) < self._count:
                task = next(tasks, None)
                if task is None:
                    more = False
                    break
                worker = idle.pop() if idle else self._start()
                worker = self._give(worker, task)
                busy[worker.pipe] = worker, task
            if not busy:
                return
            for pipe in connection.wait(list(busy)):
                worker, task = busy.pop(pipe)
                try:
                    done, result = pipe.recv()
                except (EOFError, OSError):
                    yield task, Lost(self._end(worker))
                    continue
                idle.append(worker)
                if not done:
                    raise result
                yield task, result

    def _give(self, worker: _Worker, task: Task) -> _Worker:
        """Sends a task; to another process where this one ended while it had nothing to do."""
        try:
            worker.pipe.send((task.function, task.arguments))
        except OSError:
            self._end(worker)
            worker = self._start()
            worker.pipe.send((task.function, task.arguments))
        return worker

    def _start(self) -> _Worker:
        with _threads(max(1, cores() // self._count)):
            worker = _Worker()
        self._workers.append(worker)
        return worker

    def _end(self, worker: _Worker) -> str:
        """Takes a dead process off the list; says how it ended."""
        self._workers.remove(worker)
        code = worker.stop()
        if code is not None and code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with status {code}"


class _Worker:
    """A process and the pipe to it."""

    def __init__(self):
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,), daemon=True, name="dsr-qa")
        self.process.start()
        theirs.close()

    def stop(self) -> int | None:
        """Ends the process, whatever it does; returns its status (negative: a signal), None where it is not known."""
        self.pipe.close()
        self.process.join(0.2)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(2.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        return self.process.exitcode


def _work(pipe: connection.Connection) -> None:
    """A process's life: calls come, results go; it ends when the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent ends its processes
    while True:
        try:
            function, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = True, function(*arguments)
        except Exception as error:
            answer = False, _sendable(error)
        try:
            pipe.send(answer)
        except OSError:
            return


def _sendable(error: Exception) -> Exception:
    """The error where another process can rebuild it, else its words."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return QaError(f"{type(error).__name__}: {error}")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Processes started in the block use `count` threads where nobody said otherwise."""
    mine = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(mine, str(count)))
    try:
        yield
    finally:
        for name in mine:
            del os.environ[name]
