"""Simulator: a warehouse with a robot, a forklift, a person, a parked pallet truck and a cart that hides for a while.

The play (`simulator_script`) is the same every time; noise, odometry drift and the goods on the shelves follow the
seed. `T_a_b` maps points from b to a: "map" is the true world, "odom" the frame of the drifting odometry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from dsr_core.errors import SourceError
from dsr_core.geometry import transforms as tf
from dsr_core.geometry.camera import Camera
from dsr_core.scene import Scene, Track
from dsr_core.sources import simulator_script as script
from dsr_core.sources.base import Source
from dsr_core.sources.simulator_noise import DepthNoise, DetectorNoise, noisy_box, noisy_depth
from dsr_core.sources.simulator_visibility import projected_box, visible_share
from dsr_core.values import Detection, Frame

FIELD_OF_VIEW_Y_RAD = np.radians(58.0)
ORIGIN_NS = 1_700_000_000_000_000_000
#: A thing counts as observed in the truth when at least this share of it can be seen.
OBSERVED_SHARE = 0.15
#: One-sigma of the odometry over some seconds, for a drift of scale 1: parked things wander by 0.03 m in ten seconds.
ODOM_SIGMA_M = 0.03
MAX_DURATION_S = 120.0


def simulated_camera(image_size: tuple[int, int]) -> Camera:
    """The camera of the robot: square pixels, no distortion, the optical axis through the image's middle."""
    w, h = image_size
    focal = h / 2 / np.tan(FIELD_OF_VIEW_Y_RAD / 2)
    return Camera(K=np.array([[focal, 0, (w - 1) / 2], [0, focal, (h - 1) / 2], [0, 0, 1.0]]), image_size=image_size)


class Simulator(Source):
    """A recording that is made while it is read.

    Args:
        duration_s: Length in seconds; after `simulator_script.SCRIPT_S` (40 s) everything stands still.
        rate_hz: Frames a second.
        seed: Seed of all noise, of the odometry's drift and of the goods on the shelves.
        image_size: (width, height) in pixels.
        render: False gives 3D detections without images (fast; needs no MuJoCo).
        masks: Detections carry masks (rendered frames only).
        detections: Anything but None makes `scene()` build tracks from the frames in place of the truth.
        depth_noise: The depth camera.
        detector_noise: The detector.
        drift: Scale of the odometry's drift; 0 is a perfect odometry.

    Raises:
        SourceError: a parameter is out of range.
    """

    name = "simulator"

    def __init__(
        self,
        duration_s: float = script.SCRIPT_S,
        rate_hz: float = 10.0,
        seed: int = 0,
        image_size: tuple[int, int] = (640, 480),
        render: bool = True,
        masks: bool = True,
        detections: str | None = None,
        depth_noise: DepthNoise | None = None,
        detector_noise: DetectorNoise | None = None,
        drift: float = 1.0,
    ):
        if not 0.0 < duration_s <= MAX_DURATION_S:
            raise SourceError(f"duration = {duration_s} s is out of range; give at most {MAX_DURATION_S:g}")
        if not 0.5 <= rate_hz <= 60.0:
            raise SourceError(f"rate = {rate_hz} Hz is out of range; give 0.5 to 60")
        if int(seed) < 0:
            raise SourceError(f"seed = {seed} is negative; give 0 or more")
        w, h = (int(n) for n in image_size)
        if not (64 <= w <= 1920 and 48 <= h <= 1200):
            raise SourceError(f"image size {w} x {h} is out of range; give 64 x 48 to 1920 x 1200")
        self.duration_s, self.rate_hz, self.seed = float(duration_s), float(rate_hz), int(seed)
        self.render, self.masks, self.detector = bool(render), bool(masks), detections
        self.camera = simulated_camera((w, h))
        self.depth_noise = depth_noise or DepthNoise()
        self.detector_noise = detector_noise or DetectorNoise()
        self.name = f"simulator-{self.seed}"
        n = round(self.duration_s * self.rate_hz)
        self.stamps_ns = ORIGIN_NS + np.round(np.arange(max(n, 1)) * (1e9 / self.rate_hz)).astype(np.int64)
        self.stamps_s = (self.stamps_ns - ORIGIN_NS) * 1e-9
        self.drift_scale = drift
        self.drive = script.drive(self.duration_s, self.seed, drift)
        self.T_map_base = self.drive.T_map_base(self.stamps_s)
        self.T_odom_base = self.drive.T_odom_base(self.stamps_s)
        self.T_base_camera = script.camera_mount()
        self.T_map_camera = self.T_map_base @ self.T_base_camera
        self.T_odom_camera = self.T_odom_base @ self.T_base_camera
        self.T_map_actor = {actor.id: actor_poses(actor, self.stamps_s) for actor in script.ACTORS}

    def __len__(self) -> int:
        return len(self.stamps_ns)

    @cached_property
    def visibility(self) -> dict[str, np.ndarray]:
        """Share 0..1 (T,) of each thing that the camera can see in each frame, by id."""
        static = [solid_box(*box) for box in (script.ISLAND, *script.WALL_RACKS)]
        half = {a.id: np.array(a.size_lwh_m) * a.solid / 2 for a in script.ACTORS}
        out = {a.id: np.zeros(len(self)) for a in script.ACTORS}
        for i in range(len(self)):
            for actor in script.ACTORS:
                others = [(tf.invert(self.T_map_actor[o.id][i]), half[o.id]) for o in script.ACTORS if o.id != actor.id]
                out[actor.id][i] = visible_share(
                    self.camera,
                    self.T_map_camera[i],
                    self.T_map_actor[actor.id][i],
                    actor.size_lwh_m,
                    static + others,
                    self.depth_noise.max_m,
                )
        return out

    def truth(self, world_frame: str = "odom") -> Scene:
        """The true tracks at the frames' stamps; a track's `observed` is False while the thing cannot be seen.

        Args:
            world_frame: "odom" gives the true relative geometry expressed in the drifting frame that the frames'
                poses are in; "map" gives the true world, which the robot does not know.

        Raises:
            SourceError: another frame is named.
        """
        if world_frame not in ("odom", "map"):
            raise SourceError(f"world_frame = {world_frame!r}; the simulator knows 'odom' and 'map'")
        odom = world_frame == "odom"
        tracks = {}
        for actor in script.ACTORS:
            T = self._actor_in_world(actor, self.stamps_s, odom)
            step = np.array([-script.STEP_S, script.STEP_S])
            around = [self._actor_in_world(actor, np.maximum(self.stamps_s + s, 0.0), odom)[:, :3, 3] for s in step]
            elapsed = (self.stamps_s + script.STEP_S) - np.maximum(self.stamps_s - script.STEP_S, 0.0)
            tracks[actor.id] = Track(
                id=actor.id,
                label=actor.label,
                stamps_s=self.stamps_s,
                positions_world_m=T[:, :3, 3],
                velocities=(around[1] - around[0]) / elapsed[:, None],
                orientations_xyzw=tf.quaternions_from_matrices(T[:, :3, :3]),
                size_lwh_m=np.array(actor.size_lwh_m),
                boxes_px=np.array(
                    [
                        projected_box(self.camera, tf.invert(self.T_map_camera[i]) @ T_map, actor.size_lwh_m)
                        for i, T_map in enumerate(self.T_map_actor[actor.id])
                    ]
                ),
                image_size=self.camera.image_size,
                observed=self.visibility[actor.id] >= OBSERVED_SHARE,
            )
        return Scene(
            stamps_s=self.stamps_s,
            tracks=tracks,
            T_world_camera=self.T_odom_camera if odom else self.T_map_camera,
            T_world_base=self.T_odom_base if odom else self.T_map_base,
            origin_ns=ORIGIN_NS,
            world_frame=world_frame,
            K=self.camera.K,
            image_size=self.camera.image_size,
            ego_sigma_m=ODOM_SIGMA_M * self.drift_scale if odom else 0.0,
        )

    def _actor_in_world(self, actor: script.Actor, at_s: np.ndarray, odom: bool) -> np.ndarray:
        T = actor_poses(actor, at_s)
        return self.drive.T_odom_map(at_s) @ T if odom else T

    def frames(self) -> Iterator[Frame]:
        """Frames in time order, made one by one.

        Raises:
            DependencyError: MuJoCo is not installed (`render=True`).
            SourceError: there is no off-screen OpenGL (`render=True`).
        """
        if not self.render:
            for i in range(len(self)):
                yield self._frame(i, self._boxes_3d(i))
            return
        from dsr_core.sources.simulator_render import WarehouseRenderer

        with WarehouseRenderer(self.camera, self.seed) as renderer:
            for i in range(len(self)):
                poses = {a.id: self.T_map_actor[a.id][i] for a in script.ACTORS}
                rgb, depth_m, owners = renderer.render(self.T_map_camera[i], poses, self.stamps_s[i])
                found = self._boxes_2d(i, owners)
                depth_m = noisy_depth(depth_m, self.depth_noise, self._rng(i, 2))
                yield replace(self._frame(i, found), rgb=rgb, depth_m=depth_m)

    def _frame(self, i: int, detections: list[Detection]) -> Frame:
        return Frame(
            stamp_ns=int(self.stamps_ns[i]),
            T_world_camera=self.T_odom_camera[i],
            T_world_base=self.T_odom_base[i],
            camera=self.camera,
            detections=tuple(detections),
        )

    def _rng(self, i: int, stream: int) -> np.random.Generator:
        """A generator of its own for each frame and use, so that reading twice or in part changes nothing."""
        return np.random.default_rng([self.seed, i, stream])

    def _guess(self, i: int, actor: script.Actor, rng: np.random.Generator) -> dict:
        """What an orientation and size model says about a thing in frame i."""
        sigma = self.detector_noise.heading_sigma(actor.label)
        turn = tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(rng.normal(0.0, sigma)))
        R_camera_object = self.T_map_camera[i][:3, :3].T @ self.T_map_actor[actor.id][i][:3, :3] @ turn
        return {
            "label": actor.label,
            "score": float(np.clip(rng.normal(0.88, 0.06), 0.5, 0.99)),
            "orientation_camera_xyzw": tf.quaternions_from_matrices(R_camera_object),
            "orientation_sigma_rad": sigma,
            "size_lwh_m": np.array(actor.size_lwh_m) * (1.0 + self.detector_noise.size_sigma * rng.normal(size=3)),
        }

    def _boxes_3d(self, i: int) -> list[Detection]:
        """3D detections of frame i, noisier along the line of sight and where a thing is half hidden."""
        noise, rng, found = self.detector_noise, self._rng(i, 1), []
        for actor in script.ACTORS:
            guess, draw, kick = self._guess(i, actor, rng), rng.random(), rng.normal(size=3)
            share = self.visibility[actor.id][i]
            T_camera_object = tf.invert(self.T_map_camera[i]) @ self.T_map_actor[actor.id][i]
            p = T_camera_object[:3, 3]
            if not noise.detects(share, draw) or p[2] < self.depth_noise.min_m:
                continue
            ray = p / np.linalg.norm(p)
            across = noise.position_sigma_m * (1.0 + 2.0 * (1.0 - share))
            along = across + noise.range_sigma * np.linalg.norm(p)
            covariance = across**2 * np.eye(3) + (along**2 - across**2) * np.outer(ray, ray)
            found.append(
                Detection(
                    position_camera_m=p + np.linalg.cholesky(covariance) @ kick,
                    covariance_camera=covariance,
                    box_px=noisy_box(
                        projected_box(self.camera, T_camera_object, actor.size_lwh_m),
                        self.camera.image_size,
                        noise.pixel_sigma,
                        rng,
                    ),
                    **guess,
                )
            )
        for _ in range(rng.poisson(noise.false_alarms)):
            z = rng.uniform(2.0, 9.0)
            p = np.array([rng.uniform(-0.6, 0.6) * z, rng.uniform(-0.2, 0.5), z])
            label, size = self._any_label(rng)
            found.append(Detection(label=label, score=rng.uniform(0.3, 0.55), position_camera_m=p, size_lwh_m=size))
        return found

    def _boxes_2d(self, i: int, owners: np.ndarray) -> list[Detection]:
        """2D detections of frame i from the image of owners (H, W): the actor's index, -1 for the rest."""
        noise, rng, found = self.detector_noise, self._rng(i, 1), []
        w, h = self.camera.image_size
        for index, actor in enumerate(script.ACTORS):
            guess, draw = self._guess(i, actor, rng), rng.random()
            mask = owners == index
            rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
            jitter = self._rng(i, 10 + index)
            if mask.sum() < noise.min_pixels or not noise.detects(self.visibility[actor.id][i], draw):
                continue
            box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
            box = noisy_box(box, (w, h), noise.pixel_sigma, jitter)
            if self.masks:
                mask = shifted(mask, *jitter.integers(-1, 2, 2)) if noise.pixel_sigma else mask
            found.append(Detection(box_px=box, mask=mask if self.masks else None, **guess))
        for _ in range(rng.poisson(noise.false_alarms)):
            x, y = rng.uniform(0, w * 0.85), rng.uniform(h * 0.2, h * 0.8)
            box = np.array([x, y, min(x + rng.uniform(20, 90), w), min(y + rng.uniform(30, 120), h)])
            found.append(Detection(label=self._any_label(rng)[0], score=rng.uniform(0.3, 0.55), box_px=box))
        return found

    @staticmethod
    def _any_label(rng: np.random.Generator) -> tuple[str, np.ndarray]:
        actor = script.ACTORS[rng.integers(len(script.ACTORS))]
        return actor.label, np.array(actor.size_lwh_m)


def shifted(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    """A mask (H, W) moved by some pixels; what leaves the image is gone."""
    out = np.zeros_like(mask)
    h, w = mask.shape
    out[max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)] = mask[
        max(-down, 0) : h - max(down, 0), max(-right, 0) : w - max(right, 0)
    ]
    return out


def actor_poses(actor: script.Actor, at_s: np.ndarray) -> np.ndarray:
    """(T, 4, 4) from the frame of the actor's box (x forward, y left, z up, origin at its centre) to the map."""
    xy, yaw = actor.poses(at_s)
    rotation = tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(yaw))
    return tf.make_transform(rotation, np.column_stack([xy, np.full(len(xy), actor.size_lwh_m[2] / 2)]))


def solid_box(x_m: tuple[float, float], y_m: tuple[float, float], height_m: float) -> tuple[np.ndarray, np.ndarray]:
    """(T_box_map, half sizes) of an upright box on the floor with these ranges."""
    centre = np.array([sum(x_m) / 2, sum(y_m) / 2, height_m / 2])
    half = np.array([(x_m[1] - x_m[0]) / 2, (y_m[1] - y_m[0]) / 2, height_m / 2])
    return tf.make_transform(np.eye(3), -centre), half


PREFIX = "sim:"


def recognises(path: str | Path) -> bool:
    """Whether `path` names the simulator: "sim:" alone or with settings, as in "sim:seed=3,duration=20"."""
    return str(path).startswith(PREFIX)


def open_simulator(
    path: str | Path,
    detections: str | None = None,
    duration: float | None = None,
    rate: float | None = None,
    seed: int | None = None,
    render: bool | None = None,
) -> Simulator:
    """The simulator that `path` names, as in "sim:seed=3,duration=20,rate=10,render=0"; keywords win over the path.

    Args:
        path: "sim:" and settings, joined by commas.
        detections: Anything but None makes `scene()` build tracks from the frames in place of the truth.
        duration: Seconds.
        rate: Frames a second.
        seed: Seed.
        render: False gives 3D detections without images.

    Raises:
        SourceError: a setting is unknown or no number.
    """
    settings = {}
    for part in filter(None, str(path)[len(PREFIX) :].split(",")):
        name, _, value = part.partition("=")
        if name not in ("duration", "rate", "seed", "render"):
            raise SourceError(f"{part!r} is no setting of the simulator; known: duration, rate, seed, render")
        try:
            settings[name] = float(value)
        except ValueError:
            raise SourceError(
                f"{part!r} of the simulator is no number; write it as in sim:seed=3,duration=20"
            ) from None
    given = {"duration": duration, "rate": rate, "seed": seed, "render": render}
    settings.update({name: value for name, value in given.items() if value is not None})
    return Simulator(
        duration_s=settings.get("duration", script.SCRIPT_S),
        rate_hz=settings.get("rate", 10.0),
        seed=int(settings.get("seed", 0)),
        render=bool(settings.get("render", True)),
        detections=detections,
    )
