"""Oracles of position, visibility and last_seen, by docs/kinds.md, on raw arrays; see tests/oracle_metric.py."""

from __future__ import annotations

import math

import numpy as np

from tests.oracle_bodies import Body, in_frame
from tests.oracle_clear import Clear, sides_of


def position(scene, subject: Body, viewer: Body, row=None):
    at = -1 if row is None else row
    seen = in_frame(viewer, subject.p, row)[-1]
    r = float(np.linalg.norm(seen))
    if r < 1.0:
        return None
    sigma = math.hypot(float(subject.sigma[-1]), float(viewer.sigma[at]), 0.0 if row is None else scene.ego_sigma_m)
    angle = 2 * sigma / r + 2 * viewer.heading_sigma
    bearing = math.atan2(seen[1], seen[0])
    tolerance = 3 * sigma + 0.02 * r

    def check(answer):
        got = answer.details.get("bearing_rad")
        off = math.inf if got is None else abs((got - bearing + math.pi) % (2 * math.pi) - math.pi)
        level = math.hypot(seen[0], seen[1]) / r
        return [] if off <= (2 * angle + 0.03) / max(level, 1e-3) else [f"bearing {got} not {bearing:.3f}"]

    view = 3 * sigma + 0.02 * r + 3 * viewer.heading_sigma * r
    details = {
        "position_world_m": (subject.p[-1], tolerance + 0.1),
        "position_in_view_m": (seen, view),
    }
    return Clear(sides=sides_of(seen, angle), value=r, tolerance=tolerance, check=check, details=details)


def in_picture(scene, p, row, edge_px):
    """True where a point is clearly in the camera's picture, False clearly outside, else None."""
    T = scene.T_world_camera[row]
    x, y, z = (float(T[:3, i] @ (p - T[:3, 3])) for i in range(3))
    if z < -1.0:
        return False
    if z < 1.0:
        return None
    u, v = scene.K[0, 0] * x / z + scene.K[0, 2], scene.K[1, 1] * y / z + scene.K[1, 2]
    width, height = scene.image_size
    if edge_px < u < width - edge_px and edge_px / 4 < v < height - edge_px / 4:
        return True
    if u < -edge_px or u > width + edge_px or v < -edge_px or v > height + edge_px:
        return False
    return None


def seen_at(scene, subject: Body, now):
    """Whether the subject is in view by the observations around a time; None where the gap is about a second."""
    before, after = subject.t[subject.t <= now + 1e-9], subject.t[subject.t >= now - 1e-9]
    if not len(before):
        return None
    known = max(float(scene.stamps_s[-1]), float(subject.t[-1]))
    gap = float(after[0] - before[-1]) if len(after) else 2.0 * (known - float(before[-1]))
    return None if 0.8 < gap < 1.2 else gap < 1.0


def visibility(scene, subject: Body, start, end):
    """What holds at the scene's stamps, where it is clear, checked away from the changes."""
    rows = np.flatnonzero((scene.stamps_s >= start - 1e-6) & (scene.stamps_s <= end + 1e-6))
    said = []
    for row in rows:
        now = float(scene.stamps_s[row])
        seen = seen_at(scene, subject, now)
        if seen is not False:
            said.append("in_view" if seen else None)
            continue
        last = np.flatnonzero(subject.t <= now)[-1]
        back = max(last - 10, 0)
        v = (subject.p[last] - subject.p[back]) / max(subject.t[last] - subject.t[back], 1e-6)
        places = [subject.p[last] + share * v * (now - subject.t[last]) for share in (0.0, 0.5, 1.0)]
        inside = {False if scene.K is None else in_picture(scene, p, row, 60.0) for p in places}
        said.append(None if len(inside) > 1 else {True: "occluded", False: "out_of_view", None: None}[inside.pop()])
    stamps = scene.stamps_s[rows]
    changes = [stamps[i] for i in range(1, len(said)) if said[i] != said[i - 1]]
    sure = [
        (float(s), name)
        for s, name in zip(stamps, said, strict=True)
        if name and all(abs(s - c) > 0.6 for c in changes)
    ]
    if len(sure) < 5:
        return None

    def check(answer):
        wrong = set()
        for s, name in sure:
            got = {x.label for x in answer.states if x.start - 1e-6 <= s <= x.end + 1e-6}
            if got != {name}:
                wrong.add(f"{name} is {sorted(got)} at {s:.2f}")
        return sorted(wrong)

    fine = np.arange(start + 0.005, end, 0.01)
    views = [seen_at(scene, subject, float(x)) for x in fine]
    whole = None not in views and "in_view" in said
    return Clear(
        expected=tuple(dict.fromkeys(name for _, name in sure)),
        check=check,
        value=0.01 * sum(views) if whole else None,
        tolerance=0.15,
    )


def last_seen(scene, subject: Body, start, end):
    rows = subject.rows(start, end)
    if not len(rows):
        return None
    at = float(subject.t[rows[-1]])
    return Clear(value=end - at, tolerance=0.051, details={"at_s": (at, 0.051)})
