"""The ground truth that a bag carries: the file that `dsr convert` puts beside it, or a labelled topic in it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from dsr_core.bench.row import BenchError
from dsr_core.scene import Scene, Track
from dsr_core.sources.bag import Bag
from dsr_core.sources.bag_file import BagFile
from dsr_core.sources.ros_messages import quaternion, stamp_ns, vector

_TRACKS = "dsr_ros/msg/TrackArray"


def truth_of(path: str | Path, where: str = "auto") -> Scene:
    """The true tracks of a bag.

    Args:
        path: The bag.
        where: "sim" for the file beside it (bags of the simulator and of labelled data sets have one), "topic" for its
            one topic of `dsr_ros/TrackArray`, the name of such a topic or of one of 3D detections with ids, or "auto"
            for the first of these that it has.

    Raises:
        SourceError: the bag cannot be read.
        BenchError: it has no such truth.
    """
    bag = Bag(path)
    if where in ("auto", "sim"):
        truth = bag.truth()
        if truth is not None:
            return truth
        if where == "sim":
            raise BenchError(f"no truth lies beside {path}; make the bag with dsr convert, or give --truth TOPIC")
    with BagFile(path) as file:
        kinds = {topic: kind for topic, (kind, _) in file.topics.items()}
        there = file.topics_text()
    if where in ("auto", "topic"):
        topics = [topic for topic, kind in kinds.items() if kind == _TRACKS]
        if len(topics) != 1:
            raise BenchError(f"{path} has {len(topics)} topics of labelled tracks; name one: --truth TOPIC ({there})")
        where = topics[0]
    if where not in kinds:
        raise BenchError(f"{path} has no topic {where!r}; topics there: {there}")
    if kinds[where] == _TRACKS:
        return _with_tracks(bag, where)
    return Bag(path, detections_topic=where).tracked_scene()


def _with_tracks(bag: Bag, topic: str) -> Scene:
    """The bag's poses with the tracks of a topic."""
    scene = bag.tracked_scene()
    samples = defaultdict(list)
    with BagFile(bag.path) as file:
        for _, _, message in file.messages([topic]):
            if message.header.frame_id.lstrip("/") != scene.world_frame:
                raise BenchError(
                    f"{topic} is in frame {message.header.frame_id!r}, poses are in {scene.world_frame!r}; record"
                    " labels in the frame that the memory reasons in"
                )
            at_s = (stamp_ns(message.header.stamp) - scene.origin_ns) * 1e-9
            for track in message.tracks:
                samples[track.id].append((at_s, track))
    return replace(scene, tracks={id_: _track(id_, found) for id_, found in samples.items()})


def _track(id_: str, found: list) -> Track:
    stamps, rows = np.unique([at_s for at_s, _ in found], return_index=True)
    tracks = [found[row][1] for row in rows]
    poses = [track.pose.pose for track in tracks]
    nothing = np.full(4, np.nan)
    return Track(
        id=id_,
        label=tracks[-1].label,
        stamps_s=stamps,
        positions_world_m=np.stack([vector(pose.position) for pose in poses]),
        velocities=np.stack([vector(track.twist.twist.linear) for track in tracks]),
        orientations_xyzw=np.stack(
            [
                quaternion(pose.orientation) if track.has_orientation else nothing
                for pose, track in zip(poses, tracks, strict=True)
            ]
        ),
        size_lwh_m=vector(tracks[-1].size),
        observed=np.array([track.observed for track in tracks], bool),
    )
