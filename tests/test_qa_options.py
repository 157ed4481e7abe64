"""Options: the original noise, matched groups from physics, ladders of numbers, and the adversarial filter."""

from collections import Counter, defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core.qa.audit.audit import credit_of
from dsr_core.qa.audit.features import Texts
from dsr_core.qa.audit.learned import folds_of, joint_boosted
from dsr_core.qa.audit.records import from_items
from dsr_core.qa.config import QaConfig
from dsr_core.qa.item import Candidate, Item, QaError
from dsr_core.qa.making.generate import candidates
from dsr_core.qa.options.filter import filter_guessable
from dsr_core.qa.options.ladders import ladders
from dsr_core.qa.options.matching import most_groups
from dsr_core.qa.options.noise import noise_options, numeric_options
from dsr_core.qa.options.options import OptionsConfig, stratum_of, with_options
from dsr_core.qa.options.prognosis import prognostic_scores
from dsr_core.qa.options.relations import canonical, mirrored, one_edit_apart, relations, reversed_in_time, runners_up
from dsr_core.reasoning.dsr_rules import word_states
from tests.smooth_scenes import smooth_scene


def made(labels=("increasing",), kind="distance", type="rel_dis", scene="a", question=None, **fields) -> Candidate:
    """A candidate about nothing in particular."""
    answer = fields.pop("answer", None) or word_states(kind, labels)
    given = {
        "scene": scene,
        "video_id": scene,
        "type": type,
        "kind": kind,
        "question": question or f"{type} {labels} {fields}?",
        "answer": answer,
        "labels": tuple(labels),
        "viewer": "camera",
        "things": ("car",),
        "tracks": ("1",),
        "window": (0.0, 5.0),
        "viewpoint": {"agent": "camera", "mode": "relative", "at": None},
        "query": {},
        "covariates": (0.0, 5.0),
        "samples": 30,
    }
    return Candidate(**given | fields)


@cache
def real_candidates(scenes: int = 6, each: int = 1000) -> tuple[Candidate, ...]:
    config = QaConfig(per_scene=each, min_confidence=0.8)
    return tuple(c for s in range(scenes) for c in candidates(smooth_scene(s), config, 0, f"s{s}"))


@cache
def physical() -> tuple[tuple[Item, ...], Counter]:
    items, drops = with_options(real_candidates(), "physical", 3)
    return tuple(items), drops


def grouped(items) -> dict[str, list[Item]]:
    groups = defaultdict(list)
    for item in items:
        groups[item.group].append(item)
    return groups


# --- the original noise ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "type", "labels"),
    [
        ("distance", "abs_dis", ("increasing", "decreasing")),
        ("speed", "rel_spd", ("constant",)),
        ("speed_comparison", "rel_spd_comp", ("second_faster",)),
        ("direction", "rel_dir", ("front|left", "front", "front|right", "right", "behind|right")),
        ("orientation", "abs_ori", ("left",)),
        ("direction_prediction", "rel_dir_pred", ("behind",)),
    ],
)
def test_noise_has_up_to_three_states_more_or_less(kind, type, labels):
    candidate, rng, counts = made(labels, kind, type), np.random.default_rng(1), Counter()
    for _ in range(40):
        options = noise_options(candidate, rng)
        assert len({*options, candidate.answer}) == 4
        counts.update(max(1, option.count("(")) for option in options)
    told = candidate.answer.count("(") or 1
    assert min(counts) >= max(1, told - 3) and max(counts) <= told + 3
    assert len(counts) > 1 or kind == "direction_prediction"


def test_noise_keeps_the_slips_of_the_release():
    rng = np.random.default_rng(0)
    texts = [t for _ in range(60) for t in noise_options(made(("same",), "speed_comparison", "abs_spd_comp"), rng)]
    assert "The latter is always faster." in texts and "(1) The latter is always faster." not in texts
    steady = made(("constant",), "speed", "abs_spd"), made(("constant",), "speed", "rel_spd")
    first_words = [Counter(o[4:].split(".")[0] for _ in range(80) for o in noise_options(c, rng)) for c in steady]
    # Half of the speeds of rel_spd are below zero, where nothing falls "by a fifth": the mixture is another one.
    assert abs(first_words[0]["Become smaller"] - first_words[1]["Become smaller"]) > 20


def test_noise_gives_up_where_there_is_nothing_else_to_say():
    assert noise_options(made(("constant",), samples=1), np.random.default_rng(0)) is None
    with pytest.raises(QaError, match="physical"):
        noise_options(made(("moving",), "motion", "rel_dis"), np.random.default_rng(0))


def test_original_numbers_are_a_fifth_apart():
    rng = np.random.default_rng(2)
    for value in (1.0, 7.3, 42.0):
        numbers = [float(o.removesuffix(" m")) for o in numeric_options(value, "m", rng)]
        assert all(0.25 * value - 0.05 <= n <= 1.75 * value + 0.05 for n in numbers)
        everyone = sorted([value, *numbers])
        assert min(np.diff(everyone)) >= 0.2 * value - 1e-9


def test_original_style_keeps_what_it_can():
    given = real_candidates()[:150]
    items, drops = with_options(given, "dsr", 5)
    assert len(items) + sum(drops.values()) == len(given) and len(items) > 140
    assert {origin for item in items for origin in item.origins} == {"truth", "noise"}
    assert min(Counter(item.letter for item in items).values()) > len(items) / 8
    assert items == with_options(given[::-1], "dsr", 5)[0]


# --- matched groups --------------------------------------------------------------------------------------------------


def test_every_option_is_true_once_in_its_group():
    items, drops = physical()
    assert len(items) > 300
    assert len(items) + sum(drops.values()) == len(real_candidates())
    for group in grouped(items).values():
        assert len(group) == 4
        assert len({frozenset(item.options) for item in group}) == 1
        assert {item.candidate.answer for item in group} == set(group[0].options)
        assert {item.letter for item in group} == set("ABCD")
        assert len({stratum_of(item.candidate) for item in group}) == 1
        assert len({canonical(item.candidate.labels) for item in group}) == 4


def test_no_text_is_right_in_more_than_a_quarter_of_a_stratum():
    items, _ = physical()
    strata = defaultdict(Counter)
    for item in items:
        strata[item.candidate.stratum][item.candidate.answer] += 1
    for answers in strata.values():
        assert max(answers.values()) <= sum(answers.values()) / 4


def test_the_side_that_a_box_gives_away_is_not_asked():
    items, _ = physical()
    seen = [i for i in items if i.candidate.kind == "direction" and i.candidate.viewer == "camera"]
    assert len(seen) >= 8
    for item in seen:
        assert len({option.split(".")[0] for option in item.options}) == 1


def test_origins_tell_whose_answer_an_option_is():
    items, _ = physical()
    origins = Counter()
    for item in items:
        assert item.origins[item.answer_index] == "truth" and item.origins.count("truth") == 1
        origins.update(part for origin in item.origins for part in origin.split("+"))
    assert {"other_object", "near_miss", "mirrored"} <= set(origins)
    assert set(origins) <= {
        "truth", "other_object", "other_window", "other_viewpoint", "near_miss", "mirrored", "reversed",
    }  # fmt: skip


def test_the_runner_up_is_no_option_unless_the_answer_is_clear():
    labels = (("increasing",), ("decreasing",), ("constant",), ("decreasing", "increasing"))

    def some(confidence):
        return [
            made(states, question=f"{i} {states}", others=("constant",) if i == 0 else (), confidence=confidence)
            for i, states in enumerate(labels)
        ]

    assert with_options(some(0.95))[0] == []
    assert len(with_options(some(0.995))[0]) == 4


def test_partners_have_like_texts():
    """The number in the text tells the answer: only questions with nearly the same number may share options."""
    rng = np.random.default_rng(0)
    labels = (("increasing",), ("decreasing",), ("constant",), ("increasing", "decreasing"))
    given = []
    for n in range(800):
        x = rng.uniform(-1, 1)
        likely = np.array([np.exp(4 * x), np.exp(-4 * x), 1.0, 1.0])
        states = labels[rng.choice(4, p=likely / likely.sum())]
        given.append(made(states, question=f"{n}?", covariates=(x, rng.normal())))

    def foretold(some):
        """How much larger the number is where things grow than where they shrink."""
        told = {a: np.mean([c.covariates[0] for c in some if c.labels == a]) for a in labels[:2]}
        return told[labels[0]] - told[labels[1]]

    items, _ = with_options(given, config=OptionsConfig(caliper=0.3))
    assert len(items) > 100
    assert foretold(given) > 0.8
    assert abs(foretold([item.candidate for item in items])) < 0.1


def test_same_seed_same_items_whatever_the_order():
    given = real_candidates()
    shuffled = [given[i] for i in np.random.default_rng(0).permutation(len(given))]
    items, drops = with_options(shuffled, "physical", 3)
    assert (tuple(items), drops) == physical()
    assert tuple(with_options(given, "physical", 4)[0]) != physical()[0]


def test_drops_say_why():
    twice = [made(question="same?"), made(question="same?")]
    items, drops = with_options([*twice, made(type="non_temp", answer="A.", question="free?")])
    assert not items
    assert drops == {
        "the same question twice": 1,
        "free-form answers bring their own options": 1,
        "fewer different answers than options among like questions": 1,
    }


def test_wrong_settings_are_named():
    with pytest.raises(QaError, match="random"):
        with_options([], "random")
    with pytest.raises(QaError, match="caliper"):
        OptionsConfig(caliper=0.0)


def test_tasks_with_two_answers_have_two_options():
    given = [
        made(
            (label,), "lateral_change", "object_camera_relative_direction_lateral", answer=word, question=f"{n}{word}?"
        )
        for n in range(30)
        for label, word in (("left", "Left"), ("right", "Right"))
    ]
    items, _ = with_options(given)
    assert len(items) > 50
    assert all(set(item.options) == {"Left", "Right"} for item in items)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(2, 4))
@settings(max_examples=60, deadline=None)
def test_most_groups_is_reached_by_taking_the_most_frequent(counts, size):
    left, taken = sorted(counts, reverse=True), 0
    while len(left) >= size and left[size - 1] > 0:
        left[:size] = [n - 1 for n in left[:size]]
        left.sort(reverse=True)
        taken += 1
    assert most_groups(counts, size) == taken


def test_prognosis_sees_what_foretells_and_nothing_else():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 6))
    told = [("increasing",) if a**2 > 0.7 else ("decreasing",) for a in x[:, 2]]
    scores = prognostic_scores(x, told)
    by_chance = prognostic_scores(x, [("increasing",) if r > 0.5 else ("decreasing",) for r in rng.random(600)])
    grows = np.array([states == ("increasing",) for states in told])
    apart = np.linalg.norm(scores[grows].mean(axis=0) - scores[~grows].mean(axis=0))
    assert apart > 0.5
    assert np.linalg.norm(by_chance - by_chance.mean(axis=0), axis=1).mean() < 0.3 * apart


# --- relations -------------------------------------------------------------------------------------------------------


def test_relations_of_answers():
    assert canonical(("a", "a", "b", "b", "a")) == ("a", "b", "a")
    assert mirrored(("front|left", "behind|right")) == ("front|right", "behind|left")
    assert mirrored(("first_faster", "same")) == ("second_faster", "same")
    assert reversed_in_time(("increasing", "constant")) == ("constant", "decreasing")
    assert relations(("left",), ("right",)) == ("near_miss", "mirrored")
    assert relations(("front", "left"), ("left", "front")) == ("reversed",)
    assert runners_up(("increasing", "constant"), ("constant", "increasing")) == {("constant",), ("increasing",)}
    assert runners_up(("increasing",), ()) == frozenset()


@given(st.lists(st.sampled_from("abc"), max_size=5), st.lists(st.sampled_from("abc"), max_size=5))
@settings(max_examples=200, deadline=None)
def test_one_edit_apart_is_an_edit_distance_of_one(a, b):
    def distance(x, y):
        if not x or not y:
            return len(x) + len(y)
        return min(distance(x[1:], y) + 1, distance(x, y[1:]) + 1, distance(x[1:], y[1:]) + (x[0] != y[0]))

    assert one_edit_apart(tuple(a), tuple(b)) == (distance(a, b) == 1)


# --- numbers ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 400), min_size=4, max_size=200), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_ladders_are_near_enough_and_far_enough(tenths, seed):
    values = np.array(tenths) / 10.0
    found = ladders(values, np.zeros((len(values), 1)), np.arange(len(values)), np.random.default_rng(seed))
    used = [i for group in found for i in group]
    assert len(used) == len(set(used))
    for group in found:
        rungs = values[list(group)]
        assert (np.diff(rungs) >= 0.15 * rungs[:-1] - 1e-9).all()
        assert rungs[-1] <= 1.75 * rungs[0] + 1e-9


def test_numbers_are_true_at_every_rank_equally_often():
    rng = np.random.default_rng(0)
    given = []
    for n in range(600):
        value = round(float(rng.lognormal(1.5, 0.6)), 1)
        given.append(
            made(
                ("known",),
                "displacement",
                "object_absolute_distance",
                answer=f"{value:.1f} m",
                value=value,
                unit="m",
                question=f"{n} far?",
                covariates=(rng.normal(),),
            )
        )
    items, _ = with_options(given)
    assert len(items) > 200
    ranks = Counter()
    for item in items:
        numbers = [float(option.split()[0]) for option in item.options]
        truth = float(item.candidate.answer.split()[0])
        assert all(0.25 * truth <= n <= 1.75 * truth + 1e-9 for n in numbers)
        ranks[sorted(numbers).index(truth)] += 1
        assert all("numeric" in origin for origin in item.origins if origin != "truth")
    assert set(ranks.values()) == {len(items) // 4}


# --- the filter ------------------------------------------------------------------------------------------------------


def leaky_items(groups: int = 300) -> list[Item]:
    """Groups whose questions show a box on the side that the answer begins with, two times of three."""
    rng = np.random.default_rng(0)
    items = []
    words = ("left", "right", "left|front", "right|front")
    for number in range(groups):
        texts = [word_states("direction", (w,)) for w in ("left", "right", "front|left", "front|right")]
        for i, word in enumerate(words):
            left = word.startswith("left") if rng.random() < 2 / 3 else rng.random() < 0.5
            x = int(rng.uniform(20, 300) if left else rng.uniform(320, 600))
            candidate = made(
                (word,), "direction", "rel_dir", scene=f"s{number % 15}", answer=texts[i],
                question=f"Group {number} {i}: car with box [{x},100,{x + 40},150]?",
            )  # fmt: skip
            order = rng.permutation(4)
            items.append(
                Item(candidate, tuple(texts[k] for k in order), int(np.flatnonzero(order == i)[0]), group=f"g{number}")
            )
    return items


def accuracy(items, turned: bool = False) -> float:
    texts = Texts(from_items(items))
    scores = joint_boosted(texts, folds_of(texts.cluster, seed=9), 9) * (-1 if turned else 1)
    return float(np.mean([credit_of(s, a) for s, a in zip(scores, texts.answer, strict=True)]))


def test_the_filter_drops_whole_groups_until_nobody_finds_them():
    items = leaky_items()
    left, history = filter_guessable(items, seed=1)
    assert accuracy(items) > 0.36
    assert accuracy(left) < 0.30 and accuracy(left, turned=True) < 0.30
    assert 150 < len(left) < len(items)
    assert all(len(group) == 4 for group in grouped(left).values())
    assert history[0].accuracy > 0.36 and sum(step.dropped for step in history) == len(items) - len(left)
    assert left == filter_guessable(items, seed=1)[0]


def test_the_filter_leaves_alone_what_it_cannot_judge():
    ungrouped = [replace(item, group="") for item in leaky_items(20)]
    assert filter_guessable(ungrouped) == (ungrouped, [])
    one_scene = [replace(i, candidate=replace(i.candidate, scene="s")) for i in leaky_items(20)]
    assert filter_guessable(one_scene)[0] == one_scene
