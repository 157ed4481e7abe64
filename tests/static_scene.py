"""How far static things wander when a moving depth camera places them frame by frame, and whether any seems to move."""

from dataclasses import dataclass, replace

import numpy as np

import dsr_core
from dsr_core.geometry import transforms as tf
from dsr_core.perception.lift import observe
from dsr_core.pipeline import WorldModel
from dsr_core.values import Detection


@dataclass(eq=False)
class StaticScene:
    """What was found.

    Attributes:
        scene: The tracks.
        things: Number of things that were placed in at least 20 frames.
        median_drift_m: Median over things and frames of the distance to the thing's median place.
        median_relative_drift: The same as a part of the range.
    """

    scene: object
    things: int
    median_drift_m: float
    median_relative_drift: float

    def judge_motion(self):
        """Number of judged windows of 1.5 s, and (id, window) of those in which a thing was said to move."""
        judged, moving = 0, []
        for track in self.scene.tracks.values():
            seen = track.stamps_s[track.observed]
            for start in np.arange(seen[0], max(seen[-1] - 1.5, seen[0] + 1e-6), 0.5):
                window = [float(start), float(min(start + 1.5, seen[-1]))]
                answer = dsr_core.ask(self.scene, {"kind": "motion", "subject": track.id, "window": window})
                if answer.declined is None:
                    judged += 1
                    if "moving" in {s.label for s in answer.states}:
                        moving.append((track.id, window))
        return judged, moving


def drift_of_static_things(source, columns=9, rows=6):
    """Cuts the first picture into boxes, carries them over by the known poses, and places and tracks them."""
    anchors, places, ranges = {}, {}, {}
    world = WorldModel()
    lift = source.lift_config()
    for frame in source.frames():
        frame = replace(frame)
        if not anchors:
            anchors = _anchors(frame, columns, rows)
        T_camera_world = tf.invert(frame.T_world_camera)
        width, height = frame.camera.image_size
        detections = []
        for label, (anchor_world_m, half_m) in anchors.items():
            centre = tf.transform_points(T_camera_world, anchor_world_m)
            (u, v), half = frame.camera.project(centre[None])[0], frame.camera.K[0, 0] * half_m / centre[2]
            box = np.array([u - half, v - half, u + half, v + half])
            if centre[2] > 0.2 and box.min() > 2 and box[2] < width - 2 and box[3] < height - 2:
                detections.append(Detection(label, 0.9, box_px=box, id=label))
        observed = observe(replace(frame, detections=tuple(detections)), lift)
        for o in observed.observations:
            places.setdefault(o.label, []).append(o.position_world_m)
            ranges.setdefault(o.label, []).append(np.linalg.norm(o.position_world_m - frame.T_world_camera[:3, 3]))
        world.step(observed)
    drifts, relative, things = [], [], 0
    for label, where in places.items():
        where = np.array(where)
        if len(where) >= 20:
            things += 1
            off = np.linalg.norm(where - np.median(where, axis=0), axis=1)
            drifts.append(off)
            relative.append(off / ranges[label])
    return StaticScene(
        world.scene(), things, float(np.median(np.concatenate(drifts))), float(np.median(np.concatenate(relative)))
    )


def _anchors(frame, columns, rows):
    """Label -> (place in the world, half its side in metres) of patches of the first picture that show one surface."""
    width, height = frame.camera.image_size
    out = {}
    half_px = 0.35 * min(width / columns, height / rows)
    for j in range(rows):
        for i in range(columns):
            u, v = (i + 0.5) * width / columns, (j + 0.5) * height / rows
            patch = frame.depth_m[int(v - half_px) : int(v + half_px), int(u - half_px) : int(u + half_px)]
            if np.isfinite(patch).mean() < 0.5:
                continue
            near, z, far = (float(q) for q in np.nanpercentile(patch, [2, 50, 98]))
            # Two surfaces in one patch are no thing: from elsewhere the other one takes up more of it, and a box alone
            # (without a mask) cannot say which of them is meant.
            if far - near > 0.2 * z:
                continue
            point = frame.camera.rays(np.array([[u, v]]))[0] * z
            half_m = half_px * z / frame.camera.K[0, 0]
            out[f"thing {j}{i}"] = (tf.transform_points(frame.T_world_camera, point), half_m)
    return out
