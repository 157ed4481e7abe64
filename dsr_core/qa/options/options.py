"""Candidates -> multiple-choice items: `with_options` is the one door, to options from physics and to noise."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dsr_core.qa.item import DSR_TYPES, TEMPLATE_TYPES, Candidate, Item, QaError
from dsr_core.qa.options.ladders import ladders
from dsr_core.qa.options.matching import Matcher
from dsr_core.qa.options.noise import noise_options, numeric_options
from dsr_core.qa.options.prognosis import prognostic_scores
from dsr_core.qa.options.relations import canonical, relations, runners_up

STYLES = ("physical", "dsr")
_BOX = re.compile(r"\[\d+,\d+,\d+,\d+\]")


@dataclass(frozen=True)
class OptionsConfig:
    """How options are chosen.

    Attributes:
        size: Options of a question; tasks that know fewer answers have as many as they know.
        caliper: How much partners may differ in what their texts foretell, as a probability (see `prognosis`).
        block: Partners come from the same scene, else from a block of neighbouring scenes with about so many questions.
            Blocks keep the sets of scenes small that must stay together when a set is split; there are about five in a
            shard at least, so that there is something to split.
        clear: Confidence from which on the runner-up of an answer may be among the options.
        number_caliper: The same of numbers, as a share of them.
        least_gap: Least difference of two numbers among the options, as a share of the smaller.
        relation_bonus: How much nearer a near miss, a mirror image or a reversal counts, as a share of the caliper.
    """

    size: int = 4
    caliper: float = 0.6
    block: int = 10_000
    clear: float = 0.99
    least_gap: float = 0.15
    number_caliper: float = 0.25
    relation_bonus: float = 0.5
    common: float = 1.0

    def __post_init__(self):
        if not 2 <= self.size <= 4 or self.caliper <= 0 or self.block < 1:
            raise QaError(f"{self}: size must be 2 to 4, caliper positive, block 1 or more")


DEFAULT = OptionsConfig()


def with_options(
    candidates: Sequence[Candidate], style: str = "physical", seed: int = 0, config: OptionsConfig = DEFAULT
) -> tuple[list[Item], Counter]:
    """Gives questions their options.

    Args:
        candidates: Questions of one shard: some scenes, up to about 50,000. Their order does not matter.
        style: "physical": true answers of other objects, windows and viewpoints, in matched groups (`matching`);
            "dsr": the original noise (`options_dsr`).
        seed: The same candidates and seed give the same items.
        config: Of physical options.

    Returns:
        Items in the order of their scenes and questions, and the number of dropped candidates by reason.

    Raises:
        QaError: unknown style.
    """
    if style not in STYLES:
        raise QaError(f"distractors {style!r}; known: {', '.join(STYLES)}")
    candidates = sorted(candidates, key=_order)
    items, drops = (_physical if style == "physical" else _original)(candidates, seed, config)
    return sorted(items, key=lambda item: _order(item.candidate)), drops


def _order(candidate: Candidate) -> tuple:
    return candidate.scene, candidate.window, candidate.type, candidate.question, candidate.answer


# --- from physics ----------------------------------------------------------------------------------------------------


def _physical(candidates: list[Candidate], seed: int, config: OptionsConfig) -> tuple[list[Item], Counter]:
    drops: Counter = Counter()
    strata = defaultdict(list)
    sizes = _sizes(candidates, config.size)
    asked = set()
    for candidate in candidates:
        if candidate.type in DSR_TYPES and candidate.type not in TEMPLATE_TYPES:
            drops["free-form answers bring their own options"] += 1
        elif (candidate.scene, candidate.question) in asked:
            drops["the same question twice"] += 1
        else:
            asked.add((candidate.scene, candidate.question))
            strata[stratum_of(candidate)].append(candidate)
    blocks = _blocks(candidates, min(config.block, -(-len(candidates) // 5)))
    items: list[Item] = []
    for key in sorted(strata, key=repr):
        size = sizes.get(key[0], config.size)
        items += _items_of_stratum(strata[key], size, blocks, _rng(seed, key), config, drops)
    return items, drops


def _blocks(candidates: list[Candidate], size: int) -> dict[str, int]:
    """Number of the block of each scene."""
    counts = Counter(c.scene for c in candidates)
    begun = np.cumsum([0, *(counts[scene] for scene in sorted(counts))])
    return {scene: int(begin // size) for scene, begin in zip(sorted(counts), begun, strict=False)}


def stratum_of(candidate: Candidate) -> tuple:
    """What options must share with the truth exactly: its stratum, and what a box in the text gives away.

    A camera sees a thing where its box is: the box says on which side it begins. So options for the direction of boxed
    things as a camera sees them begin with the same state, and only what happens afterwards is asked.
    """
    seen = candidate.kind == "direction" and candidate.viewer == "camera" and _BOX.search(candidate.question)
    first = candidate.labels[:1] if seen else ()
    return (*candidate.stratum, candidate.rules, candidate.unit if _is_number(candidate) else "", *first)


def _items_of_stratum(
    candidates: list[Candidate],
    size: int,
    blocks: dict,
    rng: np.random.Generator,
    config: OptionsConfig,
    drops: Counter,
) -> list[Item]:
    states = [canonical(c.labels) for c in candidates]
    is_number = _is_number(candidates[0])
    # Answers that claim the same states are one answer, whatever their words.
    names = [c.answer for c in candidates] if is_number else states
    codes = {name: code for code, name in enumerate(sorted(set(names)))}
    answers = np.array([codes[name] for name in names])
    if len(codes) < size:
        drops["fewer different answers than options among like questions"] += len(candidates)
        return []
    width = max(len(c.covariates) for c in candidates)
    covariates = np.array([(*c.covariates, *(0.0,) * (width - len(c.covariates))) for c in candidates], float)
    values = np.array([max(_written(c), 1e-3) for c in candidates]) if is_number else None
    scores = prognostic_scores(covariates.reshape(len(candidates), width), states if values is None else values)
    rivals = [frozenset() if c.confidence >= config.clear else runners_up(c.labels, c.others) for c in candidates]

    def compatible(i: int, j: int) -> bool:
        told_apart = candidates[i].answer != candidates[j].answer
        return told_apart and states[j] not in rivals[i] and states[i] not in rivals[j]

    def bonus(i: int, j: int) -> float:
        return config.relation_bonus * bool(_relations(states[i], states[j]))

    matcher = Matcher(compatible, bonus, size, config.caliper, common=config.common)
    free = np.ones(len(candidates), bool)
    groups = []
    scene_codes = {scene: i for i, scene in enumerate(sorted({c.scene for c in candidates}))}
    for pool in (
        np.array([scene_codes[c.scene] for c in candidates]),
        np.array([blocks[c.scene] for c in candidates]),
    ):
        for value in np.unique(pool[free]):
            members = np.flatnonzero(free & (pool == value))
            if values is not None:
                found = ladders(values, scores, members, rng, size, config.least_gap, caliper=config.number_caliper)
            else:
                found = matcher.groups(scores, answers, members, rng)
            groups += found
            free[[i for group in found for i in group]] = False
    if free.any():
        drops["no group of like questions with other answers"] += int(free.sum())
    return [item for group in groups for item in _group_items([candidates[i] for i in group], rng)]


def _group_items(group: list[Candidate], rng: np.random.Generator) -> list[Item]:
    """The items of one group; the true letters are a random permutation, so that each comes once."""
    name = hashlib.sha1("\n".join(f"{c.scene}\t{c.question}" for c in group).encode()).hexdigest()[:12]
    letters = rng.permutation(len(group))
    items = []
    for i, candidate in enumerate(group):
        order = [j for j in rng.permutation(len(group)) if j != i]
        order.insert(letters[i], i)
        origins = tuple(_origin(candidate, group[j]) for j in order)
        options = tuple(group[j].answer for j in order)
        items.append(Item(candidate, options, int(letters[i]), origins, "physical", f"{candidate.type}-{name}"))
    return items


def _origin(truth: Candidate, other: Candidate) -> str:
    """Whose true answer an option is, and how it relates to the truth."""
    if other is truth:
        return "truth"
    viewer = truth.viewpoint.get("agent"), other.viewpoint.get("agent")
    if truth.scene != other.scene or set(truth.tracks) - {viewer[0]} != set(other.tracks) - {viewer[1]}:
        origin = "other_object"
    elif truth.window != other.window:
        origin = "other_window"
    else:
        origin = "other_viewpoint"
    if _is_number(truth):
        return f"{origin}+numeric"
    return "+".join((origin, *_relations(canonical(truth.labels), canonical(other.labels))))


def _sizes(candidates: list[Candidate], size: int) -> dict[str, int]:
    """Options of the types that know fewer answers than `size` (closer, farther); never of the DSR types."""
    known = defaultdict(set)
    for candidate in candidates:
        if candidate.type not in DSR_TYPES and not _is_number(candidate) and len(known[candidate.type]) < size:
            known[candidate.type].add(canonical(candidate.labels))
    return {type: max(2, min(size, len(answers))) for type, answers in known.items()}


def _is_number(candidate: Candidate) -> bool:
    """Whether the options are numbers (the answers of the DSR types are states, whatever number lies behind them)."""
    return candidate.type not in DSR_TYPES and candidate.value is not None and candidate.unit is not None


def _written(candidate: Candidate) -> float:
    """A number as the reader sees it, rounded."""
    found = re.search(r"-?\d+(\.\d+)?", candidate.answer)
    return float(found[0]) if found else float(candidate.value)


@lru_cache(maxsize=1 << 18)
def _relations(truth: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return relations(truth, other)


# --- the original way ------------------------------------------------------------------------------------------------


def _original(candidates: list[Candidate], seed: int, config: OptionsConfig) -> tuple[list[Item], Counter]:
    drops: Counter = Counter()
    items = []
    closed = defaultdict(set)
    for candidate in candidates:
        if candidate.type not in DSR_TYPES and not _is_number(candidate):
            closed[candidate.type].add(candidate.answer)
    for candidate in candidates:
        rng = _rng(seed, (candidate.scene, candidate.question))
        if candidate.type in DSR_TYPES and candidate.type not in TEMPLATE_TYPES:
            drops["free-form answers bring their own options"] += 1
            continue
        if _is_number(candidate):
            wrong, origin = numeric_options(candidate.value, candidate.unit, rng), "numeric"
        elif candidate.type in closed:
            known = sorted(closed[candidate.type] - {candidate.answer})
            wrong, origin = tuple(rng.permutation(known)[: config.size - 1].tolist()), "noise"
        else:
            wrong, origin = noise_options(candidate, rng), "noise"
        if not wrong:
            drops["noise gave too few different options"] += 1
            continue
        place = int(rng.integers(len(wrong) + 1))
        options = (*wrong[:place], candidate.answer, *wrong[place:])
        origins = tuple("truth" if i == place else origin for i in range(len(options)))
        items.append(Item(candidate, options, place, origins, "dsr"))
    return items, drops


def _rng(seed: int, key: tuple) -> np.random.Generator:
    """A generator that depends on `seed` and `key` alone, whatever else is in the shard."""
    digest = hashlib.sha256(repr((seed, key)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest[:16], np.uint32))
