"""Pictures of any scene, drawn in a millisecond or two each: what a camera of `benchmarks/gsm_learning.py` sees.

    python benchmarks/gsm_pictures.py [SCENE.scene.npz ...] [--out pictures.png]     a sheet (default: simulated scenes)

Things are boxes of their size and heading, coloured by class, each track in a tint of its own; the front is light with
a dark pane, the back is dark, so that a picture tells which way a thing faces. The ground is a checkerboard fixed
in the world (two metres a square): it tells how the camera moves. Far boxes are drawn first (painter's algorithm).
"""

from __future__ import annotations

import argparse
import colorsys
import itertools
import zlib
from collections.abc import Sequence

import numpy as np

from dsr_core.errors import SceneError
from dsr_core.geometry import transforms as tf
from dsr_core.scene import Scene, Track

#: Metres before the camera at which faces are cut off.
NEAR_M = 0.2
#: A track is drawn up to this many seconds from its nearest sample.
MAX_GAP_S = 0.3
SQUARE_M = 2.0
SKY, HORIZON = np.array([140.0, 175.0, 215.0]), np.array([205.0, 212.0, 216.0])
DARK, LIGHT = np.array([112.0, 114.0, 108.0]), np.array([150.0, 152.0, 144.0])
#: Towards the sun, in the world.
SUN = np.array([0.35, 0.5, 0.79])
#: Hues of classes that are often met; others get one by their name.
HUES = {"car": 0.6, "person": 0.01, "Car": 0.6, "Pedestrian": 0.01, "Cyclist": 0.1, "Van": 0.78, "Truck": 0.45}
#: Hue shift, saturation and value of the first, second, … track of a class.
TINTS = ((0.0, 1.0, 1.0), (0.05, 0.75, 0.65), (-0.05, 0.55, 1.0), (0.08, 1.0, 0.8), (-0.08, 0.9, 0.5), (0.0, 0.4, 0.8))
#: Size of a thing whose own is not known.
UNKNOWN_LWH_M = (0.8, 0.8, 0.8)

# Corners of a box in the order of its faces: x forward, y left, z up, each -1 or 1.
_CORNERS = np.array(list(itertools.product((-1, 1), repeat=3)), float)
_NORMALS = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
_FACES = np.array([[4, 6, 7, 5], [0, 1, 3, 2], [2, 3, 7, 6], [0, 4, 5, 1], [1, 5, 7, 3], [0, 2, 6, 4]])
_FRONT, _BACK = 0, 1
# Corners of the pane (across, up: 0..1) as mixtures of those of the front, which begin low and to the thing's right.
_PANE = np.array(
    [
        [(1 - a) * (1 - u), a * (1 - u), a * u, (1 - a) * u]
        for a, u in ((0.12, 0.5), (0.88, 0.5), (0.88, 0.9), (0.12, 0.9))
    ]
)


def pictures(scene: Scene, times_s: Sequence[float], size: tuple[int, int] = (112, 84)) -> list[np.ndarray]:
    """What the camera of a scene sees.

    Args:
        scene: With camera poses, K and image size; the world's z is up.
        times_s: Seconds of the pictures.
        size: (width, height) in pixels. The horizontal field of view is the camera's; pixels stay square.

    Returns:
        Pictures (H, W, 3) uint8 RGB, one a time.

    Raises:
        SceneError: the scene does not tell where its camera is or how it projects.
    """
    if scene.T_world_camera is None or scene.K is None or scene.image_size is None:
        raise SceneError("pictures need T_world_camera, K and image_size of the scene; this one lacks one of them")
    K = _scaled(np.asarray(scene.K, float), scene.image_size, size)
    poses = tf.interpolate_transforms(scene.stamps_s, scene.T_world_camera, np.asarray(times_s, float))
    ground_m = _ground(scene)
    colors = _colors(scene)
    rays = _rays(K, size)
    return [_picture(scene, float(t), T, K, rays, ground_m, colors) for t, T in zip(times_s, poses, strict=True)]


def _scaled(K: np.ndarray, of: tuple[int, int], to: tuple[int, int]) -> np.ndarray:
    """(3, 3) intrinsics for pictures of another size whose middle is the same."""
    scale = to[0] / of[0]
    out = K * scale
    out[2] = (0.0, 0.0, 1.0)
    out[1, 2] = to[1] / 2 + (K[1, 2] - of[1] / 2) * scale
    return out


def _rays(K: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) directions of the pixels' centres in the optical frame, z = 1."""
    u, v = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    return np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], axis=-1)


def _ground(scene: Scene) -> float:
    """Height of the ground in the world, metres: what most things stand on."""
    feet = [
        t.positions_world_m[:, 2].min() - np.nan_to_num(t.size_lwh_m[2]) / 2 for t in scene.tracks.values() if len(t)
    ]
    return float(np.median(feet)) if feet else float(scene.T_world_camera[0, 2, 3]) - 1.5


def _colors(scene: Scene) -> dict[str, np.ndarray]:
    """RGB 0..255 of each track: its class's colour in a tint of its own."""
    out, seen = {}, {}
    for track in scene.tracks.values():
        number = seen[track.label] = seen.get(track.label, -1) + 1
        shift, saturation, value = TINTS[number % len(TINTS)]
        hue = HUES.get(track.label, zlib.crc32(track.label.encode()) % 97 / 97)
        out[track.id] = 255 * np.array(colorsys.hsv_to_rgb((hue + shift) % 1.0, 0.85 * saturation, 0.95 * value))
    return out


def _picture(scene, time_s, T_world_camera, K, rays, ground_m, colors) -> np.ndarray:
    R, eye_m = T_world_camera[:3, :3], T_world_camera[:3, 3]
    image = _backdrop(rays @ R.T, eye_m, ground_m)
    boxes = [(box, track) for track in scene.tracks.values() if (box := _box(track, time_s)) is not None]
    boxes.sort(key=lambda b: -np.linalg.norm(b[0][0] - eye_m))
    for (centre_m, R_world_thing, half_m), track in boxes:
        _draw(image, centre_m, R_world_thing, half_m, colors[track.id], R, eye_m, K)
    return image


def _backdrop(rays_world: np.ndarray, eye_m: np.ndarray, ground_m: float) -> np.ndarray:
    """(H, W, 3) uint8: sky, and a checkerboard whose contrast fades with the distance."""
    up = rays_world[..., 2] / np.linalg.norm(rays_world, axis=-1)
    down = rays_world[..., 2] < -1e-3
    reach = (eye_m[2] - ground_m) / np.where(down, -rays_world[..., 2], 1.0)
    at = (eye_m[:2] + reach[..., None] * rays_world[..., :2]) / SQUARE_M
    far = np.clip(reach / 30.0, 0.0, 1.0)[..., None]
    light = (np.floor(at).sum(axis=-1) % 2)[..., None]
    near = DARK + (LIGHT - DARK) * (0.5 + (light - 0.5) * (1.0 - far))
    floor = near + far**2 * (HORIZON - near) * 0.6
    sky = HORIZON + np.clip(up * 2.5, 0.0, 1.0)[..., None] * (SKY - HORIZON)
    return np.where(down[..., None], floor, sky).astype(np.uint8)


def _box(track: Track, time_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Centre, rotation and half sizes of a thing at a time; None where nothing is known near it."""
    stamps = track.stamps_s
    if not len(stamps):
        return None
    after = int(np.searchsorted(stamps, time_s))
    before, after = max(after - 1, 0), min(after, len(stamps) - 1)
    nearest = before if abs(stamps[before] - time_s) <= abs(stamps[after] - time_s) else after
    if abs(stamps[nearest] - time_s) > MAX_GAP_S:
        return None
    span = stamps[after] - stamps[before]
    share = np.clip((time_s - stamps[before]) / span, 0.0, 1.0) if span > 0 else 0.0
    centre_m = (1 - share) * track.positions_world_m[before] + share * track.positions_world_m[after]
    q = track.orientations_xyzw[nearest]
    R_world_thing = tf.matrices_from_quaternions(q) if np.isfinite(q).all() else np.eye(3)
    size_m = np.where(np.isfinite(track.size_lwh_m), track.size_lwh_m, UNKNOWN_LWH_M)
    return centre_m, R_world_thing, size_m / 2


def _draw(image, centre_m, R_world_thing, half_m, color, R_world_camera, eye_m, K) -> None:
    """Draws the visible faces of a box."""
    corners_world_m = centre_m + (_CORNERS * half_m) @ R_world_thing.T
    corners_m = (corners_world_m - eye_m) @ R_world_camera
    if (corners_m[:, 2] < NEAR_M).all():
        return
    normals = _NORMALS @ R_world_thing.T
    faces_world_m = corners_world_m[_FACES]
    visible = np.einsum("fi,fi->f", normals, faces_world_m.mean(axis=1) - eye_m) < 0
    for face in np.flatnonzero(visible):
        shade = 0.62 + 0.38 * max(0.0, float(normals[face] @ SUN))
        base = color
        if face == _FRONT:
            base = color + 0.55 * (255 - color)
        elif face == _BACK:
            base = 0.45 * color
        _fill(image, corners_m[_FACES[face]], base * shade, K)
        if face == _FRONT:
            _fill(image, _PANE @ corners_m[_FACES[face]], np.array([40.0, 46.0, 58.0]), K)


def _fill(image: np.ndarray, polygon_m: np.ndarray, color: np.ndarray, K: np.ndarray) -> None:
    """Fills a flat polygon (P, 3) of the optical frame, cut off at the near plane."""
    import cv2

    if (polygon_m[:, 2] < NEAR_M).any():
        polygon_m = _clipped(polygon_m)
        if len(polygon_m) < 3:
            return
    uv = polygon_m[:, :2] / polygon_m[:, 2:] * (K[0, 0], K[1, 1]) + (K[0, 2], K[1, 2])
    # 4 fractional bits; OpenCV counts from the middle of the first pixel
    points = np.round(np.clip(uv - 0.5, -2e4, 2e4) * 16).astype(np.int32)
    cv2.fillConvexPoly(image, points, tuple(float(c) for c in np.clip(color, 0, 255)), cv2.LINE_AA, 4)


def _clipped(polygon_m: np.ndarray) -> np.ndarray:
    """The part of a polygon (P, 3) at least `NEAR_M` ahead (Sutherland and Hodgman, 1974)."""
    out = []
    for a, b in zip(polygon_m, np.roll(polygon_m, -1, axis=0), strict=True):
        if a[2] >= NEAR_M:
            out.append(a)
        if (a[2] >= NEAR_M) != (b[2] >= NEAR_M):
            out.append(a + (b - a) * (NEAR_M - a[2]) / (b[2] - a[2]))
    return np.array(out)


def main() -> None:
    import sys
    import time
    from pathlib import Path

    import cv2

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", nargs="*", help="saved scenes (default: six simulated ones)")
    parser.add_argument("--out", default="out/pictures.png")
    parser.add_argument("--size", default="112x84")
    args = parser.parse_args()
    size = tuple(int(n) for n in args.size.split("x"))
    if args.scene:
        from dsr_core import load_scene

        scenes = [load_scene(path) for path in args.scene]
    else:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        from tests.smooth_scenes import smooth_scene

        scenes = [smooth_scene(seed) for seed in range(6)]
    rows, took_s = [], 0.0
    for scene in scenes:
        start = time.perf_counter()
        row = pictures(scene, np.linspace(scene.start_s, scene.end_s, 8), size)
        took_s += time.perf_counter() - start
        rows.append(np.concatenate(row, axis=1))
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(args.out, np.concatenate(rows)[..., ::-1])
    print(f"{args.out}: {8 * len(scenes)} pictures of {args.size}, {1e3 * took_s / 8 / len(scenes):.2f} ms each")


if __name__ == "__main__":
    main()
