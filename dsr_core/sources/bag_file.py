"""Opening of ROS 2 bags without ROS: folders and single files, mcap and sqlite3, zstd, split, cut off."""

from __future__ import annotations

import logging
import shutil
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from dsr_core.errors import DependencyError, DsrError, SourceError
from dsr_core.sources.ros_types import typestore

log = logging.getLogger(__name__)

SUFFIXES = (".mcap", ".db3")
_MCAP_MAGIC = b"\x89MCAP0\r\n"
_RECORD_HEAD = struct.Struct("<BQ")


def is_bag(path: Path) -> bool:
    """Whether `path` looks like a ROS 2 bag."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or bool(storage_files(path))
    return path.name.removesuffix(".zstd").endswith(SUFFIXES)


def storage_files(folder: Path) -> list[Path]:
    """The storage files in a folder, in the order of their names."""
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name.removesuffix(".zstd").endswith(SUFFIXES))


class BagFile:
    """An open bag: topics, and messages in the order of recording.

    Args:
        path: Folder with metadata.yaml, folder with storage files only (a recorder that was killed), or one file.

    Attributes:
        topics: Topic -> (type name, number of messages); topics without messages are left out.

    Raises:
        SourceError: it cannot be read; the message tells why and what helps.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._stack = ExitStack()
        try:
            self._reader = self._open()
        except DsrError:
            self._stack.close()
            raise
        except Exception as error:  # a damaged file raises whatever its parser stumbles over
            self._stack.close()
            raise SourceError(
                f"{self.path} cannot be read as a bag: {error or type(error).__name__}; if the recording was cut off,"
                " try `mcap recover` (mcap) or `sqlite3 FILE .recover` (db3)"
            ) from error
        self._add_known_types()
        self.topics: dict[str, tuple[str, int]] = {}
        for c in self._reader.connections:
            if c.msgcount:
                self.topics[c.topic] = (c.msgtype, c.msgcount + self.topics.get(c.topic, ("", 0))[1])

    def close(self) -> None:
        """Closes the files."""
        self._stack.close()

    def __enter__(self) -> BagFile:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def topics_text(self) -> str:
        """The topics and their types, for messages to the user."""
        return ", ".join(f"{topic} ({kind})" for topic, (kind, _) in sorted(self.topics.items())) or "none"

    def topics_of(self, *kinds: str) -> list[str]:
        """Topics of these types, shortest name first."""
        found = [topic for topic, (kind, _) in self.topics.items() if kind in kinds]
        return sorted(found, key=lambda topic: (len(topic), topic))

    def messages(self, topics: list[str]) -> Iterator[tuple[str, str, object]]:
        """Topic, type and message, in the order of recording.

        Raises:
            SourceError: a part of the file is damaged, or a message does not fit its type.
        """
        connections = [c for c in self._reader.connections if c.topic in topics]
        if not connections:
            return
        stream = self._reader.messages(connections=connections)
        while True:
            try:
                connection, _, raw = next(stream)
                message = self._reader.deserialize(raw, connection.msgtype)
            except StopIteration:
                return
            except Exception as error:  # see __init__
                raise SourceError(f"{self.path}: the recording is damaged: {error or type(error).__name__}") from error
            yield connection.topic, connection.msgtype, message

    def raw_messages(self, topics: list[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time of recording in nanoseconds and CDR bytes, in the order of recording.

        Raises:
            SourceError: a part of the file is damaged.
        """
        connections = [c for c in self._reader.connections if c.topic in topics]
        stream = self._reader.messages(connections=connections) if connections else iter(())
        while True:
            try:
                connection, stamp_ns, raw = next(stream)
            except StopIteration:
                return
            except Exception as error:  # see __init__
                raise SourceError(f"{self.path}: the recording is damaged: {error or type(error).__name__}") from error
            yield connection.topic, stamp_ns, raw

    def _open(self):
        try:
            from rosbags.highlevel import AnyReader
        except ImportError:
            raise DependencyError("bags are read by rosbags: pip install rosbags") from None
        if self.path.is_dir() and (self.path / "metadata.yaml").is_file():
            try:
                return self._stack.enter_context(AnyReader([self.path], default_typestore=typestore()))
            except Exception as error:
                files = storage_files(self.path)
                if not any(_is_cut(p) for p in files):
                    raise
                log.warning("%s: %s", self.path, error)
        elif self.path.is_dir():
            files = storage_files(self.path)
            log.warning(
                "%s has no metadata.yaml (was the recorder killed?); its %d files are read", self.path, len(files)
            )
        else:
            files = [self.path]
        files = [self._repaired(self._unpacked(p)) for p in files]
        return self._stack.enter_context(AnyReader(files, default_typestore=typestore()))

    def _add_known_types(self) -> None:
        """Types whose definitions the bag lacks, from ROS 2 Jazzy and this package."""
        known = self._reader.typestore.fielddefs
        self._reader.typestore.register({n: d for n, d in typestore().fielddefs.items() if n not in known})

    def _folder(self) -> Path:
        return Path(self._stack.enter_context(TemporaryDirectory(prefix="dsr_bag_")))

    def _unpacked(self, path: Path) -> Path:
        """The file itself, or a decompressed copy of a zstd file."""
        if path.suffix != ".zstd":
            return path
        try:
            from compression import zstd  # Python 3.14
        except ImportError:
            from backports import zstd
        copy = self._folder() / path.stem
        with path.open("rb") as packed, zstd.open(packed, "rb") as stream, copy.open("wb") as out:
            shutil.copyfileobj(stream, out)
        return copy

    def _repaired(self, path: Path) -> Path:
        """The file itself, or a copy of the whole part of an mcap file that is cut off."""
        if not _is_cut(path):
            return path
        end = _whole_part(path)
        size = path.stat().st_size
        log.warning("%s is cut off: %d of %d bytes hold whole records and are read", path, end, size)
        copy = self._folder() / path.name
        with path.open("rb") as damaged, copy.open("wb") as out:
            left = end
            while left:
                block = damaged.read(min(left, 1 << 24))
                out.write(block)
                left -= len(block)
            # An end-of-data record, a footer that says "no summary", and the magic number.
            out.write(_RECORD_HEAD.pack(0x0F, 4) + bytes(4) + _RECORD_HEAD.pack(0x02, 20) + bytes(20) + _MCAP_MAGIC)
        return copy


def _is_cut(path: Path) -> bool:
    """Whether an mcap file starts as one but does not end as one."""
    if path.suffix != ".mcap" or path.stat().st_size < 2 * len(_MCAP_MAGIC):
        return False
    with path.open("rb") as file:
        starts = file.read(8) == _MCAP_MAGIC
        file.seek(-8, 2)
        return starts and file.read(8) != _MCAP_MAGIC


def _whole_part(path: Path) -> int:
    """Number of bytes of an mcap file up to the end of its last whole data record."""
    size, at = path.stat().st_size, len(_MCAP_MAGIC)
    with path.open("rb") as file:
        while at + _RECORD_HEAD.size <= size:
            file.seek(at)
            kind, length = _RECORD_HEAD.unpack(file.read(_RECORD_HEAD.size))
            # 0x0F ends the data section; 0 is no record at all (a file filled with zeros by a crash).
            if kind in (0x00, 0x0F) or at + _RECORD_HEAD.size + length > size:
                break
            at += _RECORD_HEAD.size + length
    return at
