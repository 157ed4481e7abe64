"""Time and memory on a CPU or a GPU, and each measurement in a process of its own.

On a GPU time is what passes; on a CPU it is what the processor works, all threads together, so that neighbours do not
count.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Mapping


class Watch:
    """Adds up the time that calls of some methods take, on the device."""

    def __init__(self, module, names: tuple[str, ...], cuda: bool):
        self.cuda, self.spans = cuda, []
        for name in names:
            setattr(module, name, self._timed(getattr(module, name)))

    def _timed(self, method):
        def call(*args, **kwargs):
            start = self._now()
            out = method(*args, **kwargs)
            self.spans.append((start, self._now()))
            return out

        return call

    def _now(self):
        if not self.cuda:
            return time.process_time()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def take_ms(self) -> float:
        """Milliseconds since it was last asked."""
        spans, self.spans = self.spans, []
        return sum(a.elapsed_time(b) if self.cuda else 1e3 * (b - a) for a, b in spans)


def timed(run, repeats: int, seconds: float, cuda: bool, watch: Watch | None = None) -> tuple[float, float]:
    """Median milliseconds of `run`, and of what `watch` saw of it, after one call to warm up."""
    import torch

    clock = time.perf_counter if cuda else time.process_time
    took, inside, begun = [], [], time.perf_counter()
    for number in range(repeats + 1):
        if cuda:
            torch.cuda.synchronize()
        start = clock()
        run()
        if cuda:
            torch.cuda.synchronize()
        ms, seen = 1e3 * (clock() - start), watch.take_ms() if watch else 0.0
        if number:
            took.append(ms)
            inside.append(seen)
            if time.perf_counter() - begun > seconds and number >= 2:
                break
    return statistics.median(took), statistics.median(inside)


def peak_gb(cuda: bool) -> float:
    """Peak of memory since it was last reset, of the GPU, else of the process since it began."""
    import torch

    if cuda:
        return torch.cuda.max_memory_allocated() / 1e9
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9


def moved(value, device: str):
    """Tensors of a batch, nested ones too, on a device."""
    if isinstance(value, Mapping):
        return {key: moved(part, device) for key, part in value.items()}
    return value.to(device) if hasattr(value, "to") else value


def part_of(value, rows: int, count: int):
    """The first `count` rows of a batch of `rows` alike ones; what stands one after the other is cut alike."""
    if isinstance(value, Mapping):
        return {key: part_of(part, rows, count) for key, part in value.items()}
    return value[: len(value) // rows * count] if hasattr(value, "shape") else value


def apart(target, *args):
    """What `target` puts into a queue, in a process of its own; None where it died."""
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    worker = spawn.Process(target=target, args=(*args, results), daemon=True)
    worker.start()
    out = None
    while out is None and (worker.is_alive() or not results.empty()):
        try:
            out = results.get(timeout=1.0)
        except Exception:  # queue.Empty
            continue
    worker.join()
    return out
