"""The published rules: cases computed by hand for each branch, and an independent reference interpreter."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core.errors import QueryError
from dsr_core.reasoning import describe
from dsr_core.reasoning.dsr_rules import states, word_states

LARGER, SMALLER, SAME = "Become larger.", "Become smaller.", "Keep nearly constant."
THEN_LARGER = "Keep nearly constant and then become larger."
THEN_SMALLER = "Keep nearly constant and then become smaller."

TREND_CASES = [
    # (a) constant to the end
    ([5.0, 5.0, 5.0], "(1) Keep nearly constant."),
    ([5.0, 4.0, 6.0, 5.0], "(1) Keep nearly constant."),  # 0.8 and 1.2 themselves are inside
    ([0.05, 0.09, 0.01, 0.0], "(1) Keep nearly constant."),  # all below 0.1
    # (a) leaves upward / downward; the sample it left at starts the next state, and a lone last sample gives nothing
    ([5.0, 5.0, 6.5], "(1) Keep nearly constant and then become larger."),
    ([5.0, 5.0, 3.5], "(1) Keep nearly constant and then become smaller."),
    ([5.0, 5.0, 6.5, 6.5], "(1) Keep nearly constant and then become larger. (2) Keep nearly constant."),
    # constancy is judged against the first sample of the state, not the neighbour: 10, 11, 12 stay, 13 leaves
    ([10.0, 11.0, 12.0, 13.0], "(1) Keep nearly constant and then become larger."),
    # quirk: equal neighbours are not merged, so a steady approach repeats itself
    (
        [20.0, 18.0, 16.0, 14.0, 12.0, 10.0, 8.0, 6.0],
        # 20: 18, 16 stay, 14 leaves; 14: 12 stays (0.857), 10 leaves; 10: 8 stays (0.8), 6 leaves; lone 6
        "(1) Keep nearly constant and then become smaller. (2) Keep nearly constant and then become smaller."
        " (3) Keep nearly constant and then become smaller.",
    ),
    # (b) to the end, and (b) followed from j-1
    ([1.0, 2.0, 4.0], "(1) Become larger."),
    ([1.0, 2.0, 4.0, 4.0], "(1) Become larger. (2) Keep nearly constant."),
    ([1.0, 2.0, 1.0], "(1) Become larger. (2) Become smaller."),
    # j-1: after the rise 1, 2 the next state starts at 2, so 2 -> 2.2 is constant and 2.2 is no start of its own
    ([1.0, 2.0, 2.2, 3.0], "(1) Become larger. (2) Keep nearly constant and then become larger."),
    # (c) to the end, from j-1, and with the 0.1 stop
    ([4.0, 2.0, 1.0], "(1) Become smaller."),
    ([4.0, 2.0, 1.0, 1.0], "(1) Become smaller. (2) Keep nearly constant."),
    ([4.0, 2.0, 4.0], "(1) Become smaller. (2) Become larger."),
    # the fall stops at 0.05 without a step; the next state starts there, at the last sample: nothing more
    ([4.0, 0.05], "(1) Become smaller."),
    ([4.0, 0.05, 0.05], "(1) Become smaller. (2) Keep nearly constant."),
    ([4.0, 2.0, 0.05, 0.04], "(1) Become smaller. (2) Keep nearly constant."),
    ([4.0, 0.05, 4.0], "(1) Become smaller. (2) Become larger."),
    # a gentle last step below 0.1 (0.11 -> 0.09 is 0.82) also ends the fall at j, not at j-1
    ([1.0, 0.11, 0.09, 0.09], "(1) Become smaller. (2) Keep nearly constant."),
    # exact zeros: x/0 is inf, 0/0 is no number
    ([0.0, 0.0], "(1) Keep nearly constant."),
    ([0.0, 3.0], "(1) Become larger."),
    ([0.0, 0.05, 3.0], "(1) Keep nearly constant and then become larger."),
    ([3.0, 0.0, 3.0], "(1) Become smaller. (2) Become larger."),
    # just above and below 1.2 and 0.8
    ([1.0, 1.21], "(1) Become larger."),
    ([1.0, 0.79], "(1) Become smaller."),
    # a lone sample gives nothing
    ([7.0], ""),
]


@pytest.mark.parametrize("kind", ["distance", "speed"])
@pytest.mark.parametrize("series, expected", TREND_CASES)
def test_trend(kind, series, expected):
    assert describe(kind, np.array(series), rules="dsr") == expected


def test_answer_depends_on_the_scale_of_the_world():
    approach = np.array([3.0, 2.0, 1.2, 0.6, 0.2])
    assert describe("distance", approach) == "(1) Become smaller."
    assert describe("distance", approach / 10) == "(1) Become smaller. (2) Keep nearly constant."


@pytest.mark.parametrize(
    "former, latter, expected",
    [
        ([2.0, 3.0], [1.0, 1.0], "(1) The former is always faster."),
        ([1.0, 1.0], [2.0, 3.0], "The latter is always faster."),  # quirk: no "(1)"
        ([1.0, 1.0], [1.1, 0.9], "(1) Their speed is nearly the same."),
        ([1.2, 1.0], [1.0, 1.2], "(1) Their speed is nearly the same."),  # 1.2 and 1/1.2 themselves are the same
        ([0.05, 0.09], [0.001, 0.0], "(1) Their speed is nearly the same."),  # both below 0.1
        ([0.0, 0.0], [0.0, 0.0], "(1) Their speed is nearly the same."),
        ([1.0], [0.0], "(1) The former is always faster."),  # x/0
        ([0.0], [1.0], "The latter is always faster."),
        ([2.0, 2.0, 1.0, 1.0, 0.5], [1.0, 1.0, 1.0, 1.0, 1.0],
         "(1) The former is faster. (2) Nearly the same. (3) The latter is faster."),
        ([2.0, 0.5, 2.0], [1.0, 1.0, 1.0],
         "(1) The former is faster. (2) The latter is faster. (3) The former is faster."),
        ([1.0, 2.0], [1.0, 1.0], "(1) Nearly the same. (2) The former is faster."),
        # 0.09 against 0.11 is 0.82 < 0.833 and not both are below 0.1
        ([0.09], [0.11], "The latter is always faster."),
    ],
)  # fmt: skip
def test_speed_comparison(former, latter, expected):
    assert describe("speed_comparison", np.array(former), np.array(latter), rules="dsr") == expected


@pytest.mark.parametrize(
    "vectors, expected",
    [
        ([[2, 0, 0]], "(1) Front."),
        ([[-1, 0, 0]], "(1) Behind."),
        ([[0, 5, 0]], "(1) Left."),
        ([[0, -5, 0]], "(1) Right."),
        ([[0, 0, 0.01]], "(1) Above."),
        ([[0, 0, -1]], "(1) Below."),
        ([[1, 1, 1]], "(1) Front|Left|Above."),
        ([[-1, -1, -1]], "(1) Behind|Right|Below."),
        # exactly 0.3 (3, 0, 9.539392...: 3/10) does not name the side, a little more does
        ([[3.0, math.sqrt(91.0), 0.0]], "(1) Left."),
        ([[3.001, math.sqrt(91.0), 0.0]], "(1) Front|Left."),
        # equal neighbours are merged, equal states apart are not
        ([[1, 0, 0], [2, 0.1, 0], [1, 1, 0], [1, 0, 0]], "(1) Front. (2) Front|Left. (3) Front."),
        ([[1, 0, 0], [-1, 1, 0]], "(1) Front. (2) Behind|Left."),
    ],
)
@pytest.mark.parametrize("kind", ["direction", "orientation"])
def test_directions(kind, vectors, expected):
    assert describe(kind, np.array(vectors, float), rules="dsr") == expected


def test_prediction_is_one_displacement():
    assert describe("direction_prediction", np.array([0.5, -0.5, 0.0])) == "(1) Front|Right."
    assert describe("direction_prediction", [0.0, 0.0, -2.0]) == "(1) Below."


@pytest.mark.parametrize(
    "kind, series, message",
    [
        ("distance", ([1.0, 2.0, math.nan, 1.0],), "sample 2 of distance is nan"),
        ("speed", ([1.0, math.inf],), "sample 1 of speed is inf"),
        ("speed_comparison", ([1.0, 2.0], [1.0, math.nan]), "sample 1 of the latter speed is nan"),
        ("speed_comparison", ([1.0, 2.0], [1.0]), "2 and 1 samples"),
        ("speed_comparison", ([1.0, 2.0],), "needs 2 series, 1 were given"),
        ("direction", ([[1, 0, 0], [0, math.nan, 0]],), "sample 1 of direction"),
        ("orientation", ([[1, 0, 0], [0, 0, 0]],), "sample 1 of orientation is a vector of no length"),
        ("direction", ([1.0, 0.0, 0.0],), r"shape \(3,\), \(T, 3\) is needed"),
        ("direction_prediction", ([1.0, 0.0],), r"shape \(1, 2\)"),
        ("distance", ([],), "no samples"),
        ("distance", ([[1.0]],), "shape"),
        ("motion", ([1.0],), "kind 'motion'"),
        ("colour", ([1.0],), "kind 'colour'"),
    ],
)
def test_bad_series_are_refused(kind, series, message):
    with pytest.raises(QueryError, match=message):
        describe(kind, *series, rules="dsr")


def test_unknown_rules_are_refused():
    with pytest.raises(QueryError, match="robust"):
        describe("distance", [1.0, 2.0], rules="strict")


def test_states_say_which_samples():
    assert states("distance", [5, 5, 6.5, 6.5]) == [("constant", 0, 1), ("increasing", 1, 2), ("constant", 2, 3)]
    assert states("distance", [1, 2, 4, 2, 1]) == [("increasing", 0, 2), ("decreasing", 2, 4)]
    assert states("distance", [4, 2, 0.05, 0.05]) == [("decreasing", 0, 2), ("constant", 2, 3)]
    assert states("speed_comparison", [2, 2, 1], [1, 1, 1]) == [("first_faster", 0, 1), ("same", 2, 2)]
    assert states("direction", [[1, 0, 0], [1, 0, 0], [1, 1, 0]]) == [("front", 0, 1), ("front|left", 2, 2)]


# --- an interpreter of the published pseudo-rules, written for the test alone ---------------------------------------


def reference_trend(d):
    """Follows the items a, b, c of the written rules sentence by sentence, on exact fractions of the floats."""

    def ratio(i, k):
        if d[k] != 0:
            return d[i] / d[k]
        return math.nan if d[i] == 0 else math.copysign(math.inf, d[i])

    def stays(i, j):
        return 0.8 <= ratio(j, i) <= 1.2 or max(d[i], d[j]) < 0.1

    items, i = [], 0
    for _ in range(10 * len(d)):
        if i >= len(d) - 1:
            return " ".join(f"({k + 1}) {item}" for k, item in enumerate(items))
        rest = range(i + 1, len(d))
        if stays(i, i + 1):
            left = next((j for j in rest if not stays(i, j)), None)
            items.append(SAME if left is None else THEN_LARGER if ratio(left, i) > 1.2 else THEN_SMALLER)
            i = len(d) if left is None else left
        elif ratio(i + 1, i) > 1.2:
            left = next((j for j in rest if not ratio(j, j - 1) > 1.2), None)
            items.append(LARGER)
            i = len(d) if left is None else left - 1
        else:
            left = next((j for j in rest if not (ratio(j, j - 1) < 0.8 and d[j] >= 0.1)), None)
            items.append(SMALLER)
            i = len(d) if left is None else left if d[left] < 0.1 else left - 1
    raise AssertionError("the interpreter does not come to an end")


values = st.one_of(
    st.sampled_from([0.0, 0.05, 0.09, 0.1, 0.11, 0.5, 0.8, 1.0, 1.2, 1.25, 2.0, -0.5]),
    st.floats(0, 3, allow_subnormal=False),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(values, min_size=1, max_size=32))
def test_trend_agrees_with_the_reference(series):
    assert describe("distance", series, rules="dsr") == reference_trend(series)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(values, values), min_size=1, max_size=20))
def test_comparison_agrees_with_the_reference(pairs):
    def judge(a, b):
        if a < 0.1 and b < 0.1:
            return "same"
        ratio = a / b if b else math.copysign(math.inf, a)
        return "former" if ratio > 1.2 else "latter" if ratio < 1 / 1.2 else "same"

    found = []
    for a, b in pairs:
        if judge(a, b) not in found[-1:]:
            found.append(judge(a, b))
    alone = {
        "former": "(1) The former is always faster.",
        "latter": "The latter is always faster.",
        "same": "(1) Their speed is nearly the same.",
    }
    words = {"former": "The former is faster.", "latter": "The latter is faster.", "same": "Nearly the same."}
    expected = alone[found[0]] if len(found) == 1 else " ".join(f"({i + 1}) {words[w]}" for i, w in enumerate(found))
    assert describe("speed_comparison", [a for a, _ in pairs], [b for _, b in pairs]) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(values, min_size=2, max_size=32))
def test_states_cover_the_series_without_gaps(series):
    found = states("distance", series)
    assert found[0].first == 0
    assert all(a.last == b.first for a, b in pairwise(found))
    assert found[-1].last == len(series) - 1
    assert word_states("distance", [s.label for s in found]) == describe("distance", series)


def test_robust_states_are_merged():
    approach = np.linspace(20.0, 6.0, 40)
    assert describe("distance", approach, rules="robust", stamps_s=np.arange(40) / 10) == "(1) Become smaller."
