"""Similarity transforms Sim(3): fitted to matched points, robustly, and chained over windows of a reconstruction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dsr_core.errors import GeometryError

#: So many points judge a hypothesis.
_JUDGED = 1500
#: Median length of a 3D normal vector of unit variance along each axis (square root of chi-squared's, 3 degrees).
_MEDIAN_LENGTH = 1.538


@dataclass(frozen=True, eq=False)
class Similarity:
    """x_target = scale * R x_source + t.

    Attributes:
        scale: Positive factor.
        rotation: (3, 3), source to target.
        translation: (3,) in the target's unit.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    @classmethod
    def identity(cls) -> Similarity:
        """Leaves everything as it is."""
        return cls(1.0, np.eye(3), np.zeros(3))

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the source in the target's frame."""
        return self.scale * points @ self.rotation.T + self.translation

    def apply_pose(self, T_source_x: np.ndarray) -> np.ndarray:
        """Poses (..., 4, 4) x to source, as rigid poses x to target (the scale moves their origin alone)."""
        T = np.array(T_source_x, float)
        T[..., :3, 3] = self.apply(T[..., :3, 3])
        T[..., :3, :3] = self.rotation @ T[..., :3, :3]
        return T

    def after(self, first: Similarity) -> Similarity:
        """The similarity that does `first`, then this one."""
        return Similarity(
            self.scale * first.scale,
            self.rotation @ first.rotation,
            self.scale * self.rotation @ first.translation + self.translation,
        )

    def inverse(self) -> Similarity:
        """Target to source."""
        return Similarity(1.0 / self.scale, self.rotation.T, -(self.rotation.T @ self.translation) / self.scale)


@dataclass(frozen=True, eq=False)
class SimilarityFit:
    """A robust fit; with exact input its sigmas are the rounding's.

    Attributes:
        similarity: Source to target.
        inliers: (N,) bool.
        sigma: One-sigma residual of the inliers along an axis, in the target's unit.
        scale_sigma: One-sigma of log(scale), as if inliers were independent.
    """

    similarity: Similarity
    inliers: np.ndarray
    sigma: float
    scale_sigma: float


def fit_similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None, with_scale: bool = True
) -> Similarity:
    """Least-squares similarity between matched points (Umeyama 1991, IEEE TPAMI 13(4), eq. 34-43).

    Args:
        source: (N, 3) points.
        target: (N, 3) the same points in the target's frame; N >= 3 and not on one line.
        weights: (N,) non-negative, or None for equal ones.
        with_scale: False keeps the scale 1 (a rigid transform).

    Raises:
        GeometryError: too few points, or points on one line.
    """
    source, target = _checked(source, target)
    w = np.ones(len(source)) if weights is None else np.asarray(weights, float)
    scales, rotations, translations, spread = _fit_many(source[None], target[None], w[None], with_scale)
    if spread[0] < 1e-9:
        raise GeometryError("the matched points lie on one line or in one place: no similarity can be fitted")
    return Similarity(float(scales[0]), rotations[0], translations[0])


def _checked(source, target) -> tuple[np.ndarray, np.ndarray]:
    source, target = np.asarray(source, float), np.asarray(target, float)
    if source.ndim != 2 or source.shape[1] != 3 or source.shape != target.shape:
        raise GeometryError(f"matched points have shapes {source.shape} and {target.shape}; both must be (N, 3)")
    if len(source) < 3:
        raise GeometryError(f"{len(source)} matched points are too few for a similarity, 3 are needed")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise GeometryError("matched points hold NaN or infinity; leave such pairs out")
    return source, target


def _fit_many(source, target, weights, with_scale):
    """Umeyama for H sets at once: (H, N, 3), (H, N, 3), (H, N) -> scales, rotations, translations, relative spread."""
    total = np.maximum(weights.sum(axis=1), 1e-300)[:, None]
    mean_s = (weights[..., None] * source).sum(axis=1) / total
    mean_t = (weights[..., None] * target).sum(axis=1) / total
    s, t = source - mean_s[:, None], target - mean_t[:, None]
    covariance = np.einsum("hn,hni,hnj->hij", weights, t, s) / total[..., None]
    u, d, vt = np.linalg.svd(covariance)
    sign = np.ones_like(d)
    sign[:, 2] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    rotations = np.einsum("hij,hj,hjk->hik", u, sign, vt)
    variance = np.einsum("hn,hni,hni->h", weights, s, s) / total[:, 0]
    scales = (d * sign).sum(axis=1) / np.maximum(variance, 1e-300) if with_scale else np.ones(len(d))
    translations = mean_t - scales[:, None] * np.einsum("hij,hj->hi", rotations, mean_s)
    return scales, rotations, translations, d[:, 1] / np.maximum(d[:, 0], 1e-300)


def fit_similarity_robust(
    source: np.ndarray,
    target: np.ndarray,
    with_scale: bool = True,
    hypotheses: int = 256,
    seed: int = 0,
) -> SimilarityFit:
    """Similarity between matched points of which many may be wrong (up to about 45 %).

    Hypotheses from three random pairs each; the one with the least median residual (Rousseeuw 1984) sets the noise, and
    its inliers are refitted with Tukey's weights until nothing changes. Needs no threshold, so it has no unit.

    Args:
        source: (N, 3) points.
        target: (N, 3) the same points in the target's frame.
        with_scale: False keeps the scale 1.
        hypotheses: Number of random triples: 256 miss, at 50 % outliers, once in 1e14.
        seed: Of the random triples; the same input gives the same fit.

    Raises:
        GeometryError: too few points, or no three of them span a plane.
    """
    source, target = _checked(source, target)
    n = len(source)
    rng = np.random.default_rng(seed)
    triples = rng.integers(0, n, (hypotheses, 3))
    scales, rotations, translations, spread = _fit_many(
        source[triples], target[triples], np.ones((hypotheses, 3)), with_scale
    )
    usable = (spread > 1e-4) & np.isfinite(scales) & (scales > 0)
    if not usable.any():
        raise GeometryError("the matched points lie on one line or in one place: no similarity can be fitted")
    # A regular step would meet the rows of an image; a random choice of points judges as well as all of them.
    judged = np.arange(n) if n <= _JUDGED else rng.choice(n, _JUDGED, replace=False)
    turned = np.einsum("h,hij,nj->hni", scales[usable], rotations[usable], source[judged])
    squared = ((turned + translations[usable][:, None] - target[judged]) ** 2).sum(axis=2)
    half = np.median(squared, axis=1)
    best = np.flatnonzero(usable)[int(half.argmin())]
    fit = Similarity(float(scales[best]), rotations[best], translations[best])
    inliers, sigma = np.ones(n, bool), 0.0
    for _ in range(20):
        residual = np.linalg.norm(fit.apply(source) - target, axis=1)
        sigma = max(float(np.median(residual)) / _MEDIAN_LENGTH, 1e-12 * float(np.abs(target).max(initial=1.0)))
        ratio = residual / (6.0 * sigma)
        weights = np.where(ratio < 1.0, (1.0 - ratio**2) ** 2, 0.0)
        now = residual < 4.0 * sigma
        if np.count_nonzero(weights) < 3:
            break
        fit = fit_similarity(source, target, weights, with_scale)
        if np.array_equal(now, inliers):
            break
        inliers = now
    kept = np.linalg.norm(fit.apply(source[inliers]) - target[inliers], axis=1)
    sigma = float(np.sqrt(np.mean(kept**2) / 3.0)) if len(kept) else sigma
    spread_m = fit.scale * float(np.sqrt(((source[inliers] - source[inliers].mean(axis=0)) ** 2).sum()))
    return SimilarityFit(fit, inliers, sigma, sigma / max(spread_m, 1e-300))


@dataclass(frozen=True, eq=False)
class Join:
    """How one window of a reconstruction joins the one before.

    Attributes:
        similarity: Window to the first window's frame.
        scale_ratio: This window's unit in units of the window before.
        inlier_share: Share of the matched points that agree.
        sigma: One-sigma residual in the first window's unit.
        jumped: The scale changed inside the overlap or the points do not agree: the join is not to be trusted.
    """

    similarity: Similarity
    scale_ratio: float
    inlier_share: float
    sigma: float
    jumped: bool


def join_windows(
    overlaps: Sequence[tuple[np.ndarray, np.ndarray]],
    max_scale_spread: float = 0.05,
    min_inlier_share: float = 0.4,
    max_relative_sigma: float = 0.1,
) -> list[Join]:
    """Chains windows of a reconstruction by the frames that neighbours share.

    Args:
        overlaps: For each window after the first the same points in its own frame and in the frame of the window
            before: two arrays (F, N, 3), F shared frames (or (N, 3) for one); NaN where a point is not known.
        max_scale_spread: Largest difference of log(scale) between shared frames beyond its noise: more is a jump.
        min_inlier_share: Fewer agreeing points than this share do not join.
        max_relative_sigma: Nor do points whose residual is more than this part of their own spread: the noise that is
            read off the residuals would make agreement of anything.

    Returns:
        One `Join` a window, the first being the identity.
    """
    joins = [Join(Similarity.identity(), 1.0, 1.0, 0.0, False)]
    for own, before in overlaps:
        own, before = (np.asarray(p, float).reshape(-1, *np.shape(p)[-2:]) for p in (own, before))
        known = np.isfinite(own).all(axis=-1) & np.isfinite(before).all(axis=-1)
        fit = fit_similarity_robust(own[known], before[known])
        share = float(fit.inliers.mean())
        spread = float(before[known][fit.inliers].std(axis=0).max())
        jumped = (
            share < min_inlier_share
            or fit.sigma > max_relative_sigma * spread
            or _scale_jumps(own, before, known, max_scale_spread)
        )
        previous = joins[-1].similarity
        joins.append(
            Join(previous.after(fit.similarity), fit.similarity.scale, share, previous.scale * fit.sigma, jumped)
        )
    return joins


def _scale_jumps(own, before, known, max_spread: float) -> bool:
    """Whether the shared frames, each fitted alone, disagree about the scale."""
    logs, sigmas = [], []
    for a, b, k in zip(own, before, known, strict=True):
        if k.sum() >= 8:
            fit = fit_similarity_robust(a[k], b[k])
            logs.append(math.log(fit.similarity.scale))
            sigmas.append(fit.scale_sigma)
    if len(logs) < 2:
        return False
    return float(np.ptp(logs)) > max_spread + 3.0 * math.hypot(*sorted(sigmas)[-2:])
