"""Two trajectories of one camera brought together, and how far apart they stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from dsr_core.errors import GeometryError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.similarity import Similarity, fit_similarity


@dataclass(frozen=True, eq=False)
class Alignment:
    """One trajectory's frame in another's.

    Attributes:
        similarity: Source to target.
        scale_sigma: One-sigma of log(scale); infinite where the camera hardly moved, so that nothing tells the scale.
        residual_m: Median distance of the places after the alignment, in the target's unit.
    """

    similarity: Similarity
    scale_sigma: float
    residual_m: float


def align_poses(T_source_camera: np.ndarray, T_target_camera: np.ndarray) -> Alignment:
    """Similarity between two trajectories of one camera, from places and orientations.

    Orientations give the rotation (so a straight way is enough, which places alone could not turn), the lengths of the
    way give the scale and the places the rest; outliers are weighed down (iteratively, with Huber's weights).

    Args:
        T_source_camera: (N, 4, 4) camera to the source's world, in any unit.
        T_target_camera: (N, 4, 4) the same camera at the same times to the target's world.

    Raises:
        GeometryError: fewer than two poses, or not as many of both.
    """
    source, target = (tf.check_rigid(T, "a trajectory") for T in (T_source_camera, T_target_camera))
    if source.shape != target.shape or source.ndim != 3 or len(source) < 2:
        raise GeometryError(f"trajectories of shapes {source.shape} and {target.shape}; both (N, 4, 4), N >= 2")
    each = target[:, :3, :3] @ np.swapaxes(source[:, :3, :3], 1, 2)
    weights = np.ones(len(each))
    for _ in range(10):
        rotation = Rotation.from_matrix(each).mean(weights)
        off = (Rotation.from_matrix(each) * rotation.inv()).magnitude()
        weights = 1.0 / np.maximum(off, 1.5 * np.median(off) + 1e-9)
    a, b = source[:, :3, 3] @ rotation.as_matrix().T, target[:, :3, 3]
    weights, scale = np.ones(len(a)), 1.0
    for _ in range(20):
        share = (weights / weights.sum())[:, None]
        from_a, from_b = a - (share * a).sum(axis=0), b - (share * b).sum(axis=0)
        spread = float((share * from_a**2).sum())
        scale = float((share * from_a * from_b).sum()) / max(spread, 1e-300)
        off = np.linalg.norm(scale * from_a - from_b, axis=1)
        weights = 1.0 / np.maximum(off, 1.5 * np.median(off) + 1e-12)
    # Per axis; about the noise of the places, to which the scale's is that of a regression's slope.
    sigma = float(np.median(off)) / 1.538
    reach = abs(scale) * np.sqrt(spread * len(a))
    if not scale > 0 or reach < 3 * sigma:
        scale, scale_sigma = 1.0, np.inf
    else:
        scale_sigma = sigma / reach
    translation = (share * (b - scale * a)).sum(axis=0)
    return Alignment(Similarity(scale, rotation.as_matrix(), translation), scale_sigma, float(np.median(off)))


def absolute_trajectory_error_m(
    T_estimate_camera: np.ndarray, T_truth_camera: np.ndarray, with_scale: bool = False
) -> np.ndarray:
    """Distance (N,) of the places of two trajectories after the best alignment (Sturm et al. 2012, section IV).

    Args:
        T_estimate_camera: (N, 4, 4) camera to the estimate's world.
        T_truth_camera: (N, 4, 4) camera to the truth's world.
        with_scale: Aligns the scale as well, for estimates that are not metric.

    Raises:
        GeometryError: the places lie on one line or there are fewer than three.
    """
    a, b = T_estimate_camera[:, :3, 3], T_truth_camera[:, :3, 3]
    return np.linalg.norm(fit_similarity(a, b, with_scale=with_scale).apply(a) - b, axis=1)
