"""Arrays in files by key, and values in memory by key; both bounded, the least recently used goes first."""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dsr_core.files import whole_file

#: Share of the bound that is left when files are removed.
_AFTER = 0.9


class DiskCache:
    """A folder of .npz files, each written whole or not at all; several processes may share it.

    Args:
        folder: It is made when something is kept. max_bytes: Of all files together; the newest one is kept whatever
            its size.

    Attributes:
        damaged: Keys whose file was not whole; such a file is removed, and its value made again by whoever asks.
    """

    def __init__(self, folder: str | Path, max_bytes: float):
        self.folder, self.max_bytes = Path(folder), max_bytes
        self.damaged: list[str] = []
        self._bytes: int | None = None
        self._lock = threading.Lock()

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def get(self, key: str) -> dict[str, np.ndarray] | None:
        """The arrays that were put under a key, or None."""
        path = self.path(key)
        try:
            # Reading a member compares its checksum.
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
            os.utime(path)
            return found
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            self.damaged.append(key)
            path.unlink(missing_ok=True)
            return None

    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps arrays under a key."""
        path = self.path(key)
        with whole_file(path) as partial:
            np.savez(partial, **arrays)
        with self._lock:
            if self._bytes is None:
                self._bytes = sum(size for _, size, _ in self._files())
            else:
                self._bytes += path.stat().st_size
            if self._bytes > self.max_bytes:
                self._remove_oldest(path)

    def _files(self) -> list[tuple[float, int, Path]]:
        """(time of last use, bytes, path) of each file."""
        out = []
        for path in self.folder.glob("*.npz"):
            try:
                stat = path.stat()
            except FileNotFoundError:  # another process has removed it
                continue
            out.append((stat.st_mtime, stat.st_size, path))
        return out

    def _remove_oldest(self, newest: Path) -> None:
        files = sorted(self._files())
        self._bytes = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._bytes <= _AFTER * self.max_bytes:
                break
            if path != newest:
                path.unlink(missing_ok=True)
                self._bytes -= size


class Memory:
    """Values by key, bounded by their sizes; threads may share it.

    Args:
        max_bytes: Of all values together.
    """

    def __init__(self, max_bytes: float):
        self.max_bytes, self._bytes = max_bytes, 0.0
        self._values: OrderedDict[Any, tuple[Any, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Any, threading.Lock] = {}

    def get(self, key):
        """The value of a key, or None."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key, value, size: float) -> None:
        """Keeps a value of `size` bytes; one above the bound is not kept."""
        if size > self.max_bytes:
            return
        with self._lock:
            if key in self._values:
                self._bytes -= self._values.pop(key)[1]
            self._values[key] = value, size
            self._bytes += size
            while self._bytes > self.max_bytes:
                self._bytes -= self._values.popitem(last=False)[1][1]

    def made(self, key, make: Callable[[], tuple[Any, float]]):
        """The value of a key; where there is none, `make()` gives it with its size, to one thread at a time."""
        found = self.get(key)
        if found is not None:
            return found
        with self._lock:
            lock = self._making.setdefault(key, threading.Lock())
        with lock:
            found = self.get(key)
            if found is None:
                found, size = make()
                self.put(key, found, size)
        with self._lock:
            self._making.pop(key, None)
        return found


def key_of(*parts: str | bytes) -> str:
    """A key of texts and bytes."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:40]
