"""What an audit reads of a question set: text, options, key, and which questions must stay together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dsr_core.qa.files.readers import read_rows
from dsr_core.qa.item import Item


@dataclass(frozen=True)
class Record:
    """A question as somebody without the video sees it, with its key.

    Attributes:
        type: Its type; attackers are trained and judged by type.
        question: Its text.
        options: Texts without letters.
        answer: Index of the true one.
        cluster: Questions of one cluster are never split: a scene, or several that share groups of options.
    """

    type: str
    question: str
    options: tuple[str, ...]
    answer: int
    cluster: int


def read_records(path: str | Path) -> list[Record]:
    """Records of a question set in any layout (`readers.read_rows`).

    Where the file tells scenes and groups, these stay together; else the questions of one video do.

    Raises:
        QaError: the file cannot be read.
        DependencyError: pyarrow is missing.
    """
    rows = read_rows(path)
    clusters = clusters_of([row.scene or f"video {row.video_id}" for row in rows], [row.group for row in rows])
    return [
        Record(row.type or "untyped", row.question, row.options, row.answer_index, int(cluster))
        for row, cluster in zip(rows, clusters, strict=True)
    ]


def from_items(items: Iterable[Item]) -> list[Record]:
    """Records of questions in memory."""
    items = list(items)
    clusters = clusters_of([i.candidate.scene for i in items], [i.group for i in items])
    return [
        Record(i.candidate.type, i.candidate.question, i.options, i.answer_index, int(cluster))
        for i, cluster in zip(items, clusters, strict=True)
    ]


def clusters_of(scenes: Sequence[str], groups: Sequence[str]) -> np.ndarray:
    """Numbers (N,) of the smallest sets of questions that split neither a scene nor a group ("" is none)."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    names = [f"scene {scene}" for scene in scenes]
    for scene, group in zip(names, groups, strict=True):
        if group:
            parent[root(scene)] = root(f"group {group}")
    return np.unique([root(scene) for scene in names], return_inverse=True)[1].reshape(-1)
