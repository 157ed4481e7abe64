"""Oracles of facing, turning and the meetings, by docs/kinds.md, on raw arrays; see tests/oracle_metric.py."""

from __future__ import annotations

import itertools
import math

import numpy as np

from tests import oracle
from tests.oracle_bodies import Body, in_frame
from tests.oracle_clear import Clear

#: A crossing goes at least this far off the viewer's forward axis.
ACROSS = math.pi / 6

#: Words in the class of what rolls on steered wheels.
STEERED = ("car", "van", "truck", "bus", "tram", "vehicle", "trailer", "cycl")


def wrapped(angle):
    return (angle + math.pi) % (2 * math.pi) - math.pi


def moves(scene, thing: Body):
    return oracle.moving(thing.p, 0.0 if math.isnan(thing.length) else thing.length, max(1.5 * scene.ego_sigma_m, 0.15))


def facing(scene, subject: Body, other: Body):
    d = other.p - subject.p
    r = np.linalg.norm(d, axis=1)
    if r.min() < 1.0:
        return None
    seen = in_frame(subject, other.p)
    angle = np.abs(np.arctan2(seen[:, 1], seen[:, 0]))
    r = np.hypot(seen[:, 0], seen[:, 1])
    if r.min() < 1.0:
        return None
    noise = 3 * subject.heading_sigma + 3 * np.hypot(subject.sigma, other.sigma) / r + 0.03
    label = None
    if np.all(angle < math.pi / 4 - noise):
        label = "facing"
    elif np.all(angle > 3 * math.pi / 4 + noise):
        label = "away"
    elif np.all((angle > math.pi / 4 + noise) & (angle < 3 * math.pi / 4 - noise)):
        label = "sideways"
    return label and Clear(only=label, value=float(angle[-1]), tolerance=float(noise[-1]) + 0.05)


def turning(scene, subject: Body):
    yaw = subject.yaw
    if np.abs(np.diff(yaw)).max() > 0.35:
        return None  # labels that flip
    ends = yaw[:3].mean(), yaw[-3:].mean()
    total = ends[1] - ends[0]
    tolerance = 3 * subject.heading_sigma + 0.05 + abs(float(yaw[-1] - yaw[-4])) + abs(float(yaw[3] - yaw[0]))
    if any(word in subject.label for word in STEERED) and moves(scene, subject) != "moving":
        # The label of a parked car may wander, but the car does not turn.
        return Clear(only="straight") if moves(scene, subject) == "still" else None
    if np.ptp(yaw) < 0.13:
        return Clear(only="straight", value=float(total), tolerance=tolerance)
    along = np.sign(total) * yaw
    back = float((np.maximum.accumulate(along) - along).max())
    if abs(total) < max(0.4, 6 * subject.heading_sigma) or back > 0.13:
        return None
    names = ("turning_left", "turning_right")
    label, never = names if total > 0 else names[::-1]
    return Clear(has=label, never=(never,), value=float(total), tolerance=tolerance)


def closest_approach(scene, subject: Body, other: Body):
    """Needs a window of more than a second; asks only where the velocity of the last second was steady."""
    r = subject.p - other.p
    t = subject.t
    back = int(np.argmin(np.abs(t - (t[-1] - 1.0))))
    middle = (back + len(t) - 1) // 2
    if len(t) - back < 9:
        return None
    v = (r[-1] - r[back]) / (t[-1] - t[back])
    first, second = (r[b] - r[a] for a, b in ((back, middle), (middle, len(t) - 1)))
    first, second = first / (t[middle] - t[back]), second / (t[-1] - t[middle])
    sigma = math.hypot(float(subject.sigma[-1]), float(other.sigma[-1]))
    if np.linalg.norm(second - first) > 0.25 * np.linalg.norm(v) + 4 * sigma:
        return None
    distance = float(np.linalg.norm(r[-1]))
    rate = float(r[-1] @ v) / max(distance, 1e-6)
    spread = 1.5 * sigma  # of a rate over one second
    if distance < 1.0:
        return None
    if abs(rate) > 6 * spread + 0.1:
        label = "approaching" if rate < 0 else "receding"
    elif abs(rate) < spread:
        label = "same"
    else:
        return None
    if label == "same":
        return Clear(only="same")
    time = max(0.0, -float(r[-1] @ v) / float(v @ v))
    nearest = float(np.linalg.norm(r[-1] + time * v))
    wrong_v = 3 * spread + float(np.linalg.norm(second - first)) / 2
    tolerance = 3 * sigma + wrong_v * time + 0.02 * distance
    speed = float(np.linalg.norm(v))
    details = {}
    if speed > 3 * wrong_v:
        details["time_to_s"] = (time, (3 * sigma + 2 * wrong_v * time + distance * wrong_v / speed) / speed + 0.05)
    return Clear(only=label, value=nearest, tolerance=tolerance, details=details)


def closest_distance(scene, subject: Body, other: Body):
    d = np.linalg.norm(subject.p - other.p, axis=1)
    at = int(d.argmin())
    sigma = math.hypot(float(subject.sigma[at]), float(other.sigma[at]))
    tolerance = 3 * sigma + 0.02 * float(d[at])
    near = subject.t[d < d[at] + 2 * tolerance]
    details = {}
    if np.ptp(near) < 0.8:
        details["at_s"] = (float(subject.t[at]), 0.6)
    return Clear(value=float(d[at]), tolerance=tolerance, details=details)


def crossing(scene, subject: Body, viewer: Body):
    """Of the viewer at every instant."""
    seen = in_frame(viewer, subject.p)
    forward, left = seen[:, 0], seen[:, 1]
    noise = 4 * np.hypot(subject.sigma, viewer.sigma) + 3 * viewer.heading_sigma * np.linalg.norm(seen, axis=1) + 0.1
    state = moves(scene, subject)
    if state == "still" or np.all(left > noise) or np.all(left < -noise) or np.all(forward < -noise - 1.0):
        return Clear(only="none")
    if state != "moving":
        return None
    sure = np.where(left > noise, 1, np.where(left < -noise, -1, 0))
    known = np.flatnonzero(sure)
    changes = [(a, b) for a, b in itertools.pairwise(known) if sure[a] != sure[b]]
    if len(changes) != 1:
        return None
    a, b = changes[0]
    held = (known[sure[known] == sure[a]], known[sure[known] == sure[b]])
    if min(len(h) for h in held) < 8 or not np.all(forward[a : b + 1] > noise[a : b + 1] + 1.0):
        return None
    # Its own way must go across the view: a view that turns over something does not make it cross.
    lo, hi = max(a - 3, 0), min(b + 3, len(forward) - 1)
    step = subject.p[hi] - subject.p[lo]
    across = -sure[a] * float(viewer.axes[(a + b) // 2][:, 1] @ step) / max(float(np.linalg.norm(step)), 1e-9)
    if across < math.sin(ACROSS) + 0.15 + 3 * viewer.heading_sigma:
        return None
    label = "left_to_right" if sure[a] > 0 else "right_to_left"
    never = "right_to_left" if sure[a] > 0 else "left_to_right"
    flips = [i for i in range(a, b) if left[i] * left[i + 1] <= 0]
    row = flips[-1]
    share = left[row] / (left[row] - left[row + 1]) if left[row] != left[row + 1] else 0.0
    ahead = forward[row] + share * (forward[row + 1] - forward[row])
    spread = float(np.ptp(forward[a : b + 1]))
    return Clear(
        has=label,
        never=(never,),
        value=float(ahead),
        tolerance=float(noise[row]) + spread + 0.02 * abs(float(ahead)),
        details={"at_s": (float((subject.t[a] + subject.t[b]) / 2), float(subject.t[b] - subject.t[a]) / 2 + 0.3)},
    )


def overtaking(scene, subject: Body, other: Body):
    """The subject's place along the object's heading."""
    seen = in_frame(other, subject.p)
    along, aside = seen[:, 0], seen[:, 1]
    turn = np.abs(wrapped(subject.yaw - other.yaw))
    heading_noise = 3 * (subject.heading_sigma + other.heading_sigma)
    noise = 4 * np.hypot(subject.sigma, other.sigma) + 3 * other.heading_sigma * np.linalg.norm(seen, axis=1) + 0.2
    longer = np.nanmax([subject.length, other.length, 0.0])
    limit = 2 * longer
    never = (
        np.all(along > noise)
        or np.all(along < -noise)
        or np.all(turn > math.pi / 3 + heading_noise)
        or np.all(np.abs(aside) > 1.2 * limit + noise)
    )
    if never:
        return Clear(only="none")
    sure = np.where(along > noise, 1, np.where(along < -noise, -1, 0))
    known = np.flatnonzero(sure)
    changes = [(a, b) for a, b in itertools.pairwise(known) if sure[a] != sure[b]]
    if len(changes) != 1:
        return None
    a, b = changes[0]
    part = slice(a, b + 1)
    if min(np.sum(sure == 1), np.sum(sure == -1)) < 8 or b - a > 15:
        return None
    if np.any(turn[part] > math.pi / 3 - heading_noise) or np.any(np.abs(aside[part]) > 0.8 * limit - noise[part]):
        return None
    who = moves(scene, subject), moves(scene, other)
    if None in who:
        return None
    if sure[a] < 0:
        label = "overtook" if who[1] == "moving" else "passed"
    else:
        label = "overtaken"
        if who[0] == "still":
            return None  # whether a thing that stands is "overtaken" is a matter of words
    others = tuple({"overtook", "overtaken", "passed"} - {label})
    flips = [i for i in range(a, b) if along[i] * along[i + 1] <= 0]
    side = float(np.abs(aside[flips[-1]]))

    def check(answer):
        tolerance = float(noise[flips[-1]]) + float(np.ptp(aside[part])) + 0.1
        return [] if answer.value is not None and abs(abs(answer.value) - side) <= tolerance else [f"{answer.value}"]

    half = float(subject.t[b] - subject.t[a]) / 2
    details = {"at_s": (float((subject.t[a] + subject.t[b]) / 2), half + 0.3)}
    return Clear(expected=(label, round(side, 2)), has=label, never=others, check=check, details=details)


def following(scene, subject: Body, other: Body):
    d = other.p - subject.p
    r = np.linalg.norm(d, axis=1)
    if r.min() < 1.0:
        return None
    ahead = np.abs(wrapped(np.arctan2(d[:, 1], d[:, 0]) - subject.yaw))
    turn = np.abs(wrapped(subject.yaw - other.yaw))
    noise = 3 * subject.heading_sigma + 3 * np.hypot(subject.sigma, other.sigma) / r + 0.03
    limit = math.pi / 4
    turn_noise = 3 * math.hypot(subject.heading_sigma, other.heading_sigma) + 0.03
    who = moves(scene, subject), moves(scene, other)
    speed, other_speed = (
        np.linalg.norm(b.p[10:] - b.p[:-10], axis=1) / (b.t[10:] - b.t[:-10]) for b in (subject, other)
    )
    ratio = np.maximum(speed, 1e-3) / np.maximum(other_speed, 1e-3)
    gap_s = r[5:-5] / np.maximum(speed, 1e-3)
    bend = wrapped(other.yaw - subject.yaw) / 2
    beside = np.abs(wrapped(np.arctan2(d[:, 1], d[:, 0]) - subject.yaw - bend)) * r
    limit_m = 2 * np.nanmax([subject.length, other.length, 0.0])
    last = float(r[-1])
    tolerance = 3 * math.hypot(float(subject.sigma[-1]), float(other.sigma[-1])) + 0.02 * last
    never = "still" in who or np.all(ahead > limit + noise) or np.all(turn > limit + turn_noise)
    if never or np.all(gap_s > 7) or np.all(ratio > 4) or np.all(ratio < 0.25) or np.all(beside > 1.3 * limit_m + 1):
        return Clear(only="not_following", value=last, tolerance=tolerance)
    steady = all(np.linalg.norm(b.p[10:] - b.p[:-10], axis=1).min() > 1.0 for b in (subject, other))
    holds = steady and np.all(ahead < limit - noise) and np.all(turn < limit - turn_noise)
    holds = holds and gap_s.max() < 4 and 0.5 < ratio.min() and ratio.max() < 2 and beside.max() < 0.7 * limit_m - 0.5
    if who == ("moving", "moving") and holds and subject.t[-1] - subject.t[0] >= 2.5:
        return Clear(only="following", value=last, tolerance=tolerance)
    return None
