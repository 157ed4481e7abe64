"""A journal of finished entries, one JSON line each: what a run that was killed need not do again."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from dsr_core.qa.item import QaError

_VERSION = 1
_HEAD = b'{"journal":'


class Journal:
    """Finished entries by key, on disk; use it as a context manager.

    The first line holds the settings: a journal of other settings is refused. A last line that was not written whole is
    dropped. In memory are the keys alone.

    Args:
        path: The file. settings: JSON values that all entries depend on. resume: False begins anew.

    Raises:
        QaError: written with other settings, by another program, damaged, or in use by another run.
    """

    def __init__(self, path: str | Path, settings: dict, resume: bool = True):
        self.path = Path(path)
        self._at: dict[str, int] = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b")
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise QaError(f"{self.path} is in use by another run; wait for it, or give another output") from None
            if not resume:
                self._file.truncate(0)
            self._read(json.loads(json.dumps(settings)))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._at

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, key: str) -> dict:
        self._file.seek(self._at[key])
        return json.loads(self._file.readline())["entry"]

    def write(self, key: str, entry: dict) -> None:
        """Adds a finished entry; it is on disk when this returns."""
        self._append({"key": key, "entry": entry})

    def _append(self, record: dict) -> None:
        self._file.seek(0, os.SEEK_END)
        at = self._file.tell()
        self._file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        if "key" in record:
            self._at[record["key"]] = at

    def _read(self, settings: dict) -> None:
        self._file.seek(0)
        at, head = 0, None
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n") and (head is not None or _HEAD.startswith(line[: len(_HEAD)])):
                break  # torn off when the run was killed
            try:
                record = json.loads(line)
                if head is None:
                    head = record
                    self._check(head, settings)
                else:
                    self._at[record["key"]] = at
            except (ValueError, KeyError, TypeError, AttributeError):
                raise QaError(
                    f"{self.path}, line {number} is damaged, or it is no journal; delete the line, or the file to begin"
                    " anew"
                ) from None
            at += len(line)
        self._file.truncate(at)
        if head is None:
            self._append({"journal": _VERSION, "settings": settings})

    def _check(self, head: dict, settings: dict) -> None:
        if head.get("journal") != _VERSION:
            raise QaError(f"{self.path} is no journal of this program; give another output, or delete the file")
        old, settings = _flat(head["settings"]), _flat(settings)
        differ = [name for name in sorted({*old, *settings}) if old.get(name) != settings.get(name)]
        if differ:
            name = differ[0]
            raise QaError(
                f"{self.path} was begun with other settings ({', '.join(differ)}: {name} = {old.get(name)!r}, now"
                f" {settings.get(name)!r}); run with those, or with --no-resume to begin anew"
            )


def _flat(settings: dict, prefix: str = "") -> dict:
    """Settings by dotted names."""
    out = {}
    for name, value in settings.items():
        out |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return out
