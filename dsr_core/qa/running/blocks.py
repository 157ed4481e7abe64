"""Blocks of neighbouring scenes whose questions get their options together; as tables from here on."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from dsr_core.qa.files.arrow import parquet
from dsr_core.qa.files.codec import unpack
from dsr_core.qa.files.columns import row_of
from dsr_core.qa.files.files import ROWS, item_schema, open_tables
from dsr_core.qa.item import Candidate, Item, QaError
from dsr_core.qa.options.options import DEFAULT, OptionsConfig, with_options

#: About so many questions without options make a block: what options are found among, and what one process holds.
SIZE = 50_000
_HEAD = b"dsr_block"


@dataclass(frozen=True)
class Part:
    """Some scenes of a shard.

    Attributes:
        shard: Its number. scenes: Names of those that belong to the block.
    """

    shard: int
    scenes: tuple[str, ...]


def plan(counts: Sequence[dict[str, int]], size: int = SIZE) -> list[list[Part]]:
    """Which scenes make which block, all of about the same size; shards do not matter, but the order of scenes does.

    Args:
        counts: Of each shard, name of scene -> number of questions. size: About so many make a block.
    """
    total = sum(sum(of_shard.values()) for of_shard in counts)
    if not total:
        return []
    share = total / max(1, round(total / size))
    blocks: list[dict[int, list[str]]] = [{}]
    seen, bound = 0, share
    for number, of_shard in enumerate(counts):
        for scene, count in of_shard.items():
            if seen >= bound - 0.5 and count:
                blocks.append({})
                bound += share
            blocks[-1].setdefault(number, []).append(scene)
            seen += count
    return [[Part(shard, tuple(scenes)) for shard, scenes in block.items()] for block in blocks]


def give_options(
    shards: Sequence[tuple[bytes, tuple[str, ...]]],
    style: str,
    seed: int,
    provenance: dict,
    config: OptionsConfig = DEFAULT,
) -> bytes:
    """The questions of a block with their options, as a parquet file.

    Args:
        shards: What `ask_shard` gave, each with the names of the scenes to take.
        style: Of the options. seed: Of the whole set. provenance: Goes into each row. config: Of the options.
    """
    found: list[Candidate] = []
    for data, scenes in shards:
        wanted = set(scenes)
        found += [c for c in unpack(data)[0] if c.scene in wanted]
    items, drops = with_options(found, style, seed, config)
    head = {
        "asked": Counter(c.type for c in found),
        "given": Counter(item.candidate.type for item in items),
        "drops": drops,
    }
    return write_block(items, provenance, head)


def write_block(items: Sequence[Item], provenance: dict, head: dict) -> bytes:
    """Questions as a parquet file in memory, with JSON values beside them."""
    pa, _ = parquet()
    out, left = io.BytesIO(), iter(items)
    schema = item_schema({_HEAD.decode(): json.dumps(head, sort_keys=True)})
    with open_tables(out, schema) as writer:
        while rows := [row_of(item, provenance) for item in islice(left, ROWS)]:
            writer.write_table(pa.Table.from_pylist(rows, schema), row_group_size=ROWS)
    return out.getvalue()


def block_head(data: bytes) -> dict:
    """What was written beside the questions of a block: how many were asked and given options, and the drops."""
    with _open(data) as file:
        return json.loads(file.schema_arrow.metadata[_HEAD])


def block_table(data: bytes, type_: str | None = None, columns: Sequence[str] | None = None):
    """A block's questions as an Arrow table; of one type, some columns, where these are given."""
    _, pq = parquet()
    filters = None if type_ is None else [("type", "==", type_)]
    table = pq.read_table(
        io.BytesIO(data), columns=None if columns is None else list(columns), filters=filters, use_threads=False
    )
    return table.replace_schema_metadata(None)


def _open(data: bytes):
    pa, pq = parquet()
    try:
        return pq.ParquetFile(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise QaError(f"a block made before is damaged ({error}); run with --no-resume") from None


def bare_items(rows: Iterator[dict]) -> list[Item]:
    """Items of rows that hold text, options, key, scene and group alone: all that is seen of them blindly."""
    items = []
    for row in rows:
        options = tuple(option.partition(". ")[2] for option in row["options"])
        right = ord(row["answer"]) - ord("A")
        unknown = {"kind": "", "labels": (), "viewer": "", "things": (), "tracks": (), "window": (0.0, 0.0)}
        candidate = Candidate(
            row["scene"],
            "",
            row["type"],
            question=row["question"],
            answer=options[right],
            viewpoint={},
            query={},
            **unknown,
        )
        items.append(Item(candidate, options, right, group=row["group"]))
    return items
