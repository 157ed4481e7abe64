"""Which observation belongs to which track: likelihoods, labels, sizes and upstream ids, solved as an assignment."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from dsr_core.tracking import filter as kalman
from dsr_core.tracking.config import TrackerConfig


class Labels:
    """Numbers labels and their groups, so that compatibility is an array operation."""

    def __init__(self, groups: tuple[tuple[str, ...], ...]):
        self._group_of = {label: i for i, group in enumerate(groups) for label in group}
        self._numbers: dict[str, tuple[int, int]] = {}
        self._names: list[str] = []
        self._pairs = np.zeros((0, 2), int)

    def number(self, label: str) -> tuple[int, int]:
        """(label's number, its group's number)."""
        found = self._numbers.get(label)
        if found is None:
            group = self._group_of.get(label.lower(), -1 - len(self._numbers))
            found = self._numbers[label] = (len(self._numbers), group)
            self._names.append(label)
            self._pairs = np.concatenate([self._pairs, [found]])
        return found

    def __len__(self) -> int:
        return len(self._names)

    def pairs(self, numbers: np.ndarray) -> np.ndarray:
        """(n, 2) labels' numbers and their groups' numbers, of labels' numbers (n,)."""
        return self._pairs[numbers]

    def name(self, number: int) -> str:
        """The label of a number."""
        return self._names[number]


def assign(
    track: dict[str, np.ndarray],
    seen: dict[str, np.ndarray],
    config: TrackerConfig,
    across_groups: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (P, 2) of track and observation indices, and (P,) how much likelier (log) they are than new things.

    A pair must lie in the gate and be likelier than a new thing at that place; among all such assignments the one with
    the largest total log-likelihood ratio is taken.

    Args:
        track: model_mean (N, K, 6), model_cov (N, K, 6, 6), model_weight (N, K), label (N, 2) numbers of label and
            group, size (N, 3), upstream (N,) int; across groups also box (N, 4).
        seen: position (M, 3), cov (M, 3, 3), label (M, 2), size (M, 3), upstream (M,) int; -1 is no upstream id. Across
            groups also box (M, 4) in pixels of the same image as the tracks', NaN where unknown.
        config: Constants.
        across_groups: Labels of different groups may match, too, at a penalty; boxes in the image count.
    """
    n, m = len(track["model_mean"]), len(seen["position"])
    if n == 0 or m == 0:
        return np.zeros((0, 2), int), np.zeros(0)
    same_id = (track["upstream"][:, None] == seen["upstream"]) & (seen["upstream"] >= 0)
    gate = np.where(same_id, config.gate_chi2 * config.id_gate_factor, config.gate_chi2)
    compatible = (track["label"][:, None, 1] == seen["label"][:, 1]) | same_id | across_groups
    if across_groups:
        # What covers the same part of the same image is the same thing, even where a track's range is badly wrong.
        overlap = np.nan_to_num(2.0 * overlaps_px(track["box"], seen["box"]) - 1.0)
        gate = np.where(overlap > 0, config.gate_chi2 * config.id_gate_factor, gate)
    # A model's S reaches no farther in any direction than its trace allows, so this keeps every pair inside the gate.
    trace = np.trace(track["model_cov"][..., :3, :3], axis1=-2, axis2=-1).max(axis=1)
    reach = gate * (trace[:, None] + np.trace(seen["cov"], axis1=1, axis2=2))
    between = seen["position"][:, None] - track["model_mean"][:, None, :, :3]  # (N, M, K, 3)
    i, j = np.nonzero(compatible & (np.einsum("nmki,nmki->nmk", between, between).min(axis=2) <= reach))
    if not len(i):
        return np.zeros((0, 2), int), np.zeros(0)
    squared, log_det = kalman.squared_distances(
        between[i, j], track["model_cov"][i, :, :3, :3] + seen["cov"][j][:, None]
    )
    log_likelihood = np.log(np.maximum(track["model_weight"][i], 1e-12)) - 0.5 * (squared + log_det)
    cost = -2.0 * np.logaddexp.reduce(log_likelihood, axis=1)
    squared = squared.min(axis=1)
    cost += config.label_penalty * (track["label"][i, 0] != seen["label"][j, 0])
    with np.errstate(invalid="ignore"):
        ratio = np.log(seen["size"][j] / track["size"][i]) / config.size_log_sigma
    # An unknown size costs nothing.
    size_cost = np.fmax(np.einsum("ki,ki->k", ratio, ratio), 0.0)
    if across_groups:
        # A cup on a table is at the table's place: things of different names are the same only if their sizes are.
        other = track["label"][i, 1] != seen["label"][j, 1]
        cost += np.where(other, config.late_label_penalty + size_cost, np.minimum(size_cost, config.size_penalty_max))
        agreed = overlap[i, j]
        cost -= np.where(agreed > 0, config.late_box_weight, config.late_label_penalty) * agreed
    else:
        cost += np.minimum(size_cost, config.size_penalty_max)
    likelier = -2.0 * np.log(config.new_things_per_m3) - cost
    both = (track["upstream"][i] >= 0) & (seen["upstream"][j] >= 0)
    id_cost = np.where(same_id[i, j], -config.id_bonus, np.where(both, config.id_penalty, 0.0))
    gain = likelier - id_cost
    good = (squared <= gate[i, j]) & (gain > 0)
    value, evidence = np.zeros((n, m)), np.zeros((n, m))
    value[i[good], j[good]], evidence[i[good], j[good]] = gain[good], 0.5 * likelier[good]
    rows, columns = linear_sum_assignment(-value)
    real = value[rows, columns] > 0
    return np.stack([rows[real], columns[real]], axis=1), evidence[rows[real], columns[real]]


def overlaps_px(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union (N, M) of boxes x1, y1, x2, y2 (N, 4) and (M, 4) in pixels; NaN where one is unknown."""
    low, high = np.maximum(first[:, None, :2], second[:, :2]), np.minimum(first[:, None, 2:], second[:, 2:])
    common = np.prod(np.maximum(high - low, 0.0), axis=2)
    areas = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second))
    return common / np.maximum(np.add.outer(*areas) - common, 1e-9)
