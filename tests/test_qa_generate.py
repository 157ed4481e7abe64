"""Questions made of scenes: every answer is what `ask` answers to the question's own text."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from dsr_core import ask, load_scene
from dsr_core.language import parse
from dsr_core.qa.config import QaConfig
from dsr_core.qa.item import TEMPLATE_TYPES, QaError
from dsr_core.qa.making.generate import balanced, candidates
from dsr_core.qa.making.references import References
from dsr_core.qa.making.sample import Sampler
from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.kinds.published import source_stamps
from dsr_core.reasoning.query import Query
from dsr_core.scene import Scene
from tests.data import shared
from tests.random_scenes import random_scene

AV2 = "3b3570b4-7b0b-3268-a571-b0889dbf40b6"
SCENES = {
    "kitti 0000": lambda: load_scene(shared("kitti_tracking"), sequence="0000"),
    "kitti 0011": lambda: load_scene(shared("kitti_tracking"), sequence="0011"),
    "av2": lambda: load_scene(shared("av2") / AV2),
    "simulator": lambda: load_scene("sim:seed=1,duration=20,render=0"),
    "simulator seen by a tracker": lambda: load_scene("sim:seed=2,duration=20,render=0", detections="noisy"),
}


@pytest.fixture(scope="module", params=SCENES)
def scene(request):
    return SCENES[request.param]()


@pytest.fixture(scope="module")
def simulated():
    return SCENES["simulator"]()


def with_three_others(found, rng):
    """Each candidate with four options of its type: its answer and up to three others', shuffled."""
    by_kind = {}
    for c in found:
        by_kind.setdefault(c.kind, set()).add(c.answer)
    for c in found:
        others = sorted(by_kind[c.kind] - {c.answer})
        options = [c.answer, *rng.sample(others, min(3, len(others)))]
        rng.shuffle(options)
        yield c, options


@pytest.mark.parametrize("rules", ["robust", "dsr"])
def test_ask_gives_every_answer(scene, rules):
    drops = Counter()
    found = candidates(scene, QaConfig(per_scene=120, rules=rules), 3, "a", drops=drops)
    assert len(found) >= 60 and len({c.question for c in found}) == len(found)
    assert {c.type for c in found} <= set(TEMPLATE_TYPES) and len({c.type for c in found}) >= 10
    for c, options in with_three_others(found, random.Random(0)):
        answer = ask(scene, c.question, choices=options, rules=rules)
        assert answer.declined is None, (c.question, answer.declined)
        assert tuple(s.label for s in answer.states) == c.labels, c.question
        assert answer.choice == c.answer, (c.question, options)
        assert answer.confidence == pytest.approx(c.confidence), c.question
    for (type_, reason), count in drops.items():
        assert type_ in TEMPLATE_TYPES and reason and count > 0


def test_the_typed_query_gives_the_same_answer(scene):
    for c in candidates(scene, QaConfig(per_scene=60), 4, "a"):
        answer = ask(scene, Query.from_dict(c.query))
        assert tuple(s.label for s in answer.states) == c.labels
        assert answer.viewpoint["agent"] == c.viewpoint["agent"] and answer.viewpoint["mode"] == c.viewpoint["mode"]
        assert set(answer.tracks) == set(c.tracks)


def test_a_seed_gives_the_same_questions_and_another_one_others(simulated):
    config = QaConfig(per_scene=30)
    first = candidates(simulated, config, 1, "a")
    assert candidates(simulated, config, 1, "a") == first
    texts = {c.question for c in first}
    assert {c.question for c in candidates(simulated, config, 2, "a")} != texts
    assert {c.question for c in candidates(simulated, config, 1, "b")} != texts


def test_types_balance_and_one_that_fails_is_given_up(simulated):
    some = candidates(simulated, QaConfig(per_scene=1), 0, "a")[0]
    tries = Counter()

    def make(type_):
        tries[type_] += 1
        return "no luck" if type_ == "rel_spd" else replace(some, type=type_, question=f"{type_} {tries[type_]}")

    drops, config = Counter(), QaConfig(per_scene=220, max_failures=7)
    counts = Counter(c.type for c in balanced(make, TEMPLATE_TYPES, config, random.Random(0), drops))
    assert drops == {("rel_spd", "no luck"): 7} and sum(counts.values()) == 220
    assert len(counts) == 11 and max(counts.values()) - min(counts.values()) <= 12


def test_types_can_be_chosen(simulated):
    config = QaConfig(per_scene=40, types=["rel_dis", "abs_dir"], min_confidence=0.5)
    assert {c.type for c in candidates(simulated, config, 0, "simulated")} == {"rel_dis", "abs_dir"}
    with pytest.raises(QaError, match="no type rel_dist; it has: abs_dis"):
        candidates(simulated, QaConfig(types=("rel_dist",)), 0, "simulated")


def test_windows_of_robust_rules(scene):
    config = QaConfig(per_scene=60, min_window_s=3.0, max_window_s=6.0)
    for c in candidates(scene, config, 0, "a"):
        start, end = c.window
        if not c.type.endswith("dir_pred"):
            assert 2.95 <= end - start <= 6.05 and f"Between {start:.1f}s and {end:.1f}s, " in c.question
            for name in c.tracks:
                track = scene.tracks[name]
                seen = track.stamps_s[track.observed]
                if name != c.viewpoint["agent"] or c.viewpoint["mode"] == "relative":
                    assert seen[0] <= start + 1e-6 and seen[-1] >= end - 1e-6


def test_windows_of_published_rules_lie_on_the_published_samples(simulated):
    samples = source_stamps(simulated)
    for c in candidates(simulated, QaConfig(per_scene=80, rules="dsr"), 0, "a"):
        assert c.rules == "dsr"
        if c.type.endswith("dir_pred"):
            assert c.future_from_s == samples[29]
            assert c.viewpoint["at"] is None or c.viewpoint["at"] <= c.future_from_s
            continue
        rows = [int(np.abs(samples - s).argmin()) for s in c.window]
        assert np.abs(samples[rows] - c.window).max() <= 0.05 + 1e-9
        assert rows[1] <= 29 and rows[1] - rows[0] >= 3 + ("speed" in c.kind)


def test_predictions_hide_what_comes_after_their_end(simulated):
    found = [c for c in candidates(simulated, QaConfig(per_scene=200), 0, "a") if c.kind == "direction_prediction"]
    assert found
    for c in found:
        assert c.future_from_s == c.window[1] and "final bounding box" in c.question
        assert c.viewpoint["at"] is None or c.viewpoint["at"] <= c.future_from_s
        known = ask(simulated, Query.from_dict(c.query), until=c.future_from_s)
        assert tuple(s.label for s in known.states) == c.labels


def test_predictions_can_tell_a_window(scene):
    config = QaConfig(per_scene=150, windowed_predictions=True)
    found = [c for c in candidates(scene, config, 0, "a") if c.kind == "direction_prediction"]
    assert len(found) > 10
    for c in found:
        assert c.question.startswith(f"Between {c.window[0]:.1f}s and {c.window[1]:.1f}s, f")
        assert c.future_from_s == c.window[1]
        for until in (None, c.future_from_s + 1e-6):  # a stamp is a sum of periods
            answer = ask(scene, c.question, until=until)
            assert tuple(s.label for s in answer.states) == c.labels, c.question
    with pytest.raises(QaError, match="windowed_predictions"):
        QaConfig(windowed_predictions=True, rules="dsr")


def test_covariates_say_what_the_text_shows(simulated):
    width, height = simulated.image_size
    for c in candidates(simulated, QaConfig(per_scene=120), 5, "a"):
        query = parse(c.question).query
        times = [] if query.window is None else [query.window[0], query.window[1] - query.window[0]]
        if query.viewpoint.at is not None:
            times.append(query.viewpoint.at - (query.window[0] if query.window else 0.0))
        boxes = [w["box"] for w in (query.viewpoint.agent, query.subject, query.object) if isinstance(w, dict)]
        for x1, y1, x2, y2 in boxes:
            assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
            times += [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height]
            times += [np.log((x2 - x1) / width), np.log((y2 - y1) / height)]
        assert c.covariates == pytest.approx(times)
        assert c.image_size == (simulated.image_size if boxes else None)


def test_names_in_place_of_boxes(simulated):
    found = candidates(simulated, QaConfig(per_scene=60, refer="names"), 0, "a")
    assert found and all("[" not in c.question and c.image_size is None for c in found)
    assert any("forklift 1" in c.question for c in found)
    for c in found:
        answer = ask(simulated, c.question)
        assert tuple(s.label for s in answer.states) == c.labels, c.question


def test_classes_in_place_of_names(simulated):
    drops = Counter()
    config = QaConfig(per_scene=40, refer="classes", types=("rel_dis", "abs_dir"))
    found = candidates(simulated, config, 0, "a", drops=drops)
    assert (
        found
        and any("forklift" in c.question for c in found)
        and not any(drops[t, "class shared"] for t in config.types)
    )
    for c in found:
        assert not any(f"{t.label} {t.id}" in c.question for t in simulated.tracks.values())
        assert tuple(s.label for s in ask(simulated, c.question).states) == c.labels, c.question
    twin = replace(simulated, tracks={**simulated.tracks, "99": replace(simulated.tracks["1"], id="99")})
    shared = candidates(twin, config, 0, "a", drops=drops)
    assert shared and not any("forklift" in c.question for c in shared)
    assert drops["rel_dis", "class shared"] > 0


def test_a_box_that_is_not_its_own_is_no_reference():
    scene = random_scene(1)
    boxes = np.tile([100.0, 100.0, 200.0, 180.0], (len(scene.tracks["0"]), 1))
    tracks = {i: replace(t, boxes_px=boxes, image_size=scene.image_size) for i, t in scene.tracks.items()}
    tracks["1"] = replace(tracks["1"], boxes_px=boxes + 0.4)
    references = References(replace(scene, tracks=tracks), QaConfig())
    assert references.of(Agent("0", tracks["0"]), 1.0, "initial").text == (
        "car with initial bounding box coordinates [100,100,200,180]"
    )
    assert references.of(Agent("1", tracks["1"]), 1.0, "initial") == "box not identifying"
    assert references.of(Agent("2", tracks["2"]), 1.0, "initial").text.startswith("person with")
    small = replace(tracks["2"], boxes_px=np.tile([5.0, 5.0, 9.0, 40.0], (len(boxes), 1)))
    assert references.of(Agent("2", small), 2.0, "initial") == "box too small"
    assert references.of(Agent("2", tracks["2"]), 99.0, "initial") == "no box"


def test_uncertain_answers_are_dropped_and_counted(simulated):
    drops = Counter()
    found = candidates(simulated, QaConfig(per_scene=100), 0, "a", drops=drops)
    assert all(c.confidence >= 0.9 ** len(c.labels) for c in found)
    assert any(reason in ("not confident", "TOO_UNCERTAIN", "margin inside the noise") for _, reason in drops)
    strict = candidates(simulated, QaConfig(per_scene=100, min_confidence=0.99), 0, "a")
    assert strict and all(c.confidence >= 0.99 ** len(c.labels) for c in strict)
    short = candidates(simulated, QaConfig(per_scene=100, max_states=1, rules="dsr"), 0, "a")
    assert short and all("(2)" not in c.answer for c in short)


def test_a_scene_without_anything_gives_nothing_and_says_why(simulated):
    drops = Counter()
    assert candidates(replace(simulated, tracks={}), QaConfig(), 0, "a", drops=drops) == []
    assert sum(drops.values()) == len(TEMPLATE_TYPES) * QaConfig().max_failures
    assert {reason for _, reason in drops} <= {"nothing observed long enough", "no heading"}


@pytest.mark.parametrize("config", [QaConfig(rules="dsr"), QaConfig(style="mllm4d")])
def test_a_scene_of_one_frame_gives_nothing(config):
    drops = Counter()
    assert candidates(Scene(stamps_s=[0.0]), config, 0, "a", drops=drops) == []
    assert set(drops.values()) == {1} and {reason for _, reason in drops} == {"NOT_OBSERVED"}


@pytest.mark.parametrize("rules", ["robust", "dsr"])
@pytest.mark.parametrize("missing", ["camera", "everything known of the ego", "boxes", "headings"])
def test_scenes_that_lack_something(missing, rules):
    scene = random_scene(3)
    if missing == "camera":
        scene = replace(scene, T_world_camera=None)
    elif missing == "everything known of the ego":
        scene = replace(scene, T_world_camera=None, T_world_base=None)
    elif missing == "headings":
        tracks = {i: replace(t, orientations_xyzw=None) for i, t in scene.tracks.items()}
        scene = replace(scene, tracks=tracks)
    found = candidates(scene, QaConfig(per_scene=40, rules=rules), 0, "a")
    assert found
    for c in found:
        answer = ask(scene, c.question, rules=rules)
        assert tuple(s.label for s in answer.states) == c.labels, c.question
        if missing == "headings":
            assert c.viewer == "camera" and c.kind != "orientation"
        if missing.startswith("everything"):
            assert "camera" not in (c.viewer, *c.things)


@pytest.mark.parametrize("scale", [0.2, 30.0])
def test_scale_changes_no_question_and_no_answer(scale):
    scene = random_scene(5)
    found, scaled = (candidates(s, QaConfig(per_scene=60), 0, "a") for s in (scene, scene.transformed(scale=scale)))
    assert len(found) > 30 and [(c.question, c.answer) for c in found] == [(c.question, c.answer) for c in scaled]
    unknown = candidates(replace(scene, metric=False), QaConfig(per_scene=60), 0, "a")
    assert [(c.question, c.answer) for c in unknown] == [(c.question, c.answer) for c in found]
    assert all(c.margin is None for c in unknown if c.kind in ("distance", "speed", "speed_comparison"))


def test_things_that_move_are_asked_about_more_often():
    scene = random_scene(1)
    parked = {i for i, t in scene.tracks.items() if np.ptp(t.positions_world_m, axis=0).max() < 1.0}
    assert parked and parked < set(scene.tracks)

    def share(weight):
        sampler = Sampler(scene, QaConfig(moving_weight=weight), random.Random(0))
        drawn = Counter(sampler.draw("orientation", True).subject.name for _ in range(400))
        return sum(drawn[i] for i in parked) / drawn.total()

    assert share(8.0) < 0.6 * share(1.0)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("style", "free"), ("rules", "best"), ("refer", "words"), ("per_scene", 0), ("min_confidence", 1.5),
     ("min_margin_sigmas", -1.0), ("max_window_s", 1.0), ("max_gap_s", float("nan")), ("moving_weight", 0.0)],
)  # fmt: skip
def test_settings_that_cannot_be(setting, value):
    with pytest.raises(QaError, match=setting):
        QaConfig(**{setting: value})
