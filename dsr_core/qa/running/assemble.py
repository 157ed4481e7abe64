"""Blocks -> one file: guessable groups left out, rows shuffled within a bound, a part in memory at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dsr_core.files import whole_file
from dsr_core.qa.files.arrow import parquet
from dsr_core.qa.files.columns import as_json, item_of
from dsr_core.qa.files.files import ROWS, item_schema, open_tables, write_items
from dsr_core.qa.item import LETTERS, Item
from dsr_core.qa.running.blocks import block_table

#: Rows are shuffled among about so many neighbours.
SHUFFLED = 50_000
#: Key of the report in the metadata of a parquet file.
METADATA = "dsr_qa"


def shuffled(
    count: int, read_block: Callable[[int], bytes], dropped: set[str], seed: int, among: int = SHUFFLED
) -> Iterator:
    """Tables of the blocks' rows without those of `dropped` groups, in an order that the seed gives.

    Args:
        count: Of blocks. read_block: Gives one by its number. dropped: Names of groups. seed: Of the whole set.
        among: At least so many rows are shuffled together (the last ones may be fewer).
    """
    pa, _ = parquet()
    waiting, rows, part = [], 0, 0
    for number in range(count):
        table = block_table(read_block(number))
        if dropped:
            table = table.filter(pa.array([group not in dropped for group in table["group"].to_pylist()]))
        waiting.append(table)
        rows += table.num_rows
        if rows and (rows >= among or number == count - 1):
            order = np.random.default_rng((seed, part)).permutation(rows)
            yield pa.concat_tables(waiting).take(pa.array(order))
            waiting, rows, part = [], 0, part + 1


def write_tables(path: Path, tables: Iterator, layout: str, report: dict) -> None:
    """Writes tables of rows in a layout of `files.write_items`; a parquet file holds the report, too."""
    if layout != "parquet":
        write_items(path, _items(tables), layout)
        return
    schema = item_schema({METADATA: as_json(report)})
    with whole_file(path) as partial, open_tables(partial, schema) as writer:
        for table in tables:
            writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=ROWS)


def _items(tables: Iterator) -> Iterator[Item]:
    for table in tables:
        for batch in table.to_batches(max_chunksize=ROWS):
            for row in batch.to_pylist():
                options = tuple(option.partition(". ")[2] for option in row["options"])
                yield item_of(row, options, LETTERS.index(row["answer"]))


def write_report(path: Path, report: dict) -> None:
    """Writes the report as JSON, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(report, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
