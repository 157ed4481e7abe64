"""Random scenes of movers for property tests, and the same scene mirrored, backwards, renamed or thinned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dsr_core.geometry import transforms as tf
from dsr_core.scene import Scene
from tests.fakes import fake_track

DURATION_S = 6.0
MIRROR = np.diag([1.0, -1.0, 1.0])


def random_scene(seed: int, sigma_m: float = 0.05) -> Scene:
    """Two cars with headings in neighbouring lanes, a person without size, a cart without heading and a parked van,
    around a robot that drives and turns; 20 Hz, 6 s, with a camera."""
    rng, noise = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    common = {"duration_s": DURATION_S, "rate_hz": 20.0, "sigma_m": sigma_m, "rng": noise}

    def path(start, speed, heading, bend):
        def positions(t):
            angle = heading + bend * t
            step = speed * np.stack([np.cos(angle), np.sin(angle), 0 * t], axis=1) / 20.0
            return start + np.cumsum(step, axis=0) - step[0]

        return {"positions": positions, "yaw": lambda t: heading + bend * t}

    heading, bend = rng.uniform(-3, 3), rng.choice([0.0, 0.0, 0.3, -0.3])
    start = rng.uniform(-12, 12, 3) * (1, 1, 0.05)
    along = np.array([np.cos(heading), np.sin(heading), 0.0])
    aside = np.array([-along[1], along[0], 0.0])
    speeds = rng.choice([0.0, 1.0, 3.0, 6.0], 2)
    # They meet somewhere near the middle of the six seconds.
    beside = start + along * (3.0 * (speeds[0] - speeds[1]) + rng.uniform(-6, 6)) + aside * rng.choice([-3.0, 3.0])

    def wanderer(fastest):
        begin = rng.uniform(-8, 8, 3) * (1, 1, 0.05)
        return path(begin, rng.uniform(0.3, fastest), rng.uniform(-3, 3), rng.uniform(-0.4, 0.4))

    course, ego_speed = rng.uniform(-3, 3), rng.uniform(0, 3)
    ego = path(rng.uniform(-3, 3, 3) * (1, 1, 0), ego_speed, course, rng.uniform(-0.3, 0.3))
    # The person walks across in front of the robot, about in the middle of the time.
    walk, way = rng.uniform(0.5, 2.0), course + rng.choice([-1, 1]) * rng.uniform(1.0, 2.1)
    t = np.arange(round(20 * DURATION_S) + 1) / 20.0
    ahead = np.array([np.cos(ego["yaw"](3.0)), np.sin(ego["yaw"](3.0)), 0.0]) * rng.uniform(4, 10)
    meet = ego["positions"](t)[60] + ahead + rng.uniform(-1, 1, 3) * (1, 1, 0.3)
    person, cart = path(meet - 3.0 * walk * np.array([np.cos(way), np.sin(way), 0.0]), walk, way, 0.0), wanderer(3.0)
    tracks = [
        fake_track("0", "car", **path(start, speeds[0], heading, bend), **common),
        fake_track("1", "car", **path(beside, speeds[1], heading, bend), **common),
        fake_track("2", "person", **person, size=(np.nan,) * 3, **common),
        fake_track("3", "cart", positions=cart["positions"], size=(1.0, 0.6, 1.0), **common),
        fake_track("4", "van", rng.uniform(-10, 10, 3) * (1, 1, 0.05), yaw=rng.uniform(-3, 3), **common),
    ]
    for track in tracks:
        track.orientation_sigmas_rad[:] = 0.03
    R = tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(ego["yaw"](t)))
    T_world_base = tf.make_transform(R, ego["positions"](t))
    return Scene(
        stamps_s=t,
        tracks={k.id: k for k in tracks},
        T_world_base=T_world_base,
        T_world_camera=T_world_base @ tf.make_transform(tf.R_BODY_OPTICAL, np.array([0.3, 0.0, 0.8])),
        K=np.array([[300.0, 0, 320], [0, 300.0, 240], [0, 0, 1]]),
        image_size=(640, 480),
    )


def mirrored(scene: Scene) -> Scene:
    """Left and right swapped: y -> -y in the world and in every body."""

    def pose(T, optical=False):
        flip = np.diag([-1.0, 1.0, 1.0]) if optical else MIRROR  # the optical frame's x points right
        return tf.make_transform(MIRROR @ T[:, :3, :3] @ flip, T[:, :3, 3] @ MIRROR)

    tracks = {
        i: replace(
            k,
            positions_world_m=k.positions_world_m @ MIRROR,
            covariances=MIRROR @ k.covariances @ MIRROR,
            velocities=k.velocities @ MIRROR,
            orientations_xyzw=k.orientations_xyzw * (-1.0, 1.0, -1.0, 1.0),
        )
        for i, k in scene.tracks.items()
    }
    return replace(
        scene, tracks=tracks, T_world_base=pose(scene.T_world_base), T_world_camera=pose(scene.T_world_camera, True)
    )


def backwards(scene: Scene) -> Scene:
    """Time reversed: everybody goes backwards along the same way, with the same headings."""
    end = float(scene.stamps_s[-1])
    tracks = {
        i: replace(
            k,
            stamps_s=end - k.stamps_s[::-1],
            positions_world_m=k.positions_world_m[::-1],
            covariances=k.covariances[::-1],
            velocities=-k.velocities[::-1],
            orientations_xyzw=k.orientations_xyzw[::-1],
            orientation_sigmas_rad=k.orientation_sigmas_rad[::-1],
            observed=k.observed[::-1],
        )
        for i, k in scene.tracks.items()
    }
    return replace(
        scene,
        stamps_s=end - scene.stamps_s[::-1],
        tracks=tracks,
        T_world_base=scene.T_world_base[::-1],
        T_world_camera=scene.T_world_camera[::-1],
    )


def renamed(scene: Scene, seed: int) -> tuple[Scene, dict[str, str]]:
    """The tracks under other ids and in another order; and the new id by the old."""
    rng = np.random.default_rng(seed)
    ids = list(scene.tracks)
    new = {old: f"n{number}" for old, number in zip(ids, rng.permutation(len(ids)), strict=True)}
    order = [ids[i] for i in rng.permutation(len(ids))]
    return replace(scene, tracks={new[i]: replace(scene.tracks[i], id=new[i]) for i in order}), new


def thinned(scene: Scene, step: int) -> Scene:
    """Every `step`-th sample."""
    return replace(
        scene,
        stamps_s=scene.stamps_s[::step],
        tracks={i: k[::step] for i, k in scene.tracks.items()},
        T_world_base=scene.T_world_base[::step],
        T_world_camera=scene.T_world_camera[::step],
    )
