"""A long video reconstructed in sliding windows, which the pictures that neighbours share join to one world.

Each window has a frame and a unit of its own. A robust similarity on the points of the shared pictures carries a window
into the frame of the one before; where the points do not agree (a cut, a scale that jumps inside the window), a new
segment begins, whose poses have nothing to do with those before. Odometry, where given, puts every segment into its
world: that gives metres and gravity, and joins the segments again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.similarity import Join, Similarity, join_windows
from dsr_core.geometry.trajectory import Alignment, align_poses
from dsr_core.perception.reconstruction.protocol import Reconstruction, Reconstructor


@dataclass(frozen=True)
class WindowConfig:
    """Constants of the joining.

    Attributes:
        length: Pictures a window.
        overlap: Pictures that neighbours share; two at least, so that a jump of the scale can be told.
        points: About so many points of a shared picture are compared.
        min_confidence: Points below this are not compared.
        max_scale_sigma: Odometry that tells log(scale) less exactly makes nothing metric (the robot stood).
    """

    length: int = 16
    overlap: int = 4
    points: int = 1000
    min_confidence: float = 0.1
    max_scale_sigma: float = 0.1

    def __post_init__(self):
        if not 2 <= self.overlap < self.length:
            raise GeometryError(f"windows: overlap {self.overlap} must be at least 2 and below length {self.length}")
        if self.points < 50:
            raise GeometryError(f"windows: points = {self.points} must be at least 50")


@dataclass(frozen=True, eq=False)
class JoinedReconstruction:
    """A whole video.

    Attributes:
        reconstruction: Points and poses of all pictures; metric where odometry made it so or every window was.
        segment: (N,) int: pictures of one segment share a world; those of two do only where odometry placed both.
        window: (N,) int: the window from which each picture was taken.
        scale: (N,) by which the points of each picture in its window were multiplied.
        joins: How each window joined the one before, the first being the identity.
        alignments: For each segment how odometry placed it, or None where it could not.
    """

    reconstruction: Reconstruction
    segment: np.ndarray
    window: np.ndarray
    scale: np.ndarray
    joins: tuple[Join, ...]
    alignments: tuple[Alignment | None, ...]


def window_starts(count: int, config: WindowConfig) -> list[int]:
    """First picture of each window over `count` pictures; the last window ends with the last picture."""
    if count <= config.length:
        return [0]
    return [*range(0, count - config.length, config.length - config.overlap), count - config.length]


def stream_windows(pictures: Iterable[np.ndarray], config: WindowConfig) -> Iterator[tuple[int, np.ndarray]]:
    """The windows of `window_starts` over pictures (H, W, 3) whose number is not known; holds one window at a time.

    Yields:
        Number of the window's first picture, and its pictures (n, H, W, 3).
    """
    newest: deque[np.ndarray] = deque(maxlen=config.length)
    count, due, end = 0, config.length, 0
    for picture in pictures:
        newest.append(picture)
        count += 1
        if count == due:
            yield count - config.length, np.stack(newest)
            end, due = count, due + config.length - config.overlap
    if end < count:
        yield count - len(newest), np.stack(newest)


def reconstruct_video(
    backend: Reconstructor,
    rgb: Sequence[np.ndarray],
    T_odom_camera: np.ndarray | None = None,
    config: WindowConfig | None = None,
) -> JoinedReconstruction:
    """Reconstructs a video of any length.

    Args:
        backend: Reconstructs one window.
        rgb: N pictures (H, W, 3) uint8; indexed a window at a time, so it may decode lazily.
        T_odom_camera: (N, 4, 4) camera to the robot's continuous frame, NaN where unknown, or None for no odometry.
        config: Constants.

    Raises:
        GeometryError: no picture, or shapes that do not fit.
    """
    config = config or WindowConfig()
    if not len(rgb):
        raise GeometryError("there is no picture to reconstruct")
    starts = window_starts(len(rgb), config)
    windows = [backend(np.stack([rgb[i] for i in range(s, min(s + config.length, len(rgb)))])) for s in starts]
    return join_reconstructions(windows, starts, T_odom_camera, config)


def join_reconstructions(
    windows: Sequence[Reconstruction],
    starts: Sequence[int],
    T_odom_camera: np.ndarray | None = None,
    config: WindowConfig | None = None,
) -> JoinedReconstruction:
    """Joins windows that are reconstructed already.

    Args:
        windows: Reconstructions in time order.
        starts: The number of each window's first picture; neighbours must share two pictures at least.
        T_odom_camera: As for `reconstruct_video`.
        config: Constants.

    Raises:
        GeometryError: windows that do not overlap, or odometry of another length.
    """
    config = config or WindowConfig()
    ends = [s + len(w) for s, w in zip(starts, windows, strict=True)]
    overlaps = []
    for i in range(1, len(windows)):
        if not starts[i - 1] < starts[i] <= ends[i - 1] - 2:
            raise GeometryError(f"windows from {starts[i - 1]} and {starts[i]} do not share two pictures")
        overlaps.append(_shared_points(windows[i - 1], windows[i], starts[i] - starts[i - 1], config))
    joins = join_windows(overlaps)
    count = ends[-1]
    if T_odom_camera is not None and np.shape(T_odom_camera) != (count, 4, 4):
        raise GeometryError(f"odometry of shape {np.shape(T_odom_camera)}; ({count}, 4, 4) is needed")
    # Each window to its segment's first window. `joins` chains through broken joins, too, which must cancel out.
    of_window, to_segment, first = [], [], Similarity.identity()
    for join in joins:
        if join.jumped:
            first = join.similarity
        of_window.append(join.jumped + (of_window[-1] if of_window else 0))
        to_segment.append(first.inverse().after(join.similarity))
    # A picture that two windows share is taken from the one in which it is farther from the end.
    owner = np.zeros(count, int)
    for i in range(1, len(windows)):
        owner[(starts[i] + ends[i - 1] + 1) // 2 :] = i
    segment = np.array(of_window)[owner]
    metric = all(w.metric for w in windows)
    placed: list[Similarity] = [Similarity.identity()] * (segment[-1] + 1)
    alignments: list[Alignment | None] = [None] * len(placed)
    if T_odom_camera is not None:
        for number in range(len(placed)):
            alignments[number] = _align(windows, starts, owner, to_segment, segment == number, T_odom_camera, config)
            if alignments[number] is not None:
                placed[number] = alignments[number].similarity
        metric = all(a is not None for a in alignments)
    points, confidence, T_world_camera, K, scale = [], [], [], [], []
    for n, i in enumerate(owner):
        whole = placed[segment[n]].after(to_segment[i])
        own = n - starts[i]
        scale.append(whole.scale)
        points.append((whole.scale * windows[i].points_camera_m[own]).astype(np.float32))
        confidence.append(windows[i].confidence[own])
        T_world_camera.append(whole.apply_pose(windows[i].T_world_camera[own]))
        K.append(None if windows[i].K is None else windows[i].K[own])
    joined = Reconstruction(
        np.stack(points),
        np.stack(T_world_camera),
        np.stack(confidence),
        None if any(k is None for k in K) else np.stack(K),
        metric,
    )
    return JoinedReconstruction(joined, segment, owner, np.array(scale), tuple(joins), tuple(alignments))


def _shared_points(before: Reconstruction, own: Reconstruction, offset: int, config: WindowConfig):
    """The shared pictures' points (F, n, 3) in the later window's world and in the earlier one's, NaN where unsure."""
    shared = len(before) - offset
    height, width = own.points_camera_m.shape[1:3]
    step = max(int(np.sqrt(height * width / config.points)), 1)
    out = []
    for window, pictures in ((own, slice(0, shared)), (before, slice(offset, offset + shared))):
        maps = window.points_camera_m[pictures, ::step, ::step].astype(float)
        world = tf.transform_points(window.T_world_camera[pictures][:, None, None], maps)
        sure = window.confidence[pictures, ::step, ::step] >= config.min_confidence
        out.append(np.where(sure[..., None], world, np.nan).reshape(shared, -1, 3))
    return tuple(out)


def _align(windows, starts, owner, to_segment, mine, T_odom_camera, config) -> Alignment | None:
    """How odometry places a segment, or None where it does not say."""
    numbers = [n for n in np.flatnonzero(mine) if np.isfinite(T_odom_camera[n]).all()]
    if len(numbers) < 3:
        return None
    own = [to_segment[owner[n]].apply_pose(windows[owner[n]].T_world_camera[n - starts[owner[n]]]) for n in numbers]
    found = align_poses(np.stack(own), np.asarray(T_odom_camera)[numbers])
    return found if found.scale_sigma <= config.max_scale_sigma else None
