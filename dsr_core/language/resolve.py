"""WHO -> agent: finds the thing that a query names, or says what there is instead."""

from __future__ import annotations

import re

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.language.attributes import who_of
from dsr_core.language.names import class_match, ego_name, normalise_name, same_class, without_article
from dsr_core.language.select import select
from dsr_core.reasoning.agents import FRAME_PREFIX, Agent
from dsr_core.reasoning.quantities import Viewer
from dsr_core.reasoning.query import EGO_NAMES, Who
from dsr_core.reasoning.window import INSTANT_HALF_WINDOW_S, is_instant
from dsr_core.scene import Scene, Track

MAX_CANDIDATES = 20
#: A box names the track whose own box overlaps it at least this much (intersection over union).
MIN_BOX_IOU = 0.3
MAX_BOX_GAP_S = 0.25


def resolve(scene: Scene, who: Who, window: tuple[float, float] | None = None, viewer: Viewer | None = None) -> Agent:
    """Finds the agent that `who` names.

    A name is tried as "robot", "camera", "map", then as a track id, then as a frame ("frame:tool0", or its bare name),
    then as "<label> <id>", then as a label (things of that very class go before those that a wider name also fits),
    then as a name that chooses ("the nearest car"). Where a label fits several things, those seen in the window are
    taken; several of them are ambiguous.

    Args:
        scene: What is known.
        who: The name.
        window: (start, end) in seconds that the question is about.
        viewer: Whose left and right choose among several things; None: the robot's.

    Raises:
        DeclineError: NO_SUCH_OBJECT, AMBIGUOUS_OBJECT or NOT_OBSERVED, with candidates; what choosing needs
            (`dsr_core.language.select`).
    """
    if isinstance(who, str):
        found = by_name(scene, without_article(who.strip()))
        if found is not None:
            return found
        who = {"label": without_article(who.strip())}
    label = who.get("label")
    if label is not None and "box" not in who and ego_name(label):
        return Agent(ego_name(label))
    fitting = fitting_tracks(scene, label)
    if not fitting:
        if label is None:
            raise DeclineError("NO_SUCH_OBJECT", "nothing has been seen", names_there(scene))
        chosen = who_of(label)
        if isinstance(chosen, dict) and "select" not in who:
            if "box" in who:  # the box chooses
                chosen = {k: v for k, v in chosen.items() if k == "label"}
            return resolve(scene, {**{k: v for k, v in who.items() if k != "label"}, **chosen}, window, viewer)
        _decline_other(scene, label)
        raise DeclineError("NO_SUCH_OBJECT", f"nothing called {_shown(label)} has been seen", names_there(scene))
    if who.get("box") is not None:
        return by_box(scene, who, fitting, window)
    seen = fitting if window is None else [t for t in fitting if seen_in(t, window)]
    if not seen:
        last = max(fitting, key=lambda t: t.stamps_s[-1])
        raise DeclineError(
            "NOT_OBSERVED",
            f"no {normalise_name(label or 'thing')} was seen between {window[0]:.1f} s and {window[1]:.1f} s;"
            f" {last.label} {last.id} was seen from {last.stamps_s[0]:.1f} s to {last.stamps_s[-1]:.1f} s",
            tuple(_describe(t) for t in fitting[:MAX_CANDIDATES]),
        )
    if who.get("select") is not None:
        seen = select(scene, seen, who["select"], int(who.get("rank", 1)), who.get("at"), window, viewer)
    if len(seen) > 1:
        raise _ambiguous(label, seen)
    return Agent(seen[0].id, seen[0])


def by_name(scene: Scene, name: str) -> Agent | None:
    """ "robot", a track's id, a frame, or "<label> <id>"; None for any other name."""
    if name.lower() in EGO_NAMES:
        return Agent(name.lower())
    if name in scene.tracks:
        return Agent(name, scene.tracks[name])
    frame = _frame(scene, name)
    if frame is not None:
        return Agent(f"{FRAME_PREFIX}{frame}")
    if ego_name(name):
        return Agent(ego_name(name))
    match = re.fullmatch(r"(?:(.*?)\s+)?(?:number\s+|id\s+|#)?(\S+)", name)
    if match and match[2] in scene.tracks and match[1]:
        track = scene.tracks[match[2]]
        if match[1].lower() in ("track", "object", "thing", "id", "number") or same_class(match[1], track.label):
            return Agent(track.id, track)
    return None


def _frame(scene: Scene, name: str) -> str | None:
    """The frame that a name means: "frame:tool0" (known or not), or "tool0", "the frame tool0" where it is known."""
    if name.startswith(FRAME_PREFIX):
        return name[len(FRAME_PREFIX) :].strip().lstrip("/")
    match = re.fullmatch(r"(?:tf )?frame (\S+)|(\S+) frame", name, re.IGNORECASE)
    bare = (match[1] or match[2] if match else name).lstrip("/")
    return bare if bare in scene.frames else None


def fitting_tracks(scene: Scene, label: str | None) -> list[Track]:
    """The tracks that a label names: one of that id, else those of that very class, else those of a narrower one."""
    tracks = list(scene.tracks.values())
    if label is None:
        return tracks
    by_id = [t for t in tracks if t.id == label]
    if by_id:
        return by_id
    matches = [class_match(label, t.label) for t in tracks]
    same = [t for t, match in zip(tracks, matches, strict=True) if match == "same"]
    return same or [t for t, match in zip(tracks, matches, strict=True) if match]


def _decline_other(scene: Scene, label: str | None) -> None:
    """ "The other car" depends on what was spoken of before, which a single question does not tell."""
    match = re.fullmatch(r"(?:an)?other (.+)", label or "", re.IGNORECASE)
    fitting = fitting_tracks(scene, match[1]) if match else []
    if fitting:
        raise _ambiguous(label, fitting)


def _ambiguous(label: str | None, tracks: list[Track]) -> DeclineError:
    name = "" if label is None else f" {_shown(label)}"
    return DeclineError(
        "AMBIGUOUS_OBJECT",
        f"{len(tracks)} thing{'s fit' if len(tracks) > 1 else ' fits'}{name}; name one by its id",
        tuple(_describe(t) for t in tracks[:MAX_CANDIDATES]),
    )


def _shown(label: str) -> str:
    return repr(label if len(label) <= 60 else label[:57] + "...")


def _describe(track: Track) -> str:
    return f"{track.label} {track.id}"


def names_there(scene: Scene) -> tuple[str, ...]:
    """What a question could name: ids where there are few things, else classes."""
    counts: dict[str, int] = {}
    for track in scene.tracks.values():
        counts[track.label] = counts.get(track.label, 0) + 1
    few = len(scene.tracks) <= MAX_CANDIDATES
    names = [_describe(t) for t in scene.tracks.values()] if few else list(counts)
    frames = [f"{FRAME_PREFIX}{name}" for name in scene.frames]
    return ("robot", "camera", *frames, *names)[:MAX_CANDIDATES]


def seen_in(track: Track, window: tuple[float, float]) -> bool:
    """Whether the track was observed in the window, or within half a second of an instant."""
    around_s = INSTANT_HALF_WINDOW_S if is_instant(window) else 0.0
    lo = track.stamps_s.searchsorted(window[0] - around_s, "left")
    hi = track.stamps_s.searchsorted(window[1] + around_s, "right")
    return bool(track.observed[lo:hi].any())


def by_box(scene: Scene, who: dict, fitting: list[Track], window) -> Agent:
    """The track whose own box overlaps the given one most at the given time (default: the window's start)."""
    at = who.get("at")
    if at is None:
        at = window[0] if window else None
    box = np.asarray(who["box"], float)
    best, best_iou = None, 0.0
    for track in fitting:
        has_box = np.isfinite(track.boxes_px).all(axis=1)
        if at is not None:
            has_box &= np.abs(track.stamps_s - at) <= MAX_BOX_GAP_S
        if not has_box.any():
            continue
        boxes = track.boxes_px[has_box]
        size = who.get("image_size")
        if size is not None and track.image_size is not None:
            scale = np.array(track.image_size, float) / np.asarray(size, float)
            scaled = box * np.tile(scale, 2)
        else:
            scaled = box
        if at is not None:
            boxes = boxes[[np.abs(track.stamps_s[has_box] - at).argmin()]]
        iou = float(_iou(boxes, scaled).max())
        if iou > best_iou:
            best, best_iou = track, iou
    if best is None or best_iou < MIN_BOX_IOU:
        when = "" if at is None else f" at {at:.1f} s"
        raise DeclineError(
            "NO_SUCH_OBJECT",
            f"no {_shown(who['label']) if 'label' in who else 'thing'} has the box"
            f" {[round(float(v), 1) for v in box]}{when} (best overlap {best_iou:.2f}, {MIN_BOX_IOU} needed);"
            " give image_size when the box refers to another image size",
            tuple(_describe(t) for t in fitting[:MAX_CANDIDATES]),
        )
    return Agent(best.id, best)


def _iou(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (N, 4) with one box (4,)."""
    size = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = np.clip(size, 0.0, None).prod(axis=1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return shared / np.maximum(area - shared, 1e-9)
