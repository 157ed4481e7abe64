"""TransformBuffer: a tree of named frames with a short history, looked up at a stamp.

The same rules as ROS' tf2: every frame has one parent; transforms are interpolated between their two neighbours in
time; static transforms hold for ever. Unlike tf2, a stamp slightly beyond the ends is answered by the nearest pose
(`tolerance_s`), and a hole in the data longer than `max_gap_s` is refused in place of being drawn across.
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
from scipy.spatial.transform import Rotation

from dsr_core.errors import DsrError, GeometryError


class TransformUnavailable(DsrError):
    """No transform between two frames at a stamp."""


class UnknownFrame(TransformUnavailable):
    """A frame name that no transform has mentioned."""


class NotConnected(TransformUnavailable):
    """Both frames are known but no chain of transforms joins them."""


class TransformBeyond(TransformUnavailable):
    """The stamp lies outside the data of one link or in a hole of it.

    Attributes:
        parent, child: The link.
        seconds: How far the stamp lies from the nearest pose of the link.
    """

    def __init__(self, message: str, parent: str, child: str, seconds: float):
        super().__init__(message)
        self.parent, self.child, self.seconds = parent, child, seconds


class ExtrapolationIntoFuture(TransformBeyond):
    """The stamp is later than the newest pose of a link: the transform may still arrive."""


class ExtrapolationIntoPast(TransformBeyond):
    """The stamp is earlier than the oldest pose that is kept of a link."""


class TransformGap(TransformBeyond):
    """The stamp lies in a hole of a link."""


class _Link:
    """History of one parent-child transform; a static one has a single pose."""

    __slots__ = ("matrices", "parent", "poses", "stamps_ns", "static")

    def __init__(self, parent: str, static: bool):
        self.parent, self.static = parent, static
        self.stamps_ns: list[int] = []
        self.poses: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
        self.matrices: list[np.ndarray | None] = []

    def matrix(self, index: int) -> np.ndarray:
        """T_parent_child (4, 4) of a stored pose."""
        if self.matrices[index] is None:
            self.matrices[index] = _matrix(*self.poses[index])
        return self.matrices[index]


class TransformBuffer:
    """Transforms of the last seconds between named frames.

    Args:
        cache_s: Poses older than the newest of their link by more than this are dropped.
        tolerance_s: A stamp at most this far outside the data of a link takes the nearest pose.
        max_gap_s: Longest hole that is interpolated across.
    """

    def __init__(self, cache_s: float = 30.0, tolerance_s: float = 0.1, max_gap_s: float = 2.0):
        if not (cache_s > 0 and tolerance_s >= 0 and max_gap_s > 0):
            raise GeometryError(
                f"cache_s={cache_s}, tolerance_s={tolerance_s}, max_gap_s={max_gap_s}:"
                " cache and gap must be positive, the tolerance not negative"
            )
        self.cache_ns = round(cache_s * 1e9)
        self.tolerance_s, self.max_gap_s = float(tolerance_s), float(max_gap_s)
        self._links: dict[str, _Link] = {}

    def add(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        translation: np.ndarray,
        quaternion_xyzw: np.ndarray,
        static: bool = False,
    ) -> bool:
        """Stores T_parent_child at a stamp.

        Args:
            parent: Frame that the transform maps to (`header.frame_id`).
            child: Frame that the transform maps from (`child_frame_id`).
            stamp_ns: Time in nanoseconds; not used for static transforms.
            translation: (3,) metres.
            quaternion_xyzw: (4,) rotation.
            static: The transform holds at all times.

        Returns:
            False when it was ignored: the stamp is there already, or older than the cache reaches.

        Raises:
            GeometryError: an empty or repeated frame name, NaN, or a quaternion without length.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if not parent or not child or parent == child:
            raise GeometryError(f"transform from {child!r} to {parent!r}: two different frame names are needed")
        xyz = tuple(map(float, translation))
        xyzw = tuple(map(float, quaternion_xyzw))
        length = math.sqrt(sum(v * v for v in xyzw))
        if len(xyz) != 3 or len(xyzw) != 4 or not math.isfinite(sum(xyz) + length) or length < 1e-6:
            raise GeometryError(
                f"transform from {child!r} to {parent!r} at {stamp_ns} ns is no pose: translation {xyz}, quaternion"
                f" {xyzw}; three finite numbers and a quaternion x, y, z, w of length 1 are needed"
            )
        link = self._links.get(child)
        if link is None or link.parent != parent or link.static != static:
            link = self._links[child] = _Link(parent, static)
        if static:
            link.stamps_ns, link.poses, link.matrices = [0], [(xyz, xyzw)], [None]
            return True
        stamps = link.stamps_ns
        at = len(stamps) if not stamps or stamp_ns > stamps[-1] else bisect_left(stamps, stamp_ns)
        if stamps and (stamp_ns < stamps[-1] - self.cache_ns or (at < len(stamps) and stamps[at] == stamp_ns)):
            return False
        stamps.insert(at, int(stamp_ns))
        link.poses.insert(at, (xyz, xyzw))
        link.matrices.insert(at, None)
        expired = bisect_left(stamps, stamps[-1] - self.cache_ns)
        if expired:
            del stamps[:expired], link.poses[:expired], link.matrices[:expired]
        return True

    def lookup(self, target: str, source: str, stamp_ns: int, tolerance_s: float | None = None) -> np.ndarray:
        """T_target_source (4, 4) at a stamp: maps points from `source` to `target`.

        Exactly the stored pose where a link has one at that stamp; else linear in translation and spherical in
        rotation between the neighbours.

        Args:
            target: Frame to map to.
            source: Frame to map from.
            stamp_ns: Time in nanoseconds.
            tolerance_s: In place of the buffer's tolerance.

        Raises:
            TransformUnavailable: one of its subclasses, naming the frame or the link and the missing seconds.
        """
        tolerance = self.tolerance_s if tolerance_s is None else tolerance_s
        up, down = self._paths(target.lstrip("/"), source.lstrip("/"))
        T_common_source = self._compose(up, stamp_ns, tolerance)
        if not down:
            return T_common_source
        T = self._compose(down, stamp_ns, tolerance)
        R_t = T[:3, :3].T
        T_target_common = np.eye(4)
        T_target_common[:3, :3] = R_t
        T_target_common[:3, 3] = -(R_t @ T[:3, 3])
        return T_target_common @ T_common_source

    def newest_ns(self, target: str, source: str) -> int | None:
        """Newest stamp at which every link between two frames has data; None where only static links join them.

        Raises:
            TransformUnavailable: the frames are unknown or not connected.
        """
        up, down = self._paths(target.lstrip("/"), source.lstrip("/"))
        return min((self._links[c].stamps_ns[-1] for c in up + down if not self._links[c].static), default=None)

    def frames(self) -> list[str]:
        """Every frame name, sorted."""
        return sorted(self._links.keys() | {link.parent for link in self._links.values()})

    def links(self) -> list[tuple[str, str, bool]]:
        """Every link as parent, child, static."""
        return [(link.parent, child, link.static) for child, link in self._links.items()]

    def history(self, child: str) -> list[int]:
        """Stamps (ns, oldest first) of the poses kept of the link to `child`; not to be changed."""
        link = self._links.get(child.lstrip("/"))
        return [] if link is None or link.static else link.stamps_ns

    def copy_link(self, child: str, to: TransformBuffer) -> None:
        """Adds the whole history of the link to `child` to another buffer."""
        link = self._links[child]
        for stamp_ns, (xyz, xyzw) in zip(link.stamps_ns, link.poses, strict=True):
            to.add(link.parent, child, stamp_ns, xyz, xyzw, link.static)

    def root(self, frame: str) -> str:
        """The topmost ancestor of a frame (itself where it has no parent)."""
        return self._ancestors(frame.lstrip("/"))[-1]

    def clear(self, static: bool = False) -> None:
        """Forgets the dynamic transforms, as after a jump of the clock; the static ones too when `static`."""
        self._links = {} if static else {c: link for c, link in self._links.items() if link.static}

    def _ancestors(self, frame: str) -> list[str]:
        chain = [frame]
        while frame in self._links:
            frame = self._links[frame].parent
            if frame in chain:
                circle = " -> ".join([*chain, frame])
                raise NotConnected(f"transforms go in a circle: {circle}; one publisher names a wrong parent")
            chain.append(frame)
        return chain

    def _paths(self, target: str, source: str) -> tuple[list[str], list[str]]:
        """Children of the links from `source` and from `target` up to their common ancestor."""
        up, down = self._ancestors(source), self._ancestors(target)
        common = next((frame for frame in up if frame in down), None)
        if common is not None:
            return up[: up.index(common)], down[: down.index(common)]
        known = self.frames()
        for frame in (target, source):
            if frame not in known:
                raise UnknownFrame(
                    f"frame {frame!r} is in no transform; known frames: {', '.join(known) or 'none (no /tf received)'}"
                )
        raise NotConnected(
            f"no transform joins {source!r} and {target!r}: {source!r} ends at {up[-1]!r} and {target!r} at"
            f" {down[-1]!r}; publish a transform between these two"
        )

    def _compose(self, children: list[str], stamp_ns: int, tolerance_s: float) -> np.ndarray:
        T = None
        for child in children:
            step = self._at(child, stamp_ns, tolerance_s)
            T = step if T is None else step @ T
        # The stored matrix itself must not leave the buffer.
        return np.eye(4) if T is None else T.copy() if len(children) == 1 else T

    def _at(self, child: str, stamp_ns: int, tolerance_s: float) -> np.ndarray:
        """T_parent_child (4, 4) of one link at a stamp."""
        link = self._links[child]
        if link.static:
            return link.matrix(0)
        stamps = link.stamps_ns
        at = bisect_left(stamps, stamp_ns)
        if at < len(stamps) and stamps[at] == stamp_ns:
            return link.matrix(at)
        if at == 0 or at == len(stamps):
            late = at > 0
            beyond_s = (stamp_ns - stamps[-1] if late else stamps[0] - stamp_ns) * 1e-9
            if beyond_s <= tolerance_s:
                return link.matrix(at - 1 if late else 0)
            error = ExtrapolationIntoFuture if late else ExtrapolationIntoPast
            raise error(
                f"transform {link.parent!r} -> {child!r} is not known at {stamp_ns * 1e-9:.3f} s: its"
                f" {'newest' if late else 'oldest'} pose is {beyond_s:.3f} s {'older' if late else 'later'}"
                f" (tolerance {tolerance_s:g} s)",
                link.parent, child, beyond_s,
            )  # fmt: skip
        gap_s = (stamps[at] - stamps[at - 1]) * 1e-9
        if gap_s > self.max_gap_s:
            before_s, after_s = (stamp_ns - stamps[at - 1]) * 1e-9, (stamps[at] - stamp_ns) * 1e-9
            if min(before_s, after_s) <= tolerance_s:
                return link.matrix(at - 1 if before_s <= after_s else at)
            raise TransformGap(
                f"transform {link.parent!r} -> {child!r} has a hole of {gap_s:.3f} s around {stamp_ns * 1e-9:.3f} s"
                f" (at most {self.max_gap_s:g} s are interpolated)",
                link.parent, child, min(before_s, after_s),
            )  # fmt: skip
        share = (stamp_ns - stamps[at - 1]) / (stamps[at] - stamps[at - 1])
        (p0, q0), (p1, q1) = link.poses[at - 1], link.poses[at]
        return _matrix(tuple(a + share * (b - a) for a, b in zip(p0, p1, strict=True)), _slerp(q0, q1, share))


def _matrix(translation: tuple[float, ...], quaternion_xyzw: tuple[float, ...]) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = Rotation.from_quat(quaternion_xyzw).as_matrix()
    T[:3, 3] = translation
    return T


def _slerp(q0: tuple[float, ...], q1: tuple[float, ...], share: float) -> tuple[float, ...]:
    """Spherical interpolation of two quaternions; scipy's Slerp takes 20 times longer for two poses."""
    n0, n1 = math.hypot(*q0), math.hypot(*q1)
    q0 = tuple(v / n0 for v in q0)
    dot = sum(a * b for a, b in zip(q0, q1, strict=True)) / n1
    # q and -q are the same rotation: take the nearer one, so that the turn goes the short way.
    n1 = -n1 if dot < 0 else n1
    q1 = tuple(v / n1 for v in q1)
    # The half angle from the chord stays exact for small turns, where arccos(dot) does not.
    half = 2 * math.asin(min(1.0, 0.5 * math.dist(q0, q1)))
    if half < 1e-9:
        return tuple(a + share * (b - a) for a, b in zip(q0, q1, strict=True))
    s0, s1 = math.sin((1 - share) * half), math.sin(share * half)
    return tuple((s0 * a + s1 * b) / math.sin(half) for a, b in zip(q0, q1, strict=True))
