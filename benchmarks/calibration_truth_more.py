"""What really happened, for the kinds that compare a window's ends, that speak of headings, and of meetings."""

from __future__ import annotations

import itertools

import numpy as np
from calibration_truth import FRACTION, LEAST_S, MOST, Truth, share_of_sides, times

FACING_RAD, FACING_SLACK_RAD = np.pi / 4, 0.05
TURN_RAD, STEERING_LENGTHS = 0.2, 0.5
STEERED = ("car", "van", "truck", "bus", "vehicle", "cyclist", "bicycle", "motorcycle", "tram")
CROSSING = np.sin(np.pi / 6)
#: Coordinates nearer to zero than this are the labels' own noise, metres.
NEAR_M = 0.3
FOLLOWING_RAD, FOLLOWING_S, HEADWAY_S, BESIDE_LENGTHS, SPEEDS = np.pi / 4, 2.0, 5.0, 2.0, 3.0


class FullTruth(Truth):
    """The labels of one scene, judged for every kind that has labels of its own."""

    # --- from the window's start to its end --------------------------------------------------------------------------

    def _displacement(self, q, label, span, inner):
        thing = self.things[q.subject]
        if thing.parked:
            return label == "stayed"
        way = thing.at(np.array(span))
        went, least = np.linalg.norm(way[1] - way[0]), FRACTION * thing.length
        if max(went, least) < 2.0 * np.sqrt(2.0) * self.noise.displacement_m(span[1] - span[0]):
            return None
        return bool((went > least) == (label == "moved"))

    def _path_length(self, q, label, span, inner):
        return self._motion(q, label, span, inner)

    def _moving_direction(self, q, label, span, inner):
        stayed = self._displacement(q, "stayed", span, inner)
        if stayed is None or stayed or label == "still":
            return stayed if label == "still" else None if stayed is None else False
        ends = np.array(span)
        way = self.things[q.subject].at(ends)
        u = (way[1] - way[0]) / np.linalg.norm(way[1] - way[0])
        return bool(share_of_sides(u[None] @ self.things[q.viewer].axes(ends[:1])[0], label))

    def _distance_change(self, q, label, span, inner):
        ends = np.array(span)
        thing, other = self.things[q.subject], self.things[q.object]
        local = np.einsum("tji,tj->ti", thing.axes(ends), other.at(ends) - thing.at(ends))
        n = np.linalg.norm(local - np.clip(local, -thing.size / 2, thing.size / 2), axis=1)
        return _changed(n[1] - n[0], FRACTION * n.max(), label, ("increasing", "decreasing"))

    def _lateral_change(self, q, label, span, inner):
        return self._coordinate(q, label, span, 1, ("left", "right"))

    def _depth_change(self, q, label, span, inner):
        return self._coordinate(q, label, span, 0, ("farther", "closer"))

    def _coordinate(self, q, label, span, axis, names):
        seen = self._in_view(q, np.array(span))
        least = FRACTION * np.linalg.norm(seen, axis=1).mean()
        return _changed(seen[1, axis] - seen[0, axis], least, label, names)

    def _position(self, q, label, span, inner):
        seen = self._in_view(q, np.array([span[1]]))
        return bool(share_of_sides(seen / np.linalg.norm(seen), label))

    # --- headings ----------------------------------------------------------------------------------------------------

    def _facing(self, q, label, span, inner):
        t = times(*inner)
        subject = self.things[q.subject]
        toward = np.einsum("tji,tj->ti", subject.axes(t), self.things[q.object].at(t) - subject.at(t))
        angle = np.abs(np.arctan2(toward[:, 1], toward[:, 0]))
        low, high = {
            "facing": (-1.0, FACING_RAD),
            "sideways": (FACING_RAD, np.pi - FACING_RAD),
            "away": (np.pi - FACING_RAD, 4.0),
        }[label]
        return bool(np.mean((angle > low - FACING_SLACK_RAD) & (angle < high + FACING_SLACK_RAD)) >= MOST)

    def _turning(self, q, label, span, inner):
        thing = self.things[q.subject]

        def heading(part):
            forward = thing.axes(times(*part))[:, :, 0]
            return np.unwrap(np.arctan2(forward[:, 1], forward[:, 0]))

        x, y = heading(span), heading(inner)
        net = x[-1] - x[0]
        path = np.linalg.norm(np.diff(thing.at(times(*span)), axis=0), axis=1).sum()
        rolls = thing.parked or path < STEERING_LENGTHS * thing.length * abs(net)
        if rolls and any(name in thing.label for name in STEERED):
            return label == "straight"
        rise, fall = (y - np.minimum.accumulate(y)).max(), (np.maximum.accumulate(y) - y).max()
        if label == "straight":
            return bool(abs(net) <= TURN_RAD and min(rise, fall) <= TURN_RAD)
        return bool(
            net > TURN_RAD and fall <= TURN_RAD if label == "turning_left" else net < -TURN_RAD and rise <= TURN_RAD
        )

    # --- meetings ----------------------------------------------------------------------------------------------------

    def _closest_approach(self, q, label, span, inner):
        t = np.array([span[1] - 1.0, span[1]])
        a, b = self.things[q.subject], self.things[q.object]
        r = a.at(t) - b.at(t)
        v = r[1] - r[0]
        rate, least = r[1] @ v / max(np.linalg.norm(r[1]), 1e-9), FRACTION * np.linalg.norm(v)
        if a.parked and b.parked:
            return label == "same"
        if max(abs(rate), least) < 2.0 * np.sqrt(2.0) * self.noise.speed_m_s:
            return None
        if label == "same":  # the distance keeps nearly constant, or they go past each other
            return bool(abs(rate) <= max(least, FRACTION * np.linalg.norm(r[1])))
        return _changed(rate, least, label, ("receding", "approaching"), "same")

    def _crossing(self, q, label, span, inner):
        crossings = self._crossings(q)
        if crossings is None:
            return None
        if label == "none":
            return not crossings
        sign = 1 if label == "right_to_left" else -1
        return any(s == sign and span[0] - LEAST_S <= at <= span[1] + LEAST_S for s, at in crossings)

    def _crossings(self, q):
        """(sign, time) of each crossing, left positive; None where one hangs on the labels' noise."""
        t = times(*q.window)
        seen = self._in_view(q, t)
        left, thing = seen[:, 1], self.things[q.subject]
        found = []
        beyond = np.flatnonzero(np.abs(left) > NEAR_M)
        if len(beyond) == 0 or (np.sign(left).min() < 0 < np.sign(left).max() and np.ptp(np.sign(left[beyond])) == 0):
            return None if seen[np.abs(left).argmin(), 0] > 0 and not thing.parked else []
        for a, b in itertools.pairwise(beyond):
            if left[a] * left[b] > 0:
                continue
            at = t[a] + (t[b] - t[a]) * left[a] / (left[a] - left[b])
            way = thing.at(np.array([at - 0.5, at + 0.5]))
            v = self._seen_by(q.viewer, (way[1] - way[0])[None], np.array([at]))[0]
            speed, sign = np.hypot(v[0], v[1]), int(np.sign(left[b]))
            if thing.parked or np.interp(at, t, seen[:, 0]) < 0:
                continue
            held = [np.abs(t - edge)[np.sign(left) == side].max() for edge, side in ((at, -sign), (at, sign))]
            if speed < 2.0 * self.noise.speed_m_s or min(held) < 2 * LEAST_S:
                return None
            if sign * v[1] / speed > CROSSING:
                found.append((sign, at))
        return found

    def _following(self, q, label, span, inner):
        a, b = self.things[q.subject], self.things[q.object]
        if a.parked or b.parked:
            return label == "not_following"
        t = times(*q.window)
        place = b.at(t) - a.at(t)
        seen, other = (np.einsum("tji,tj->ti", a.axes(t), v) for v in (place, b.axes(t)[:, :, 0]))
        bearing, turn = (np.arctan2(v[:, 1], v[:, 0]) for v in (seen, other))
        distance, speeds = np.linalg.norm(place, axis=1), [self._speeds(w, q.window) for w in (q.subject, q.object)]
        slow, fast = np.minimum(*speeds), np.maximum(*speeds)
        if slow.max() < 2.0 * np.sqrt(2.0) * self.noise.speed_m_s:
            return None
        together = (
            (np.abs(bearing) < FOLLOWING_RAD) & (np.abs(turn) < FOLLOWING_RAD) & (distance < HEADWAY_S * speeds[0])
        )
        together &= np.abs(bearing - turn / 2) * distance < BESIDE_LENGTHS * max(a.length, b.length)
        together &= fast < SPEEDS * slow
        mine = together[(t >= inner[0]) & (t <= inner[1])]
        if label == "following":
            return bool(mine.mean() >= MOST)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mine, [False]]).astype(int)))
        longest = max(
            (t[1] - t[0]) * (stop - start) for start, stop in zip([0, *edges[::2]], [0, *edges[1::2]], strict=True)
        )
        return bool(longest < FOLLOWING_S)

    def _in_view(self, q, t):
        return self._seen_by(q.viewer, self.things[q.subject].at(t) - self.things[q.viewer].at(t), t)


def _changed(change, least, label, names, none="constant") -> bool:
    """Whether a number's change, beyond `least` or not, has this label; names: of up, of down."""
    return label == (none if abs(change) <= least else names[0] if change > 0 else names[1])
