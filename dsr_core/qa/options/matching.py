"""Questions that may share their options: groups with different answers that read alike.

The unit of everything is the matched group. Its questions are of one stratum, their true answers all differ, and what
their texts foretell is nearly the same; the options of each are the true answers of all. So within a group

* every option is right for exactly one question: nothing about its words, its length, its number of states, its
  likeness to the others or how common it is tells whether it is right;
* the answer is a permutation of the options over the questions, and as far as the questions read alike, every
  permutation was as likely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class Matcher:
    """Finds groups among questions of one stratum.

    Attributes:
        size: Questions in a group.
        caliper: Greatest distance between a group's first question and each other, in the units of `scores`.
        neighbours: How many of the nearest questions are looked at.
        common: How much nearer partners with the most common answer count, as a share of the caliper.
        compatible: (i, j) -> whether each one's answer is clearly wrong for the other.
        bonus: (i, j) -> how much nearer, as a share of the caliper, j counts as a partner of i.
    """

    compatible: Callable[[int, int], bool]
    bonus: Callable[[int, int], float]
    size: int = 4
    caliper: float = 0.15
    neighbours: int = 64
    common: float = 1.0

    def groups(
        self, scores: np.ndarray, answers: np.ndarray, members: np.ndarray, rng: np.random.Generator
    ) -> list[tuple[int, ...]]:
        """Disjoint groups among `members`, rarest answers first.

        Args:
            scores: (N, R) of the whole stratum.
            answers: (N,) codes of the true answers.
            members: Indices into both that may be used.
            rng: Breaks ties; decides which of too frequent answers are left out.
        """
        members = self._without_surplus(answers, members, rng)
        if len(np.unique(answers[members])) < self.size:
            return []
        members = members[rng.permutation(len(members))]
        counts = np.bincount(answers[members])
        tree = cKDTree(scores[members])
        distances, near = tree.query(
            scores[members], k=min(self.neighbours, len(members)), distance_upper_bound=self.caliper
        )
        free = np.ones(len(members) + 1, bool)
        free[-1] = False  # what the tree gives for "no more"
        codes = np.append(answers[members], -1)
        found = []
        for seed in np.argsort(counts[codes[:-1]], kind="stable"):
            if free[seed]:
                usable = free[near[seed]] & (codes[near[seed]] != codes[seed])
                partners = self._partners(members, codes, counts, seed, near[seed][usable], distances[seed][usable])
                if partners is not None:
                    free[partners] = False
                    found.append(tuple(int(members[p]) for p in partners))
        return found

    def _partners(self, members, codes, counts, seed, near, distances) -> list[int] | None:
        """Positions of a whole group that begins with `seed`, or None."""
        if len(near) < self.size - 1:
            return None
        me = members[seed]
        # Scarce answers are spread over the groups: partners with common ones leave the others for other groups.
        costs = distances / self.caliper - self.common * counts[codes[near]] / counts.max()
        costs = [cost - self.bonus(me, members[j]) for cost, j in zip(costs.tolist(), near.tolist(), strict=True)]
        chosen, taken = [int(seed)], {codes[seed]}
        for place in np.argsort(costs, kind="stable"):
            j = int(near[place])
            if codes[j] not in taken and all(self.compatible(members[i], members[j]) for i in chosen):
                chosen.append(j)
                taken.add(codes[j])
                if len(chosen) == self.size:
                    return chosen
        return None

    def _without_surplus(self, answers: np.ndarray, members: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Members without most of those whose answer is more frequent than all others together can use."""
        _, inverse, counts = np.unique(answers[members], return_inverse=True, return_counts=True)
        most = most_groups(counts, self.size)
        if not most or counts.max() <= 3 * most:
            return members
        order = rng.permutation(len(members))
        rank = np.empty(len(members), int)  # the how-manieth of its answer each member is, in random order
        by_answer = order[np.argsort(inverse[order], kind="stable")]
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        rank[by_answer] = np.arange(len(members)) - np.repeat(starts, counts)
        return members[rank < 3 * most]


def most_groups(counts: Sequence[int], size: int) -> int:
    """How many groups of `size` different answers there can be at most, by the number of questions of each answer."""
    counts = np.asarray(counts)
    low, high = 0, int(counts.sum()) // size
    while low < high:  # G groups are possible exactly where the answers, each used G times at most, fill them
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(counts, middle).sum() >= size * middle else (low, middle - 1)
    return low
