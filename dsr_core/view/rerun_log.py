"""A rerun recording (.rrd) of a scene: poses, images, tracks as boxes with trails, and the answers as a text log."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError
from dsr_core.files import whole_file
from dsr_core.reasoning.answer import Answer
from dsr_core.scene import Scene, Track
from dsr_core.values import Frame
from dsr_core.view.colors import colors_of

TIMELINE = "stamp"
TRAIL_S = 4.0
MAX_IMAGES = 200
JPEG_QUALITY = 75
#: Boxes are drawn for this long after the last sample.
KEEP_S = 0.5
UNKNOWN_SIZE_M = 0.4


def save_rerun(
    path: str | Path,
    scene: Scene,
    answers: list[tuple[str, Answer]],
    frames: Iterable[Frame] | None = None,
    depth: bool = False,
) -> Path:
    """Writes the recording, whole or not at all; open it with `rerun PATH`.

    Args:
        path: File to write, ending in .rrd; the folder is made.
        scene: Poses and tracks, on the timeline "stamp" (seconds of the scene).
        answers: (question, answer) pairs for the text log.
        frames: Images to show; at most `MAX_IMAGES` of them are kept when their number is known.
        depth: Shows depth images, too (millimetres, PNG).

    Raises:
        DependencyError: rerun-sdk is not installed.
    """
    try:
        import rerun as rr
    except ImportError as error:
        raise DependencyError(f"rerun recordings need rerun-sdk ({error}); `pip install dsr_ros[view]`") from error

    path = Path(path)
    with whole_file(path) as partial:
        recording = rr.RecordingStream("dsr_ros", send_properties=True)
        try:
            recording.save(partial, default_blueprint=_blueprint())
            _log_scene(rr, recording, scene, answers, frames, depth)
            recording.flush()
        finally:
            recording.disconnect()
    return path


def _log_scene(rr, recording, scene: Scene, answers, frames, depth: bool) -> None:
    recording.set_log_time_enabled(False)
    recording.set_log_tick_enabled(False)
    recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    colors = colors_of(scene.tracks)
    _log_ego(recording, scene)
    for track in scene.tracks.values():
        if len(track):
            _log_track(recording, scene, track, colors[track.id])
    if frames is not None:
        _log_frames(recording, scene, frames, depth)
    for question, answer in answers:
        _log_answer(recording, scene, question, answer)


def _blueprint():
    import rerun.blueprint as rrb

    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Spatial3DView(origin="world", name="World"),
            rrb.Vertical(
                rrb.Spatial2DView(origin="world/camera", name="Camera"),
                rrb.TextLogView(origin="answers", name="Answers"),
                row_shares=[3, 2],
            ),
            column_shares=[3, 2],
        ),
        rrb.TimePanel(timeline=TIMELINE, state="collapsed"),
        collapse_panels=True,
    )


def _log_ego(recording, scene: Scene) -> None:
    import rerun as rr

    if scene.T_world_camera is not None and len(scene.stamps_s):
        if scene.K is not None and scene.image_size is not None:
            pinhole = rr.Pinhole(
                image_from_camera=scene.K,
                resolution=scene.image_size,
                camera_xyz=rr.ViewCoordinates.RDF,
                image_plane_distance=1.2,
            )
            recording.log("world/camera", pinhole, static=True)
        for stamp, T in zip(scene.stamps_s, scene.T_world_camera, strict=True):
            recording.set_time(TIMELINE, duration=float(stamp))
            recording.log("world/camera", rr.Transform3D(translation=T[:3, 3], mat3x3=T[:3, :3]))
    T = scene.T_world_base if scene.T_world_base is not None else scene.T_world_camera
    if T is not None and len(T) > 1:
        strip = rr.LineStrips3D(
            [T[:, :3, 3]], colors=[[60, 64, 72]], radii=[0.025], labels=["robot"], show_labels=False
        )
        recording.log("world/robot_path", strip, static=True)


def _log_track(recording, scene: Scene, track: Track, color: tuple[int, int, int]) -> None:
    import rerun as rr

    entity = f"world/tracks/{track.id}"
    half = np.where(np.isfinite(track.size_lwh_m), track.size_lwh_m, UNKNOWN_SIZE_M) / 2
    for i, stamp in enumerate(track.stamps_s):
        recording.set_time(TIMELINE, duration=float(stamp))
        heading = track.orientations_xyzw[i]
        quaternion = heading if np.isfinite(heading).all() else np.array([0.0, 0.0, 0.0, 1.0])
        seen = bool(track.observed[i])
        box = rr.Boxes3D(
            centers=[track.positions_world_m[i]],
            half_sizes=[half],
            quaternions=[quaternion],
            colors=[[*color, 255 if seen else 90]],
            labels=[f"{track.label} {track.id}" + ("" if seen else " (not seen)")],
            show_labels=True,
        )
        recording.log(f"{entity}/box", box)
        trail = track.between(stamp - TRAIL_S, stamp).positions_world_m
        if len(trail) > 1:
            recording.log(f"{entity}/trail", rr.LineStrips3D([trail], colors=[color], radii=[0.03]))
    recording.set_time(TIMELINE, duration=float(track.stamps_s[-1]) + KEEP_S)
    if track.stamps_s[-1] + KEEP_S < scene.end_s:
        recording.log(entity, rr.Clear(recursive=True))


def _log_frames(recording, scene: Scene, frames: Iterable[Frame], depth: bool) -> None:
    import cv2
    import rerun as rr

    step = max(len(frames) // MAX_IMAGES, 1) if hasattr(frames, "__len__") else 1
    for i, frame in enumerate(frames):
        if i % step:
            continue
        recording.set_time(TIMELINE, duration=(frame.stamp_ns - scene.origin_ns) * 1e-9)
        if frame.rgb is not None:
            done, jpeg = cv2.imencode(".jpg", frame.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            if done:
                recording.log("world/camera/image", rr.EncodedImage(contents=jpeg.tobytes(), media_type="image/jpeg"))
        if depth and frame.depth_m is not None:
            millimetres = np.clip(np.nan_to_num(frame.depth_m, nan=0.0) * 1e3, 0, 65535).astype(np.uint16)
            done, png = cv2.imencode(".png", millimetres)
            if done:
                blob = rr.EncodedDepthImage(png.tobytes(), media_type="image/png", meter=1000.0)
                recording.log("world/camera/depth", blob)
        boxes = [d for d in frame.detections if d.box_px is not None]
        recording.log(
            "world/camera/detections",
            rr.Boxes2D(
                array=np.array([d.box_px for d in boxes]).reshape(-1, 4),
                array_format=rr.Box2DFormat.XYXY,
                labels=[f"{d.label} {d.score:.2f}" for d in boxes],
            ),
        )


def _log_answer(recording, scene: Scene, question: str, answer: Answer) -> None:
    """The answer at the end of its window, and each of its states at its start."""
    import rerun as rr

    end = answer.window[1] if answer.window else scene.end_s
    recording.set_time(TIMELINE, duration=float(end))
    level = rr.TextLogLevel.INFO if answer.declined is None else rr.TextLogLevel.WARN
    recording.log("answers", rr.TextLog(f"{question}  ->  {answer.answer}", level=level))
    for state in answer.states:
        recording.set_time(TIMELINE, duration=float(state.start))
        text = f"{question}  [{state.start:.1f} s to {state.end:.1f} s] {state.label}"
        recording.log("answers", rr.TextLog(text, level=rr.TextLogLevel.DEBUG))
