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


@pytest.mark.parametrize("length_s", [2.0, 4.0, 8.0])
def test_agreement_on_all_kitti_sequences(length_s):
    root = shared("kitti_tracking")
    tally, rng = KindTally(), np.random.default_rng(0)
    for sequence in sorted(p.stem for p in (root / "oxts").glob("*.txt")):
        check_kinds(dsr_core.load_scene(root, sequence=sequence), tally, rng, length_s, stride_s=length_s)
    assert_agreement(tally, {})


def test_agreement_on_argoverse():
    tally, rng = KindTally(), np.random.default_rng(0)
    for log in LOGS:
        check_kinds(dsr_core.load_scene(shared(f"av2/{log}")), tally, rng, 3.0, stride_s=3.0, things_per_window=10)
    assert_agreement(tally, {})
