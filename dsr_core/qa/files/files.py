"""Writes question sets in the published layouts; a file is written whole or not at all, and byte for byte the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from dsr_core.files import whole_file
from dsr_core.qa.files.arrow import parquet
from dsr_core.qa.files.columns import OWN, PUBLISHED, as_json, row_of
from dsr_core.qa.item import LETTERS, Item, QaError

#: Rows of a row group: what is in memory at once.
ROWS = 5000
LAYOUTS = ("parquet", "dsr", "qwen", "swift")
_SUFFIXES = {"parquet": (".parquet",), "dsr": (".json",), "qwen": (".json", ".jsonl"), "swift": (".jsonl",)}


def write_items(
    path: str | Path, items: Iterable[Item], layout: str = "parquet", provenance: dict | None = None
) -> int:
    """Writes a question set.

    * "parquet": the columns `videoID, type, question, options, answer` of DSR-Bench and DSR-Train, then all else that
      an item holds (`columns.OWN`); `readers.read_items` gives the items back.
    * "dsr": a JSON object, videoID -> list of {Type, Question, A, B, C, D, Correct} (free-form has no Type).
    * "qwen": conversations for Qwen's fine-tuning, a list (.json) or a line each (.jsonl).
    * "swift": a line of messages, videos and solution each, as ms-swift reads it; its GRPO takes the answer off.

    Args:
        path: The file; its suffix must be one of the layout's.
        items: Read once; of all layouts but "dsr" only a part is in memory at once.
        provenance: How the set was made, JSON values without times or paths; it goes into each row of a parquet file.

    Returns:
        How many items were written.

    Raises:
        QaError: an unknown layout, or another suffix.
        DependencyError: pyarrow is missing.
    """
    path = Path(path)
    check_layout(path, layout)
    if layout == "parquet":
        with parquet_writer(path, provenance) as write:
            return write(items)
    counted = _Counted(items)
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8", newline="\n") as file:
        if layout == "dsr":
            json.dump(_by_video(counted), file, ensure_ascii=False, indent=1)
            file.write("\n")
        elif path.suffix == ".jsonl":
            line = conversation if layout == "qwen" else messages
            file.writelines(f"{as_json(line(item))}\n" for item in counted)
        else:
            file.write("[")
            for number, item in enumerate(counted):
                file.write(f"{',' if number else ''}\n{as_json(conversation(item))}")
            file.write("\n]\n")
    return counted.count


def check_layout(path: Path, layout: str) -> None:
    """Holds a file's name against a layout.

    Raises:
        QaError: an unknown layout, or another suffix.
    """
    if layout not in LAYOUTS:
        raise QaError(f"layout = {layout!r} is not known; known: {', '.join(LAYOUTS)}")
    if path.suffix not in _SUFFIXES[layout]:
        raise QaError(f"{path.name}: a file of layout {layout} ends in {' or '.join(_SUFFIXES[layout])}")


@contextmanager
def parquet_writer(path: str | Path, provenance: dict | None = None) -> Iterator[Callable[[Iterable[Item]], int]]:
    """Gives a function that appends items to a parquet file, as many at a time as come.

    How they are cut into calls does not change the file. It appears when the block ends well.
    """
    pa, _ = parquet()
    schema, waiting, provenance = item_schema(), [], dict(provenance or {})
    with whole_file(path) as partial:
        with open_tables(partial, schema) as writer:

            def flush(most: int) -> None:
                while len(waiting) >= most and waiting:
                    writer.write_table(pa.Table.from_pylist(waiting[:ROWS], schema), row_group_size=ROWS)
                    del waiting[:ROWS]

            def write(items: Iterable[Item]) -> int:
                count, items = 0, iter(items)
                while part := [row_of(item, provenance) for item in islice(items, ROWS)]:
                    waiting.extend(part)
                    count += len(part)
                    flush(ROWS)
                return count

            yield write
            flush(0)


def open_tables(where, schema):
    """A writer of tables to a path or a file, with settings that give the same bytes for the same tables."""
    # The defaults of pyarrow change from release to release, and with them the bytes.
    return parquet()[1].ParquetWriter(
        where, schema, version="2.6", compression="zstd", compression_level=3, data_page_version="1.0"
    )


def item_schema(metadata: dict[str, str] | None = None):
    """The columns of a question set as an Arrow schema, with texts about the whole of it."""
    pa, _ = parquet()

    def typed(name: str):
        return pa.list_(typed(name[:-2])) if name.endswith("[]") else pa.type_for_alias(name)

    published = {name: "string[]" if name == "options" else "string" for name in PUBLISHED}
    return pa.schema([(name, typed(alias)) for name, alias in {**published, **OWN}.items()], metadata)


class _Counted:
    """Items, and how many there were."""

    def __init__(self, items: Iterable[Item]):
        self._items, self.count = items, 0

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            self.count += 1
            yield item


def video_of(item: Item) -> str:
    """The videoID of an item: of its video, or of its scene where it has none."""
    return item.candidate.video_id or item.candidate.scene


def _by_video(items: Iterable[Item]) -> dict[str, list[dict]]:
    videos: dict[str, list[dict]] = {}
    for item in items:
        named = dict(zip(LETTERS, item.options, strict=False))
        type_ = {} if item.candidate.type == "non_temp" else {"Type": item.candidate.type}
        entry = {**type_, "Question": item.candidate.question, **named, "Correct": item.letter}
        videos.setdefault(video_of(item), []).append(entry)
    return videos


def prompt(question: str, options: tuple[str, ...]) -> str:
    """The published training prompt: the question, "Options:", and a line an option."""
    lines = [f"{letter} {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, "Options:", *lines])


def conversation(item: Item) -> dict:
    """An item as Qwen's fine-tuning reads it (the converter of DSR Suite)."""
    return {
        "video": f"{video_of(item)}.mp4",
        "conversations": [
            {"from": "human", "value": f"<video>\n{prompt(item.candidate.question, item.options)}"},
            {"from": "gpt", "value": item.letter},
        ],
    }


def messages(item: Item) -> dict:
    """An item as ms-swift reads it; `solution` has the answer and, of MLLM-4D, the centres that a reward compares."""
    states = item.candidate.spatial_states or {"camera_center": None, "object_center": None}
    return {
        "messages": [
            {"role": "user", "content": f"<video>\n{prompt(item.candidate.question, item.options)}"},
            {"role": "assistant", "content": item.letter},
        ],
        "videos": [f"{video_of(item)}.mp4"],
        "solution": [{"answer": item.letter, **states}],
        "type": item.candidate.type,
    }
