"""Scores: hand-computed values, exact bounds, and published numbers made again from fixtures."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_core.bench.row import BenchError, Row
from dsr_core.bench.scores import (
    MISSING,
    SCORED,
    UNPARSED,
    Outcome,
    by,
    figure,
    macro,
    mcnemar,
    mcnemar_p,
    micro,
    mra,
    wilson,
)
from dsr_core.bench.task import find_task
from tests.data import shared

TABLE = json.loads((Path(__file__).parent / "fixtures" / "bench" / "dsr_bench_table.json").read_text())
CHOICES = {"A": "left", "B": "right"}


def outcome(key, right, type_="t", status=SCORED, group=""):
    return Outcome(Row(key, "", "?", CHOICES, "A", type=type_, group=group), status, float(right))


def outcomes(right, rows, type_="t", group=""):
    return [outcome(f"{type_}{at}", at < right, type_, group=group) for at in range(rows)]


@pytest.mark.parametrize(
    ("said", "truth", "share"),
    [
        (10.0, 10.0, 1.0),
        (10.5, 10.0, 1.0),
        (9.5, 10.0, 1.0),
        (10.500001, 10.0, 0.9),
        (11.0, 10.0, 0.9),
        (9.0, 10.0, 0.9),
        (11.5, 10.0, 0.8),
        (12.0, 10.0, 0.7),
        (12.5, 10.0, 0.6),
        (13.0, 10.0, 0.5),
        (13.5, 10.0, 0.4),
        (14.0, 10.0, 0.3),
        (14.5, 10.0, 0.2),
        (15.0, 10.0, 0.1),
        (5.0, 10.0, 0.1),
        (15.001, 10.0, 0.0),
        (4.999, 10.0, 0.0),
        (0.0, 10.0, 0.0),
        (-10.0, 10.0, 0.0),
        (0.33, 0.3, 0.9),
        (1.1, 1.0, 0.9),
        (2.2, 2.0, 0.9),
        (0.0, 0.0, 1.0),
        (1.0, 0.0, 0.0),
        (None, 10.0, 0.0),
        (math.nan, 10.0, 0.0),
        (math.inf, 10.0, 0.0),
    ],
)
def test_mean_relative_accuracy_at_its_bounds(said, truth, share):
    assert mra(said, truth) == pytest.approx(share)


@given(st.integers(1, 10_000), st.integers(1, 19))
def test_mean_relative_accuracy_counts_an_error_on_a_bound_as_inside(truth, twentieths):
    """An error of k/20 of any truth passes the bounds from k/20 on, whatever its binary fraction is."""
    assert mra(truth * (20 + twentieths) / 20, truth) == pytest.approx(max(0, 11 - twentieths) / 10)


def test_wilsons_interval_of_known_shares():
    low, high = wilson(50, 100)
    assert (low, high) == (pytest.approx(0.40383, abs=1e-5), pytest.approx(0.59617, abs=1e-5))
    low, high = wilson(0, 10)
    assert (low, high) == (0.0, pytest.approx(0.27753, abs=1e-5))
    low, high = wilson(10, 10)
    assert (low, high) == (pytest.approx(0.72247, abs=1e-5), 1.0)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(BenchError, match="11 right of 10"):
        wilson(11, 10)


def test_micro_and_macro_weigh_rows_and_types():
    rows = [*outcomes(9, 10, "a"), *outcomes(1, 2, "b")]
    scores = micro(rows, ("a", "b"))
    assert scores.headline.value == pytest.approx(10 / 12)
    assert scores.figures["macro"].value == pytest.approx((0.9 + 0.5) / 2)
    assert macro(rows).headline.value == pytest.approx(0.7)
    assert [f.name for f in scores.by_type] == ["a", "b"]
    assert (scores.by_type[0].low, scores.by_type[0].high) == wilson(9, 10)


def test_rows_that_are_missing_or_say_nothing_are_told_apart():
    rows = [*outcomes(3, 4), outcome("u", 0, status=UNPARSED), outcome("m", 0, status=MISSING)]
    scores = micro(rows, ("t", "never"))
    headline = scores.headline
    assert headline.value == pytest.approx(3 / 5)
    assert (headline.rows, headline.unparsed, headline.missing) == (5, 1, 1)
    assert any("1 of 6 rows are missing" in note for note in scores.notes)
    assert any("no rows of never" in note for note in scores.notes)


def test_no_rows_make_no_number():
    empty = micro([])
    assert math.isnan(empty.headline.value) and empty.headline.rows == 0
    assert math.isnan(figure("x", [outcome("m", 0, status=MISSING)]).value)


def test_mcnemar_of_hand_computed_tables():
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(5, 5) == 1.0
    assert mcnemar_p(0, 5) == pytest.approx(2 / 32)
    assert mcnemar_p(1, 9) == pytest.approx(2 * 11 / 1024)
    assert mcnemar_p(9, 1) == mcnemar_p(1, 9)
    assert mcnemar_p(400, 500) == pytest.approx(0.00096, rel=0.05)


def test_mcnemar_pairs_rows_by_their_key():
    first = [outcome("a", 1), outcome("b", 1), outcome("c", 0), outcome("d", 1), outcome("only", 1)]
    second = [outcome("d", 1), outcome("c", 1), outcome("b", 0), outcome("a", 0), outcome("gone", 0, status=MISSING)]
    paired = mcnemar(first, second)
    assert (paired.rows, paired.both, paired.neither) == (4, 1, 0)
    assert (paired.first_only, paired.second_only) == (("a", "b"), ("c",))
    assert paired.p == 1.0
    assert paired.left_out == 1
    with pytest.raises(BenchError, match="no row in common"):
        mcnemar(first, [outcome("z", 1)])
    with pytest.raises(BenchError, match="stands twice"):
        mcnemar([outcome("a", 1), outcome("a", 0)], second)


def attainable(percent, rows):
    """How many right rows print as `percent`, cut off or rounded to one decimal."""
    tenths = round(percent * 10)
    return [k for k in range(rows + 1) if tenths in (math.floor(1000 * k / rows + 1e-9), round(1000 * k / rows))]


@pytest.mark.parametrize("at", range(13))
def test_the_counts_of_dsr_bench_are_the_smallest_that_explain_the_printed_cells(at):
    type_, count = list(TABLE["counts"].items())[at]
    cells = [percents[at] for percents in TABLE["models"].values()]
    explaining = [rows for rows in range(20, count + 1) if all(attainable(cell, rows) for cell in cells)]
    assert explaining == [count], type_


def dsr_bench_rows(percents):
    """Outcomes with as many right rows a type as the cells say."""
    out = []
    for (type_, rows), percent in zip(TABLE["counts"].items(), percents, strict=False):
        out += outcomes(attainable(percent, rows)[0], rows, type_)
    return out


def test_the_published_averages_of_dsr_bench_are_micro_averages():
    assert sum(TABLE["counts"].values()) == 1484
    for model, percents in TABLE["models"].items():
        scores = find_task("dsr_bench").aggregate(dsr_bench_rows(percents))
        average = 100 * scores.headline.value
        assert percents[-1] in (math.floor(average * 10) / 10, round(average, 1)), model


def test_the_published_result_of_dsr_gsm_comes_out():
    percents = TABLE["models"]["DSR GSM"]
    scores = find_task("dsr_bench").aggregate(dsr_bench_rows(percents))
    assert round(scores.headline.value * scores.headline.rows) == 874
    assert 100 * scores.headline.value == pytest.approx(58.89, abs=0.005)
    # Of the cells as printed, cut off, the macro average is 64.23; of the shares behind them 64.27.
    assert 100 * scores.figures["macro"].value == pytest.approx(64.27, abs=0.005)
    assert sum(percents[:-1]) / 13 == pytest.approx(64.23, abs=0.005)
    assert [f.rows for f in scores.by_type] == list(TABLE["counts"].values())
    for found, printed in zip(scores.by_type, percents, strict=False):
        assert 100 * found.value == pytest.approx(printed, abs=0.1)


def numeric(key, score, type_):
    return Outcome(Row(key, "", "?", None, number=1.0, type=type_), SCORED, score)


def test_vsi_bench_merges_its_directions_first():
    levels = [("easy", 4, 4), ("medium", 1, 2), ("hard", 0, 6)]
    rows = [o for level, right, n in levels for o in outcomes(right, n, f"object_rel_direction_{level}")]
    rows += outcomes(1, 4, "route_planning")
    rows += [numeric("n1", 0.8, "object_counting"), numeric("n2", 0.4, "object_counting")]
    scores = find_task("vsi_bench").aggregate(rows)
    assert scores.figures["object_rel_direction"].value == pytest.approx(0.5)
    assert scores.headline.value == pytest.approx((0.5 + 0.25 + 0.6) / 3)
    assert scores.by_type[0].unit == "MRA"
    assert any("no rows of" in note and "room_size_estimation" in note for note in scores.notes)


def test_vsti_bench_means_its_types():
    rows = [*outcomes(3, 3, "camera_obj_rel_dist_v1"), *outcomes(0, 9, "camera_obj_rel_dist_v2")]
    rows += [numeric("n", 0.7, "camera_displacement")]
    scores = find_task("vsti_bench").aggregate(rows)
    assert scores.headline.value == pytest.approx((1.0 + 0.0 + 0.7) / 3)
    assert scores.figures["tasks"].value == pytest.approx((0.5 + 0.7) / 2)


def test_sti_bench_is_told_by_task_and_scene():
    rows = outcomes(3, 4, "Pose Estimation", "indoor") + outcomes(0, 1, "Spatial Relation", "outdoor")
    scores = find_task("sti_bench").aggregate(rows)
    assert scores.headline.value == pytest.approx(3 / 5)
    assert [f.name for f in scores.by_type] == ["Spatial Relation", "Pose Estimation"]
    assert scores.figures["scene indoor"].value == pytest.approx(0.75)
    assert scores.figures["scene outdoor"].rows == 1


def test_groups_come_in_the_order_asked_for():
    found = by([*outcomes(1, 1, "z"), *outcomes(1, 1, "a"), *outcomes(1, 1, "m")], lambda row: row.type, ("m",))
    assert [f.name for f in found] == ["m", "a", "z"]


#: Right rows by the recorded verdicts of the published outputs: ego, exo. The paper prints their shares for chains of
#: thought; of Qwen2.5-VL-7B and GPT-4o the shares of real videos are 43.3 and 60.0.
RECORDED = {
    ("cot", "InternVL2_5-8B_4frame"): (175, 406),
    ("cot", "Qwen2.5-VL-7B-Instruct_1fps"): (190, 403),
    ("cot", "gpt-4o_32frame"): (249, 573),
    ("direct-output", "InternVL2_5-8B_4frame"): (205, 388),
    ("direct-output", "Qwen2.5-VL-7B-Instruct_1fps"): (189, 405),
    ("direct-output", "gpt-4o_32frame"): (222, 548),
}
PRINTED_REAL = {"Qwen2.5-VL-7B-Instruct_1fps": 43.3, "gpt-4o_32frame": 60.0}


@pytest.mark.parametrize(("prompt", "model"), RECORDED)
def test_the_rows_of_vlm4ds_table_come_out(prompt, model):
    task = find_task("vlm4d")
    rows = task.read(shared("vlm4d/real_mc.json"))
    published = json.loads(shared(f"vlm4d/published_outputs/real_mc_{prompt}/{model}.json").read_text())
    verdicts = {f"real|{one['id']}": one["correct"] for one in published}
    recorded = task.aggregate([Outcome(row, SCORED, float(verdicts[row.key])) for row in rows])
    ours = task.score(rows, {f"real|{one['id']}": one["response"] for one in published})[1]
    right = {f.name: f.value * f.rows for f in recorded.by_type}
    assert (round(right["ego"]), round(right["exo"])) == RECORDED[prompt, model]
    assert ({f.name: f.rows for f in recorded.by_type}) == {"ego": 449, "exo": 922}
    if prompt == "cot" and model in PRINTED_REAL:
        assert round(100 * recorded.figures["real"].value, 1) == PRINTED_REAL[model]
    assert round(100 * ours.figures["real"].value, 1) == round(100 * recorded.figures["real"].value, 1)
    # One reply says "D: left" where D is "right": recorded as the text, read as the letter.
    for name, found in {f.name: f for f in ours.by_type}.items():
        assert abs(found.value * found.rows - right[name]) <= (model == "gpt-4o_32frame") + 1e-6
