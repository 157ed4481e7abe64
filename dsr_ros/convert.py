"""ROS messages <-> core values, field by field. What bags and live topics share is in dsr_core.sources.ros_messages."""

from __future__ import annotations

import json
import math

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3

from dsr_core.errors import QueryError
from dsr_core.geometry import transforms as tf
from dsr_core.reasoning.answer import Answer, Declined, State
from dsr_core.scene import Scene
from dsr_core.sources import ros_messages as core
from dsr_core.tracking.state import TrackState
from dsr_core.values import FrameObservations, Observation
from dsr_ros import msg

SECOND_NS = 1_000_000_000
#: Label of a detection that is no thing but the pose of a viewer frame.
_FRAME_LABEL = "tf_frame"
NO_NUMBER = math.nan


def to_time(stamp_ns: int) -> Time:
    """A `builtin_interfaces/Time` of nanoseconds."""
    sec, nanosec = divmod(int(stamp_ns), SECOND_NS)
    return Time(sec=sec, nanosec=nanosec)


def from_time(time: Time | Duration) -> int:
    """Nanoseconds of a Time or Duration."""
    return time.sec * SECOND_NS + time.nanosec


def to_duration(seconds: float) -> Duration:
    """A Duration; beyond what 32 bits hold (68 years) the longest one."""
    sec, nanosec = divmod(round(min(max(seconds, -(2.0**31)), 2.0**31 - 1) * SECOND_NS), SECOND_NS)
    return Duration(sec=sec, nanosec=nanosec)


def to_pose(T_frame_thing: np.ndarray) -> Pose:
    """A Pose of a (4, 4) transform."""
    x, y, z, w = map(float, tf.quaternions_from_matrices(T_frame_thing[:3, :3]))
    return Pose(position=to_point(T_frame_thing[:3, 3]), orientation=Quaternion(x=x, y=y, z=z, w=w))


def from_pose(pose: Pose) -> np.ndarray:
    """(4, 4) transform of a Pose.

    Raises:
        GeometryError: the quaternion has no length.
    """
    return tf.make_transform(
        tf.matrices_from_quaternions(core.quaternion(pose.orientation)), core.vector(pose.position)
    )


def transform_matrix(translation_m, quaternion_xyzw) -> np.ndarray:
    """(4, 4) transform of three metres and x, y, z, w.

    Raises:
        GeometryError: the quaternion has no length.
    """
    return tf.make_transform(
        tf.matrices_from_quaternions(np.array(quaternion_xyzw, float)), np.array(translation_m, float)
    )


def to_point(p: np.ndarray) -> Point:
    return Point(x=float(p[0]), y=float(p[1]), z=float(p[2]))


def to_vector(v: np.ndarray) -> Vector3:
    return Vector3(x=float(v[0]), y=float(v[1]), z=float(v[2]))


def to_quaternion(xyzw: np.ndarray) -> Quaternion:
    """A Quaternion; no turn where it is unknown (NaN)."""
    if not np.isfinite(xyzw).all():
        return Quaternion(w=1.0)
    x, y, z, w = map(float, xyzw)
    return Quaternion(x=x, y=y, z=z, w=w)


# --- observations: from the observer to the memory


def observations_to_message(frame: FrameObservations, world_frame: str, source: str = "") -> msg.DetectionArray:
    """A frame's observations as a DetectionArray in the world frame; `observations_from_message` undoes it exactly.

    Camera and base poses travel as quaternions and come back within rounding (1e-15). Poses of viewer frames travel as
    detections without box and mask, which those who do not know them leave alone.
    """
    detections = [_observation_to_message(o) for o in frame.observations]
    detections += [_frame_to_message(name, T) for name, T in frame.T_world_frames.items()]
    out = msg.DetectionArray(source=source, detections=detections)
    out.header.stamp, out.header.frame_id = to_time(frame.stamp_ns), world_frame
    if frame.image_size is not None:
        out.image_width, out.image_height = map(int, frame.image_size)
    if frame.T_world_camera is not None:
        out.has_camera_pose, out.camera_pose = True, to_pose(frame.T_world_camera)
    if frame.T_world_base is not None:
        out.has_base_pose, out.base_pose = True, to_pose(frame.T_world_base)
    if frame.K is not None:
        out.k = np.asarray(frame.K, float).ravel()
    return out


def _frame_to_message(name: str, T_world_frame: np.ndarray) -> msg.Detection:
    d = msg.Detection(label=_FRAME_LABEL, id=name, has_orientation=True)
    d.pose.pose = to_pose(T_world_frame)
    return d


def _is_frame(d: msg.Detection) -> bool:
    return d.label == _FRAME_LABEL and not (d.has_box3d or d.has_box) and bool(d.id)


def _observation_to_message(o: Observation) -> msg.Detection:
    d = msg.Detection(label=o.label, score=float(o.score), id=o.id, has_box3d=True)
    d.pose.pose.position = to_point(o.position_world_m)
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = o.covariance_world
    d.pose.covariance = covariance.ravel()
    d.orientation_sigma = float(o.orientation_sigma_rad)
    if o.orientation_world_xyzw is not None:
        d.has_orientation, d.pose.pose.orientation = True, to_quaternion(o.orientation_world_xyzw)
    if o.size_lwh_m is not None:
        d.size = to_vector(o.size_lwh_m)
    if o.box_px is not None:
        d.has_box, d.box = True, np.asarray(o.box_px, float)
    return d


def observations_from_message(message: msg.DetectionArray) -> FrameObservations:
    """The FrameObservations of a DetectionArray that is given in the world frame.

    Raises:
        GeometryError: a pose without rotation.
    """
    k = np.asarray(message.k, float).reshape(3, 3)
    return FrameObservations(
        stamp_ns=from_time(message.header.stamp),
        observations=tuple(_observation_from_message(d, message.source) for d in message.detections if d.has_box3d),
        T_world_camera=from_pose(message.camera_pose) if message.has_camera_pose else None,
        T_world_base=from_pose(message.base_pose) if message.has_base_pose else None,
        K=k if k.any() else None,
        image_size=(message.image_width, message.image_height) if message.image_width else None,
        T_world_frames={d.id: from_pose(d.pose.pose) for d in message.detections if _is_frame(d)},
    )


def _observation_from_message(d: msg.Detection, source: str) -> Observation:
    size = core.vector(d.size)
    return Observation(
        label=d.label,
        position_world_m=core.vector(d.pose.pose.position),
        covariance_world=np.asarray(d.pose.covariance, float).reshape(6, 6)[:3, :3],
        score=float(d.score),
        size_lwh_m=size if size.any() else None,
        orientation_world_xyzw=core.quaternion(d.pose.pose.orientation) if d.has_orientation else None,
        orientation_sigma_rad=float(d.orientation_sigma),
        box_px=np.array(d.box, float) if d.has_box else None,
        source=source,
        id=d.id,
    )


# --- tracks: from the memory to everybody


def tracks_to_message(tracks: list[TrackState], stamp_ns: int, origin_ns: int, world_frame: str) -> msg.TrackArray:
    """The newest states of all tracks."""
    out = msg.TrackArray(tracks=[_track_to_message(t, origin_ns) for t in tracks])
    out.header.stamp, out.header.frame_id = to_time(stamp_ns), world_frame
    return out


def _track_to_message(t: TrackState, origin_ns: int) -> msg.Track:
    out = msg.Track(id=t.id, label=t.label, score=float(t.score), samples=int(t.samples))
    out.observed, out.moving = bool(t.observed), bool(t.moving)
    out.first_seen = to_time(origin_ns + round(t.first_seen_s * SECOND_NS))
    out.last_seen = to_time(origin_ns + round(t.last_seen_s * SECOND_NS))
    _fill_motion(out, t.position_world_m, t.orientation_world_xyzw, t.velocity_world_mps, t.size_lwh_m)
    covariance = np.asarray(t.covariance, float)
    out.pose.covariance = _six(covariance[:3, :3])
    out.twist.covariance = _six(covariance[3:, 3:])
    out.orientation_sigma = float(t.orientation_sigma_rad)
    return out


def _fill_motion(out: msg.Track, position_m, orientation_xyzw, velocity_mps, size_lwh_m) -> None:
    out.pose.pose.position = to_point(position_m)
    out.pose.pose.orientation = to_quaternion(orientation_xyzw)
    out.has_orientation = bool(np.isfinite(orientation_xyzw).all())
    out.twist.twist.linear = to_vector(velocity_mps)
    out.size = to_vector(size_lwh_m)


def _six(covariance: np.ndarray) -> np.ndarray:
    out = np.zeros((6, 6))
    out[:3, :3] = covariance
    return out.ravel()


def histories_to_messages(scene: Scene, start_s: float, end_s: float, ids: list[str]) -> list[msg.TrackArray]:
    """The samples of tracks in the closed window, one TrackArray a stamp, oldest first."""
    frames: dict[int, msg.TrackArray] = {}
    for track_id in ids:
        track = scene.tracks[track_id]
        first_ns = scene.origin_ns + round(track.stamps_s[0] * SECOND_NS) if len(track) else 0
        part = track.between(start_s, end_s)
        for i, stamp_s in enumerate(part.stamps_s.tolist()):
            stamp_ns = scene.origin_ns + round(stamp_s * SECOND_NS)
            frame = frames.get(stamp_ns)
            if frame is None:
                frame = frames[stamp_ns] = msg.TrackArray()
                frame.header.stamp, frame.header.frame_id = to_time(stamp_ns), scene.world_frame
            out = msg.Track(
                id=track.id, label=track.label, score=float(part.scores[i]), observed=bool(part.observed[i])
            )
            out.first_seen, out.last_seen, out.samples = to_time(first_ns), to_time(stamp_ns), i + 1
            _fill_motion(out, part.positions_world_m[i], part.orientations_xyzw[i], part.velocities[i], part.size_lwh_m)
            out.pose.covariance = _six(part.covariances[i])
            out.orientation_sigma = float(part.orientation_sigmas_rad[i])
            frame.tracks.append(out)
    return [frames[stamp] for stamp in sorted(frames)]


# --- questions and answers


def question_from_request(request, origin_ns: int, newest_s: float) -> dict:
    """Keyword arguments of `dsr_core.ask` for a request of Ask or AskLong.

    Precedence: query_json, then the fields (viewpoint, start, end), then the text. Window times are absolute; one of
    them zero means from the beginning, or up to the newest data.

    Raises:
        QueryError: query_json is no JSON object, or a number is out of range.
    """
    window = None
    start_ns, end_ns = from_time(request.start), from_time(request.end)
    if start_ns or end_ns:
        window = ((start_ns - origin_ns) / 1e9 if start_ns else 0.0, (end_ns - origin_ns) / 1e9 if end_ns else newest_s)
    viewpoint = request.viewpoint.strip() or None
    out = {
        "choices": list(request.choices) or None,
        "rules": request.rules.strip() or "robust",
        "backend": request.backend.strip() or "auto",
    }
    if not request.query_json.strip():
        return {"question": request.question, "viewpoint": viewpoint, "window": window, **out}
    try:
        query = json.loads(request.query_json)
    except (json.JSONDecodeError, RecursionError) as error:
        raise QueryError(f"query_json is not JSON ({error}); see docs/schemas/query.schema.json") from None
    if not isinstance(query, dict):
        raise QueryError(f"query_json is {type(query).__name__}, not an object; see docs/schemas/query.schema.json")
    if query.get("window") is None and window is not None:
        query["window"] = list(window)
    if query.get("viewpoint") is None and viewpoint is not None:
        query["viewpoint"] = {"agent": viewpoint}
    return {"question": query, **out}


def answer_to_message(answer: Answer, origin_ns: int, newest_ns: int, world_frame: str) -> msg.Answer:
    """An Answer as its message, with `json` = `Answer.to_dict()`.

    Args:
        answer: The answer; its seconds count from `origin_ns`.
        origin_ns: Time of second 0 in nanoseconds (0 before the first frame).
        newest_ns: Stamp of the newest data used.
        world_frame: The fixed frame.
    """

    def time(seconds: float) -> Time:
        return to_time(max(origin_ns + round(seconds * SECOND_NS), 0))

    def number(value: float | None) -> float:
        return NO_NUMBER if value is None else float(value)

    out = msg.Answer(
        answer=answer.answer,
        choice=answer.choice or "",
        choice_index=int(answer.choice_index),
        kind=answer.kind,
        states=[msg.StateInterval(label=s.label, start=time(s.start), end=time(s.end)) for s in answer.states],
        value=number(answer.value),
        sigma=number(answer.sigma),
        margin=number(answer.margin),
        unit=answer.unit or "",
        confidence=float(answer.confidence),
        choice_probabilities=[float(p) for p in answer.choice_probabilities],
        backend=answer.backend,
        track_ids=list(answer.tracks),
        samples=int(answer.samples),
        origin=to_time(origin_ns),
        data_age=to_duration(answer.data_age_s or 0.0),
        ego_motion=answer.motion.get("ego") or "",
        object_motion=answer.motion.get("object") or "",
        json=json.dumps(answer.to_dict()),
    )
    out.header.stamp, out.header.frame_id = to_time(newest_ns), world_frame
    if answer.window is not None:
        out.start, out.end = time(answer.window[0]), time(answer.window[1])
    if answer.declined is not None:
        out.declined_code, out.declined_message = answer.declined.code, answer.declined.message
        out.candidates = list(answer.declined.candidates)
    return out


def answer_from_message(message: msg.Answer) -> Answer:
    """The Answer of a message, from its fields (the viewpoint and what may be absent from its `json`)."""
    document = json.loads(message.json)
    origin_ns = from_time(message.origin)

    def seconds(time: Time) -> float:
        return (from_time(time) - origin_ns) / 1e9

    def number(value: float) -> float | None:
        return None if math.isnan(value) else value

    declined = None
    if message.declined_code:
        declined = Declined(message.declined_code, message.declined_message, tuple(message.candidates))
    return Answer(
        answer=message.answer,
        kind=message.kind,
        states=tuple(State(s.label, seconds(s.start), seconds(s.end)) for s in message.states),
        value=number(message.value),
        sigma=number(message.sigma),
        margin=number(message.margin),
        unit=message.unit or None,
        confidence=message.confidence,
        choice=message.choice if message.choice_index >= 0 else None,
        choice_index=message.choice_index,
        choice_probabilities=tuple(message.choice_probabilities),
        backend=message.backend,
        declined=declined,
        viewpoint=document["viewpoint"],
        motion={"ego": message.ego_motion or None, "object": message.object_motion or None},
        tracks=tuple(message.track_ids),
        samples=message.samples,
        window=None if document["evidence"]["window"] is None else (seconds(message.start), seconds(message.end)),
        data_age_s=None if document["evidence"]["data_age_s"] is None else from_time(message.data_age) / 1e9,
    )
