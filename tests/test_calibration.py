"""Confidence is a probability: its parts by hand, and a small run on recorded truth made worse."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import dsr_core
from dsr_core.errors import DeclineError
from dsr_core.reasoning import calibration
from dsr_core.reasoning.answer import State
from dsr_core.reasoning.certainty import verdict_confidence
from dsr_core.reasoning.engine import Finding, expected_share, require_confident
from dsr_core.reasoning.noise import SUREST, chance_beyond, chance_within, smoothed_change_sigma
from dsr_core.reasoning.rules import RobustRules
from dsr_core.reasoning.states import comparison_states, direction_states, motion_states, rest_chance, trend_states
from dsr_core.reasoning.vocabulary import VOCABULARY
from tests.data import shared
from tests.fakes import fake_scene, fake_track

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

numbers = st.floats(-20, 20)
sigmas = st.floats(0.01, 5)
chances = st.floats(0, 1)
T = np.arange(0.0, 4.01, 0.1)


# --- the probability of one decision ----------------------------------------------------------------------------------


def test_the_chance_is_a_half_at_the_threshold():
    assert chance_beyond(0.5, 0.5, 0.1) == pytest.approx(0.5)
    # Of a number at the threshold half of the noise lies within it, where the other threshold is far.
    assert chance_within(0.5, 0.5, 0.01) == pytest.approx(0.5)


def test_the_chance_by_hand():
    # 0.3 above the threshold at a sigma of 0.15 is two sigma: 97.72 %.
    assert chance_beyond(0.8, 0.5, 0.15) == pytest.approx(0.97725, abs=1e-5)
    # Noise as large as the threshold leaves 68.27 % of a number that measures zero within it.
    assert chance_within(0.0, 0.5, 0.5) == pytest.approx(0.68269, abs=1e-5)
    # Three times as much hides a change: then "constant" is unlikely however little was measured.
    assert chance_within(0.0, 0.5, 1.5) == pytest.approx(0.26112, abs=1e-5)
    assert chance_beyond(1.0, 0.0, 0.0) == pytest.approx(1.0) and chance_beyond(-1.0, 0.0, 0.0) < 1e-6


@given(a=numbers, b=numbers, threshold=st.floats(0, 5), sigma=sigmas)
def test_the_chance_grows_with_the_margin(a, b, threshold, sigma):
    low, high = sorted((a, b))
    assert chance_beyond(low, threshold, sigma) <= chance_beyond(high, threshold, sigma) + 1e-12
    assert (
        chance_within(max(abs(a), abs(b)), threshold, sigma)
        <= chance_within(min(abs(a), abs(b)), threshold, sigma) + 1e-12
    )


@given(value=numbers, threshold=st.floats(0.01, 5), sigma=sigmas, scale=st.sampled_from([0.01, 10.0, 1000.0]))
def test_the_chance_has_no_scale(value, threshold, sigma, scale):
    for chance in (chance_beyond, chance_within):
        assert chance(scale * value, scale * threshold, scale * sigma) == pytest.approx(
            float(chance(value, threshold, sigma))
        )


@given(value=numbers, threshold=st.floats(0.01, 5), sigma=sigmas)
def test_within_beyond_and_below_are_all_there_is(value, threshold, sigma):
    parts = (
        chance_within(value, threshold, sigma)
        + chance_beyond(value, threshold, sigma)
        + chance_beyond(-value, threshold, sigma)
    )
    assert parts == pytest.approx(1.0, abs=1e-6)


def test_what_was_averaged_over_a_second_keeps_its_noise():
    # Within one second nothing averages out: two ends differ by the square root of two.
    assert smoothed_change_sigma(0.2, 1.0, 1.0) == pytest.approx(0.2 * math.sqrt(2.0))
    # Eleven independent values over ten seconds: 12 / 11.
    assert smoothed_change_sigma(0.2, 10.0, 1.0) == pytest.approx(0.2 * math.sqrt(12 / 11))


# --- the states of a series -------------------------------------------------------------------------------------------


def test_constant_that_noise_may_hide_is_unlikely():
    clear, hidden = (trend_states(T, 8 + 0 * T, sigma) for sigma in (0.02, 0.6))
    assert [s.label for s in clear.states] == [s.label for s in hidden.states] == ["constant"]
    assert clear.chances[0] > 0.999 and hidden.chances[0] < 0.65
    assert clear.others == ("increasing",) or clear.others == ("decreasing",)


def test_a_change_of_three_sigma_is_sure():
    judged = trend_states(T, 8 + 2 * T, 0.3)
    assert [s.label for s in judged.states] == ["increasing"] and judged.others == ("constant",)
    assert judged.chances[0] > 0.998 and judged.margin_sigmas > 3


@pytest.mark.parametrize("judge", ["trend", "motion", "comparison", "direction"])
def test_every_state_has_a_chance_and_a_neighbour(judge):
    wave = 6 + 3 * np.sin(2 * T)
    judged = {
        "trend": lambda: trend_states(T, wave, 0.1),
        "motion": lambda: motion_states(T, np.stack([np.maximum(T - 2, 0), 0 * T, 0 * T], 1), 0.02, 1.0),
        "comparison": lambda: comparison_states(T, wave, 6 + 0 * T, 0.1),
        "direction": lambda: direction_states(T, np.stack([np.cos(T), np.sin(T), 0 * T], 1), 0.05),
    }[judge]()
    assert len(judged.states) > 1
    assert len(judged.chances) == len(judged.others) == len(judged.states)
    assert judged.confidence == pytest.approx(math.prod(judged.chances))
    assert all(0 <= p <= 1 for p in judged.chances)
    assert all(other != s.label for s, other in zip(judged.states, judged.others, strict=True))


def test_a_thing_at_rest_has_a_constant_speed():
    """The relative change of a speed near zero says nothing, but that it stands still does."""
    scene = fake_scene(fake_track(start=(8, 0, 0), velocity=(0, 0, 0), sigma_m=0.05, rng=np.random.default_rng(0)))
    answer = dsr_core.ask(scene, {"kind": "speed", "subject": "1", "viewpoint": {"agent": "map"}})
    assert [s.label for s in answer.states] == ["constant"] and answer.confidence > 0.7
    still = np.zeros((len(T), 3))
    assert rest_chance(T, still, np.full(len(T), 0.01), 4.0) > 0.99
    assert rest_chance(T, still + T[:, None], np.full(len(T), 0.01), 4.0) == 0.0


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_is_monotone_and_bounded():
    table = json.loads(Path(calibration.__file__).with_name("calibration.json").read_text())
    assert set(table["maps"]) <= {*VOCABULARY, calibration.ANY}
    for maps in table["maps"].values():
        for _, low, high, each in maps.values():
            assert low >= 0 and high > 0 and each <= 0
    x, y = zip(*table["answer"], strict=True)
    assert (x[0], x[-1]) == (0.0, 1.0) and all(np.diff(x) > 0) and all(np.diff(y) >= 0) and y[-1] <= SUREST


@given(
    kind=st.sampled_from(sorted(VOCABULARY)), label=st.sampled_from(["constant", "increasing"]), a=chances, b=chances
)
def test_a_surer_state_has_more_confidence(kind, label, a, b):
    low, high = (calibration.state_confidence(kind, label, p) for p in sorted((a, b)))
    assert 0 <= low <= high <= SUREST
    assert calibration.answer_confidence(kind, [label], [b]) == pytest.approx(
        calibration.state_confidence(kind, label, b)
    )


@given(p=chances, q=chances)
def test_two_states_are_less_sure_than_either(p, q):
    labels = ["increasing", "decreasing"]
    both = calibration.answer_confidence("distance", labels, [p, q])
    assert both <= min(
        calibration.state_confidence("distance", label, x, 2) for label, x in zip(labels, (p, q), strict=True)
    )


def test_knots_by_hand():
    knots = [[0.0, 0.0], [0.5, 0.2], [1.0, 0.9]]
    assert [calibration.knotted(knots, x) for x in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx(
        [0, 0.1, 0.2, 0.55, 0.9]
    )


# --- yes or no --------------------------------------------------------------------------------------------------------


def test_a_yes_hangs_on_the_newest_state_alone():
    states = (State("increasing", 0, 3), State("decreasing", 3, 5))
    sure = verdict_confidence(states, "distance", "decreasing", (0.6, 0.97), ("constant", "constant"), recent=True)
    assert sure == pytest.approx(0.97, abs=2e-3)


def test_a_no_is_surer_where_two_decisions_must_be_wrong():
    states = (State("increasing", 0, 5),)
    said = [
        verdict_confidence(states, "distance", asked, (0.8,), ("constant",)) for asked in ("increasing", "decreasing")
    ]
    # "Does it get farther?" fails if it is constant; "does it get closer?" only if it is not even that: 1 - 0.2 ^ 2.
    assert said == pytest.approx([0.8 * SUREST, 0.96 * SUREST])


def test_the_answer_to_yes_or_no_has_the_verdicts_confidence():
    track = fake_track(start=(30, 0, 0), velocity=(-1.0, 0, 0), sigma_m=0.05, rng=np.random.default_rng(0))
    query = {"kind": "distance", "subject": "1", "object": "robot"}
    scene = fake_scene(track)
    yes = dsr_core.ask(scene, query | {"asked": "decreasing"}, choices=["yes", "no"])
    assert yes.answer.startswith("Yes") and yes.confidence > 0.98
    assert yes.choice_probabilities == pytest.approx((yes.confidence, 1 - yes.confidence))


# --- declining --------------------------------------------------------------------------------------------------------


def finding(*parts, confidence=0.1):
    """A finding of (label, length in seconds, chance)."""
    ends = np.cumsum([0.0, *(length for _, length, _ in parts)])
    states = tuple(State(label, a, b) for (label, _, _), a, b in zip(parts, ends[:-1], ends[1:], strict=True))
    return Finding(
        states, 1.0, 0.1, 0.3, "m", confidence, (0.0, ends[-1]), 10, None, None, None, {"margin_sigmas": 0.7},
        chances=tuple(p for _, _, p in parts),
    )  # fmt: skip


class Asked:
    kind = "distance"
    subject = type("Subject", (), {"label": "car 1"})


def test_a_guess_is_declined_with_its_margin():
    with pytest.raises(DeclineError, match=r"distance of car 1.*constant, 0.3 m \(0.7 sigma\)") as declined:
        require_confident(finding(("constant", 4.0, 0.3), confidence=0.3), Asked)
    assert declined.value.code == "TOO_UNCERTAIN"
    require_confident(finding(("constant", 4.0, 0.3), confidence=0.3), Asked, config=RobustRules(least_confidence=0.2))


def test_several_states_are_told_where_most_of_the_time_is_sure():
    sure = finding(("increasing", 4.0, 0.95), ("constant", 1.0, 0.1))
    assert expected_share(sure) == pytest.approx((4 * 0.95 + 0.1) / 5)
    require_confident(sure, Asked)
    with pytest.raises(DeclineError):
        require_confident(finding(("increasing", 1.0, 0.95), ("constant", 4.0, 0.1)), Asked)
    with pytest.raises(DeclineError):
        require_confident(sure, Asked, verdict=0.4)


# --- what would change it ---------------------------------------------------------------------------------------------


def test_a_side_is_sure_where_the_other_is_not():
    states = (State("front|left", 0, 2),)
    asked = [verdict_confidence(states, "direction", side, (0.05,), ("left",)) for side in ("left", "front")]
    assert asked == pytest.approx([0.75 * SUREST, 0.05 * SUREST])


@given(speed=st.floats(0.3, 3.0))
def test_what_would_change_the_answer(speed):
    scene = fake_scene(fake_track(start=(30, 0, 0), velocity=(-speed, 0, 0)))
    answer = dsr_core.ask(scene, {"kind": "distance", "subject": "1", "object": "robot"})
    assume(len(answer.states) == 1 and answer.states[0].label == "decreasing")
    change = answer.details["would_change"]
    assert change["label"] == "constant" and change["unit"] == "m"
    assert change["by"] == pytest.approx(answer.margin)
    # It came nearer by 5 s times its speed; 5 % of the mean distance would be none.
    span = answer.window[1] - answer.window[0]
    assert change["by"] == pytest.approx(speed * span - 0.05 * (30 - speed * span / 2), rel=0.05, abs=0.05)


# --- recorded truth ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked():
    from calibration import collect
    from calibration_cases import WORSE

    data = shared("kitti_tracking").parent
    made_worse = [w for w in WORSE if w.name in ("noise 0.1 m", "noise 0.35 m", "gaps of 1 s, 0.2 m")]
    return collect(data, {"kitti 0001", "kitti 0011"}.__contains__, made_worse, 14)


def test_confidence_holds_on_recorded_truth(asked):
    from calibration import expected_calibration_error, share_answered, table, told_and_right

    told, right = told_and_right(asked)
    print("\n" + table(told, right))
    assert len(told) > 1000
    assert expected_calibration_error(told, right) <= 0.08
    assert right[told >= 0.98].mean() >= 0.96
    assert share_answered(asked) > 0.85


def test_yes_and_no_hold_on_recorded_truth(asked):
    from calibration import expected_calibration_error, verdicts

    told, right = verdicts(asked)
    assert len(told) > 400
    assert expected_calibration_error(told, right) <= 0.08
    assert right[told >= 0.98].mean() >= 0.96


def test_the_truth_by_hand():
    from calibration_truth import trend

    x = np.linspace(10, 8, 21)
    assert trend(x, x, x, "decreasing") and not trend(x, x, x, "constant") and not trend(x, x, x, "increasing")
    level = 10 + 0.2 * np.sin(np.linspace(0, 6, 21))
    assert trend(level, level, level, "constant")
    there_and_back = np.concatenate([x, x[::-1]])
    assert not any(
        trend(there_and_back, there_and_back, there_and_back, label)
        for label in ("constant", "decreasing", "increasing")
    )
