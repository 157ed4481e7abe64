"""An item as a row of a parquet file and back: the five published columns, then everything else that an item holds."""

from __future__ import annotations

import json

from dsr_core.qa.item import LETTERS, Candidate, Item

#: The published columns (DSR-Bench and DSR-Train), in their order.
PUBLISHED = ("videoID", "type", "question", "options", "answer")
#: Name -> type of our own columns, in their order; types as `pyarrow.type_for_alias` has them, lists by "[]".
OWN = {
    "scene": "string",
    "has_video": "bool",
    "kind": "string",
    "viewer": "string",
    "things": "string[]",
    "tracks": "string[]",
    "start_s": "double",
    "end_s": "double",
    "viewpoint_agent": "string",
    "viewpoint_mode": "string",
    "viewpoint_at_s": "double",
    "labels": "string[]",
    "others": "string[]",
    "margin": "double",
    "confidence": "double",
    "value": "double",
    "unit": "string",
    "metric": "bool",
    "rules": "string",
    "samples": "int64",
    "image_width": "int64",
    "image_height": "int64",
    "future_from_s": "double",
    "ego_motion": "string",
    "object_motion": "string",
    "distractors": "string",
    "origins": "string[]",
    "group": "string",
    "covariates": "double[]",
    "query": "string",
    "spatial_states": "string",
    "provenance": "string",
}
_SAME = (
    *("scene", "kind", "viewer", "margin", "confidence", "value", "unit", "metric", "rules", "samples"),
    *("future_from_s", "ego_motion", "object_motion"),
)
_LISTS = ("things", "tracks", "labels", "others", "covariates")


def lettered(options: tuple[str, ...]) -> list[str]:
    """Options as the published files have them: "A. (1) Right."."""
    return [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]


def row_of(item: Item, provenance: dict) -> dict:
    """An item as a row; `provenance` goes into each one, beside the item's own `extra`."""
    c = item.candidate
    row = {
        "videoID": c.video_id or c.scene,
        "type": c.type,
        "question": c.question,
        "options": lettered(item.options),
        "answer": item.letter,
        "has_video": bool(c.video_id),
        "start_s": c.window[0],
        "end_s": c.window[1],
        "viewpoint_agent": c.viewpoint.get("agent"),
        "viewpoint_mode": c.viewpoint.get("mode"),
        "viewpoint_at_s": c.viewpoint.get("at"),
        "image_width": c.image_size[0] if c.image_size else None,
        "image_height": c.image_size[1] if c.image_size else None,
        "distractors": item.distractors,
        "origins": list(item.origins),
        "group": item.group,
        "query": as_json(c.query),
        "spatial_states": None if c.spatial_states is None else as_json(c.spatial_states),
        "provenance": as_json({**provenance, **item.extra}),
    }
    return row | {name: getattr(c, name) for name in _SAME} | {name: list(getattr(c, name)) for name in _LISTS}


def item_of(row: dict, options: tuple[str, ...], answer_index: int) -> Item:
    """The item of a row that `row_of` made.

    Args:
        row: By column. options: Without letters. answer_index: Of the true one.
    """
    states = row["spatial_states"]
    candidate = Candidate(
        **{name: row[name] for name in _SAME},
        **{name: tuple(row[name] or ()) for name in _LISTS},
        video_id=row["videoID"] if row["has_video"] else "",
        type=row["type"],
        question=row["question"],
        answer=options[answer_index],
        window=(row["start_s"], row["end_s"]),
        viewpoint={
            "agent": row["viewpoint_agent"],
            "mode": row["viewpoint_mode"],
            "at": row["viewpoint_at_s"],
        },
        query=json.loads(row["query"]),
        image_size=(row["image_width"], row["image_height"]) if row["image_width"] else None,
        spatial_states=None if states is None else json.loads(states),
    )
    return Item(
        candidate,
        options,
        answer_index,
        tuple(row["origins"] or ()),
        row["distractors"],
        row["group"],
        json.loads(row["provenance"]),
    )


def as_json(value) -> str:
    """Compact JSON with sorted keys: the same value is the same text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
