"""Every newer kind of question against independent oracles on real recordings (tests/oracle_*.py, docs/kinds.md)."""

import numpy as np
import pytest

import dsr_core
from dsr_core.reasoning.kinds import REGISTRY
from tests.agreement_kinds import KindTally, check_kinds
from tests.data import shared

LOGS = ("adcf7d18-0510-35b0-a2fa-b4cea13a6d76", "3b3570b4-7b0b-3268-a571-b0889dbf40b6")


def assert_agreement(tally, at_least):
    print("\n" + tally.table())
    for kind, count in at_least.items():
        if kind in REGISTRY:
            assert tally.total(kind) >= count, f"only {tally.total(kind)} clear cases of {kind!r}: the oracle is asleep"
    for kind in tally.kinds():
        assert tally.rate(kind) >= 0.99, (kind, [d for d in tally.differences if d[0].split(":")[0] == kind][:5])


#: Clear cases that all sequences must give, by kind; overtaking and crossing are rare (39 and 173 in all windows).
AT_LEAST = {
    **{k: 300 for k in ("displacement", "path_length", "turning", "nearest_distance", "distance_change", "facing")},
    **{k: 300 for k in ("closest_approach", "closest_distance", "following", "overtaking", "crossing", "position")},
    **{k: 300 for k in ("moving_direction", "lateral_change", "depth_change", "visibility", "last_seen", "count")},
    **{k: 60 for k in ("nearest", "farthest", "fastest_receding")},
    **{k: 10 for k in ("fastest", "slowest", "fastest_approaching")},
}


@pytest.mark.parametrize("length_s, stride_s", [(2.0, 4.0), (4.0, 4.0), (8.0, 8.0)])
def test_agreement_on_all_kitti_sequences(length_s, stride_s):
    root = shared("kitti_tracking")
    tally, rng = KindTally(), np.random.default_rng(0)
    for sequence in sorted(p.stem for p in (root / "oxts").glob("*.txt")):
        check_kinds(dsr_core.load_scene(root, sequence=sequence), tally, rng, length_s, stride_s)
    assert_agreement(tally, AT_LEAST if length_s == 4.0 else {})


def test_agreement_on_argoverse():
    tally, rng = KindTally(), np.random.default_rng(0)
    for log in LOGS:
        check_kinds(dsr_core.load_scene(shared(f"av2/{log}")), tally, rng, 3.0, 3.0, things_per_window=8)
    assert_agreement(tally, {k: 20 for k in ("crossing", "overtaking", "following", "facing", "nearest", "count")})


def test_a_moment_out_of_sight_at_an_end_of_the_window_is_no_state():
    """A thing last seen at 2.0 s, asked about until 2.1 s and 4.0 s; and one just before it comes back."""
    from tests.fakes import fake_scene, fake_track

    track = fake_track(duration_s=6.0)
    gone = fake_scene(track.between(0.0, 2.0), duration_s=6.0)
    query = {"kind": "visibility", "subject": "1", "window": [1.0, 2.1]}
    assert [(s.label, s.start, s.end) for s in dsr_core.ask(gone, query).states] == [("in_view", 1.0, 2.1)]
    answer = dsr_core.ask(gone, {**query, "window": [1.0, 4.0]})
    assert [(s.label, s.end) for s in answer.states] == [("in_view", 2.0), ("out_of_view", 4.0)]
    assert answer.value == pytest.approx(1.0)
    back = fake_scene(track[(track.stamps_s < 2.0) | (track.stamps_s > 3.95)], duration_s=6.0)
    answer = dsr_core.ask(back, {**query, "window": [3.8, 6.0]})
    assert [(s.label, s.start) for s in answer.states] == [("in_view", 3.8)]
