"""The library against an independent finite-difference oracle on real recordings (tests/oracle.py)."""

import numpy as np
import pytest

import dsr_core
from tests.agreement import Tally, check_scene
from tests.data import shared

KITTI = "kitti_tracking"
LOGS = ("adcf7d18-0510-35b0-a2fa-b4cea13a6d76", "3b3570b4-7b0b-3268-a571-b0889dbf40b6")


def assert_agreement(tally, at_least):
    print("\n" + tally.table())
    for name, count in at_least.items():
        asked = tally.right[name] + tally.wrong[name] + tally.declined[name]
        assert asked >= count, f"only {asked} clear cases of {name!r}: the oracle is asleep"
    for name in tally.names():
        assert tally.rate(name) >= 0.99, (name, [d for d in tally.differences if d[0] == name][:5])


@pytest.mark.parametrize("length_s", [2.0, 4.0])
def test_agreement_on_all_kitti_sequences(length_s):
    root = shared(KITTI)
    tally, rng = Tally(), np.random.default_rng(0)
    for sequence in sorted(p.stem for p in (root / "oxts").glob("*.txt")):
        check_scene(dsr_core.load_scene(root, sequence=sequence), tally, rng, length_s)
    assert_agreement(
        tally,
        {
            "closing / receding to the ego": 500,
            "closing / receding, two tracks": 500,
            "faster of two tracks": 500,
            "direction from another's heading": 1000,
            "moving in the world": 200,
            "still in the world": 100,
            "parked, and getting closer": 100,
        },
    )


def test_agreement_on_argoverse():
    tally, rng = Tally(), np.random.default_rng(0)
    for log in LOGS:
        check_scene(dsr_core.load_scene(shared(f"av2/{log}")), tally, rng, 3.0, stride_s=3.0)
    assert_agreement(
        tally,
        {
            "closing / receding to the ego": 100,
            "moving in the world": 50,
            "still in the world": 100,
            "direction from another's heading": 100,
        },
    )


def test_a_parked_car_gets_closer_while_the_ego_drives():
    """KITTI 0001: a parked car that the ego drives past."""
    scene = dsr_core.load_scene(shared(KITTI), sequence="0001")
    parked = max(
        (
            t
            for t in scene.tracks.values()
            if t.label == "car" and np.ptp(t.positions_world_m, axis=0)[:2].max() < 1.0 and len(t) > 20
        ),
        key=len,
    )
    start = float(parked.stamps_s[0])
    answer = dsr_core.ask(
        scene, {"kind": "distance", "subject": parked.id, "object": "robot", "window": [start, start + 1.5]}
    )
    assert [s.label for s in answer.states] == ["decreasing"]
    assert answer.motion == {"ego": "moving", "object": "still"}
    still = dsr_core.ask(scene, {"kind": "motion", "subject": parked.id, "window": [start, start + 1.5]})
    assert [s.label for s in still.states] == ["still"]


def test_world_to_camera_poses_give_the_same_answers():
    from dsr_core.geometry import transforms as tf
    from dsr_core.scene import Scene

    scene = dsr_core.load_scene(shared(KITTI), sequence="0003")
    fields = {
        n: getattr(scene, n)
        for n in (
            "stamps_s",
            "tracks",
            "T_world_base",
            "origin_ns",
            "world_frame",
            "metric",
            "K",
            "image_size",
            "ego_sigma_m",
        )
    }
    other = Scene.from_world_to_camera(T_camera_world=tf.invert(scene.T_world_camera), **fields)
    for track in list(scene.tracks)[:10]:
        for query in (
            {"kind": "direction", "subject": track, "object": "camera", "viewpoint": {"agent": "camera"}},
            {"kind": "speed", "subject": track, "viewpoint": {"agent": "camera"}},
            {"kind": "distance", "subject": track, "object": "camera"},
        ):
            first, second = dsr_core.ask(scene, query).to_dict(), dsr_core.ask(other, query).to_dict()
            assert first["states"] == second["states"] and first["declined"] == second["declined"]
            assert first["value"] == pytest.approx(second["value"], abs=1e-5)


def test_parked_cars_are_not_called_moving():
    """Every car whose labels stay within 1.2 m while the ego drives past, in windows of 2 s."""
    root = shared(KITTI)
    judged = moving = 0
    for sequence in sorted(p.stem for p in (root / "oxts").glob("*.txt")):
        scene = dsr_core.load_scene(root, sequence=sequence)
        for track in scene.tracks.values():
            extent = np.ptp(track.positions_world_m, axis=0)[:2].max()
            if track.label not in ("car", "van", "truck") or len(track) < 21 or extent > 1.2:
                continue
            for start in np.arange(track.stamps_s[0], track.stamps_s[-1] - 2.0 + 1e-6, 1.0):
                answer = dsr_core.ask(scene, {"kind": "motion", "subject": track.id, "window": [start, start + 2.0]})
                if answer.declined is None:
                    judged += 1
                    moving += "moving" in {s.label for s in answer.states}
    print(f"\nparked cars: {moving} of {judged} windows of 2 s called moving ({100 * moving / judged:.1f} %)")
    assert judged > 500
    assert moving <= 0.02 * judged
