"""Ray as an engine: the same tasks on the processes of many machines."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from dsr_core import __version__
from dsr_core.errors import DependencyError
from dsr_core.qa.item import QaError
from dsr_core.qa.running.engine import Lost, Task
from dsr_core.qa.running.shards import code_digest

#: How often Ray itself runs a task again whose process or machine was lost.
MAX_RETRIES = 3
#: Tasks under way for each core: one is worked on, one waits.
_AHEAD = 2
#: Longest wait for a cluster's door.
REACHED_S = 5.0


class RayEngine:
    """Tasks on a Ray cluster. Every machine needs this package in the same version, and the recordings.

    Args:
        address: Of the cluster ("auto", "host:6379", "ray://host:10001"); None starts one on this machine.
        workers: Processes of the cluster that is started, or of one that is there how many are kept busy; None: as many
            as it has cores.
        options: Further arguments of `ray.init`.
    """

    def __init__(self, address: str | None = None, workers: int | None = None, **options):
        if workers is not None and workers < 1:
            raise QaError(f"workers = {workers} must be at least 1")
        self._address, self._workers, self._options = address, workers, options
        self._ray, self._mine = None, False

    def __enter__(self) -> RayEngine:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
        # Else it hides the GPUs from tasks that did not ask for one; the networks choose for themselves.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError:
            raise DependencyError("--engine ray needs Ray: pip install 'dsr_ros[scale]' (or ray)") from None
        self._ray = ray
        if not ray.is_initialized():
            options = {"log_to_driver": False, "logging_level": "warning", **self._options}
            if self._address is None:
                options = {"num_cpus": self._workers, "include_dashboard": False, **options}
            try:
                _reach(self._address)
                ray.init(address=self._address, **options)
            except (OSError, ValueError, RuntimeError) as error:
                raise QaError(
                    f"no Ray cluster at {self._address!r}: {error}; start one with `ray start --head`"
                ) from None
            self._mine = True
        return self

    def __exit__(self, *exception) -> None:
        if self._mine:
            self._ray.shutdown()
            self._mine = False

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, bytes | Lost]]:
        """See `Engine.run`."""
        ray, tasks, running = self._ray, iter(tasks), {}
        code, remote = code_digest(), ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(call)
        try:
            while True:
                for task in islice(tasks, max(0, self._most() - len(running))):
                    running[remote.remote(code, task.function, *task.arguments)] = task
                if not running:
                    return
                for reference in ray.wait(list(running), num_returns=1)[0]:
                    task = running.pop(reference)
                    yield task, self._result(reference)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def _most(self) -> int:
        """Tasks under way at most; a cluster may grow."""
        return _AHEAD * (self._workers or max(1, int(self._ray.cluster_resources().get("CPU", 1))))

    def _result(self, reference) -> bytes | Lost:
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else QaError(str(error)) from None
        except exceptions.RayError as error:
            return Lost(f"{type(error).__name__}: {str(error).splitlines()[0]}")


def call(code: str, function: Callable[..., bytes], *arguments) -> bytes:
    """Calls a function on a machine that has the same code as the one that asks for it.

    Args:
        code: `code_digest()` of that one. function: To call. arguments: Of the call.

    Raises:
        QaError: other code.
    """
    if code_digest() != code:
        raise QaError(
            f"dsr_ros {__version__} on {socket.gethostname()} differs from the one that started the run"
            f" ({code_digest()[:8]}, not {code[:8]}); install the same version on every machine"
        )
    return function(*arguments)


def _reach(address: str | None) -> None:
    """Sees whether somebody listens at HOST:PORT, which Ray itself tries for minutes.

    Raises:
        OSError: nobody does.
    """
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), REACHED_S).close()
