"""An independent oracle: plain finite differences on raw positions and headings, no code of the library.

It speaks only where the margin is clear: the change beyond twice its noise and beyond 5 %, the same in both halves of
the window. Everything is trigonometry on ground-plane headings and differences of the means of a few samples.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

#: One-sigma of a position relative to another some seconds later, for labels of recorded data, metres.
NOISE_M = 0.15
EDGE = 3  # samples averaged at each end of a window


def rows_between(stamps_s, start, end):
    return np.flatnonzero((stamps_s >= start - 1e-6) & (stamps_s <= end + 1e-6))


def common(stamps_a, stamps_b, start, end):
    """Indices of samples that both have at the same time inside the window."""
    a, b = rows_between(stamps_a, start, end), rows_between(stamps_b, start, end)
    _, i, j = np.intersect1d(np.round(stamps_a[a], 4), np.round(stamps_b[b], 4), return_indices=True)
    return a[i], b[j]


def trend(d, noise=NOISE_M):
    """ "increasing" or "decreasing" where the distance d (T,) clearly changes one way all along, else None."""
    if len(d) < 4 * EDGE:
        return None
    ends = d[:EDGE].mean(), d[-EDGE:].mean()
    middle = d[len(d) // 2 - 1 : len(d) // 2 + 2].mean()
    change = ends[1] - ends[0]
    clear = max(2 * noise, 0.05 * max(ends))
    if abs(change) <= clear or (middle - ends[0]) * change <= 0 or (ends[1] - middle) * change <= 0:
        return None
    along = d * np.sign(change)
    if (np.maximum.accumulate(along) - along).max() > max(noise, 0.03 * max(ends)):
        return None  # it turns round inside the window
    return "increasing" if change > 0 else "decreasing"


def moving(p, length, noise=NOISE_M):
    """ "moving" or "still" where positions p (T, 3) clearly go somewhere or clearly stay, else None."""
    if len(p) < 4 * EDGE:
        return None
    quarters = [part.mean(axis=0)[:2] for part in np.array_split(p, 4)]
    steps = [np.linalg.norm(b - a) for a, b in itertools.pairwise(quarters)]
    far = max(np.linalg.norm(b - a) for a in quarters for b in quarters)
    if min(steps) > max(2 * noise, 0.05 * length):
        return "moving"
    return "still" if far < noise else None


def faster(p, q, t, noise=NOISE_M):
    """ "first_faster" or "second_faster" where the mean speeds of both halves clearly agree, else None."""
    verdicts = set()
    for half in np.array_split(np.arange(len(t)), 2):
        if len(half) < 2 * EDGE:
            return None
        span = t[half[-EDGE:]].mean() - t[half[:EDGE]].mean()
        a, b = (np.linalg.norm(x[half[-EDGE:]].mean(axis=0) - x[half[:EDGE]].mean(axis=0)) / span for x in (p, q))
        clear = max(2 * noise / span, 0.05 * max(a, b))
        verdicts.add(None if abs(a - b) <= clear else "first_faster" if a > b else "second_faster")
    return verdicts.pop() if len(verdicts) == 1 else None


def sides(p_subject, p_viewer, yaw_viewer, margin_rad=0.12):
    """("front"|"behind"|"" , "left"|"right"|"") clearly true at every sample, None where unclear.

    The unit vector from viewer to subject is turned by minus the viewer's heading; a component beyond
    0.3 names its side (72.5 degrees off the axis).
    """
    out = []
    dx, dy, dz = (p_subject - p_viewer).T
    r = np.maximum(np.sqrt(dx**2 + dy**2 + dz**2), 1e-6)
    noise = margin_rad + 2 * NOISE_M / r
    forward = (np.cos(yaw_viewer) * dx + np.sin(yaw_viewer) * dy) / r
    left = (-np.sin(yaw_viewer) * dx + np.cos(yaw_viewer) * dy) / r
    for component, names in ((forward, ("front", "behind")), (left, ("left", "right"))):
        if np.all(component > 0.3 + noise):
            out.append(names[0])
        elif np.all(component < -0.3 - noise):
            out.append(names[1])
        elif np.all(np.abs(component) < 0.3 - noise):
            out.append("")
        else:
            out.append(None)
    return out


def yaw_of(quaternions_xyzw):
    """Heading about z of quaternions (T, 4), by the textbook formula."""
    x, y, z, w = quaternions_xyzw.T
    return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def yaw_of_matrix(R):
    return np.array([math.atan2(m[1, 0], m[0, 0]) for m in R])
