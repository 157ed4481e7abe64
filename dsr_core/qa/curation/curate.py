"""Curation: which recordings are worth asking about, why not the others, and which classes are in them.

Three judges, each used where it can be: a model that reads the caption, a model that looks at frames, and the tracks
(`motion_filter`). What each of them is there for must hold; a recording is kept when no judge objects.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError
from dsr_core.qa.asking.asking import Asker, BadReply, Unfinished, told_error
from dsr_core.qa.asking.crew import Ending, work_off
from dsr_core.qa.asking.journal import Journal
from dsr_core.qa.config import QaConfig
from dsr_core.qa.curation.captions import Caption
from dsr_core.qa.curation.curated import CuratedEntry
from dsr_core.qa.curation.looks import look_at
from dsr_core.qa.curation.motion_filter import MotionFilterConfig, duration_reasons, filter_motion
from dsr_core.qa.curation.prompts import caption_messages, frames_messages, read_reply, reply_schema
from dsr_core.qa.curation.recordings import Recording
from dsr_core.qa.item import QaError
from dsr_core.qa.running.shards import fingerprint
from dsr_core.scene import Scene
from dsr_core.sources import Source


@dataclass(frozen=True)
class CurateConfig:
    """What is asked for.

    Attributes:
        motion: Length, movers, screen share; the model's verdicts are held against the same numbers.
        need_agents: Recordings in which a model finds nothing that has a front are not kept (as published: there is
            nobody to look from).
        frames: Frames that a model is shown (0: none). max_side_px: Their longer side.
    """

    motion: MotionFilterConfig = field(default_factory=MotionFilterConfig)
    need_agents: bool = True
    frames: int = 8
    max_side_px: int = 512

    def __post_init__(self):
        for name, least, most in (("frames", 0, 256), ("max_side_px", 32, 4096)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise QaError(f"{name} = {value!r} must be a whole number from {least} to {most}")

    def to_dict(self) -> dict:
        data = asdict(self)
        data["motion"]["not_counted"] = list(data["motion"]["not_counted"])
        return data


class Curator:
    """Judges recordings one by one.

    Args:
        config: What is asked for.
        open_source: Opens a recording, for its pictures.
        open_scene: Gives a recording's tracks, or None where it has none without further ado.
        asker: The model; None: none is asked.
        captions: By the video's name.
        tracks_last: Tracks are dear (networks make them): they are judged last, and looked for by the classes that the
            model has named.
    """

    def __init__(
        self,
        config: CurateConfig,
        open_source: Callable[[Recording], Source] | None = None,
        open_scene: Callable[[Recording], Scene | None] | None = None,
        asker: Asker | None = None,
        captions: Mapping[str, Caption] | None = None,
        tracks_last: bool = False,
    ):
        models = (self._by_caption, self._by_frames)
        self._judges = (*models, self._by_tracks) if tracks_last else (self._by_tracks, *models)
        self._config, self._asker, self._captions = config, asker, captions or {}
        self._open_source, self._open_scene = open_source, open_scene
        # Readers and networks are not made for several threads.
        self._reading = threading.Lock()

    def run(
        self, recordings: Sequence[Recording], journal: Journal, seen: Callable[[], None] = lambda: None
    ) -> tuple[list[CuratedEntry], Ending]:
        """Judges what the journal does not hold yet.

        Returns:
            The finished entries in the order of the recordings, and how the run ended.
        """
        keys = [f"{r.key} {fingerprint(r.path)}".strip() for r in recordings]
        tasks = ((key, lambda r=r: self.judge(r)) for key, r in zip(keys, recordings, strict=True))
        threads, stop = (1, None) if self._asker is None else (self._asker.config.concurrency, self._asker.stop)
        ending = work_off(tasks, journal, threads, stop, seen)
        done = [(r, journal[key]) for key, r in zip(keys, recordings, strict=True) if key in journal]
        return [_entry(r, judged) for r, judged in done], ending

    def judge(self, recording: Recording) -> dict:
        """What a list says of a recording, as JSON values without its path.

        Raises:
            Unfinished: it cannot be read, or there is no reply. Stopped: nothing more is to be asked.
        """
        verdict: dict = {"reasons": [], "agents": [], "objects": [], "scores": {}, "details": {}}
        try:
            for judge in self._judges:
                judge(recording, verdict)
                if verdict["reasons"]:
                    break
        except BadReply as error:
            verdict["reasons"].append(f"no usable reply about it ({error.reason}): {error}")
        except QaError:
            raise
        except DependencyError:
            raise
        except Exception as error:  # whatever a damaged file does to its decoder
            raise Unfinished(f"cannot be read: {told_error(error)}") from None
        if not verdict["details"] and not verdict["reasons"]:
            raise Unfinished(
                "nobody can judge it: it has no tracks, and no model was asked; give --endpoint, or a --detector"
            )
        told = verdict["details"].keys() - {"tracks"}
        if self._config.need_agents and told and not verdict["reasons"] and not verdict["agents"]:
            verdict["reasons"].append("nothing in it has a front that could be looked from")
        return {"keep": not verdict["reasons"], **verdict}

    def _by_tracks(self, recording: Recording, verdict: dict) -> None:
        if self._open_scene is None or not recording.path:
            return
        with self._reading:
            classes = tuple(verdict["agents"] + verdict["objects"])
            scene = self._open_scene(replace(recording, classes=classes) if classes else recording)
            if scene is None:
                return
            report = filter_motion(scene, self._config.motion)
            agents, objects = classes_of(scene, self._config.motion)
        found = report.to_dict()
        verdict["details"]["tracks"] = found
        verdict["scores"] |= {"duration_s": found["duration_s"], "movers_tracked": found["movers"]}
        verdict["reasons"] += report.reasons
        _merge(verdict, agents, objects)

    def _by_caption(self, recording: Recording, verdict: dict) -> None:
        caption = self._captions.get(recording.video_id)
        if caption is None or self._asker is None:
            return
        if caption.duration_s is not None and "duration_s" not in verdict["scores"]:
            verdict["scores"]["duration_s"] = round(caption.duration_s, 3)
            verdict["reasons"] += duration_reasons(caption.duration_s, self._config.motion)
            if verdict["reasons"]:
                return
        found = self._asker.ask(caption_messages(caption.text), reply_schema(frames=False), read_reply)
        self._take(found, "caption", verdict)

    def _by_frames(self, recording: Recording, verdict: dict) -> None:
        if self._asker is None or self._open_source is None or not self._config.frames or not recording.path:
            return
        with self._reading:
            look = look_at(self._open_source(recording), self._config.frames, self._config.max_side_px)
        if "tracks" not in verdict["details"]:
            verdict["scores"]["duration_s"] = round(look.duration_s, 3)
            verdict["reasons"] += duration_reasons(look.duration_s, self._config.motion)
            if verdict["reasons"]:
                return
        found = self._asker.ask(frames_messages(list(look.frames)), reply_schema(frames=True), read_reply)
        self._take(found, "frames", verdict)
        motion = self._config.motion
        if found["inside_vehicle"]:
            verdict["reasons"].append("shows mainly the inside of one moving thing")
        if found["touching"]:
            verdict["reasons"].append("the movers touch or cover each other")
        if found["movers"] and found["smallest_percent"] < 100 * motion.min_screen:
            small = f"{found['smallest_percent']:g} %"
            verdict["reasons"].append(f"the smallest mover takes {small} of the picture, under {motion.min_screen:.0%}")
        if found["movers"] and found["largest_percent"] > 100 * motion.max_screen:
            large = f"{found['largest_percent']:g} %"
            verdict["reasons"].append(f"the largest mover takes {large} of the picture, over {motion.max_screen:.0%}")

    def _take(self, found: dict, judge: str, verdict: dict) -> None:
        """Adds what a model said."""
        movers = sum(found["movers"].values())
        verdict["details"][judge] = found
        verdict["scores"][f"movers_in_{judge}"] = movers
        _merge(verdict, found["agents"], found["objects"])
        if movers < self._config.motion.min_movers:
            verdict["reasons"].append(
                f"the model sees {movers} movers ({judge}), {self._config.motion.min_movers} are needed: {found['why']}"
            )


def classes_of(scene: Scene, config: MotionFilterConfig) -> tuple[list[str], list[str]]:
    """Classes of a scene's things: those of which some have a heading, and the others."""
    with_front: dict[str, bool] = {}
    for track in scene.tracks.values():
        if track.label not in config.not_counted:
            label = " ".join(track.label.replace("_", " ").lower().split())
            heading = track.label not in QaConfig.no_front and bool(
                np.isfinite(track.orientations_xyzw).all(axis=1).any()
            )
            with_front[label] = with_front.get(label, False) or heading
    return sorted(n for n, front in with_front.items() if front), sorted(
        n for n, front in with_front.items() if not front
    )


def _merge(verdict: dict, agents: Sequence[str], objects: Sequence[str]) -> None:
    """Adds classes; one that anybody calls an agent is one."""
    verdict["agents"] += [name for name in agents if name not in verdict["agents"]]
    verdict["objects"] += [name for name in objects if name not in verdict["objects"]]
    verdict["objects"] = [name for name in verdict["objects"] if name not in verdict["agents"]]


def _entry(recording: Recording, judged: dict) -> CuratedEntry:
    return CuratedEntry(
        recording.path or None,
        recording.sequence,
        recording.video_id,
        judged["keep"],
        tuple(judged["reasons"]),
        tuple(judged["agents"]),
        tuple(judged["objects"]),
        judged["scores"],
        judged["details"],
    )


def captioned(recordings: Sequence[Recording], captions: Mapping[str, Caption]) -> list[Recording]:
    """The recordings, and after them those of which there is only a caption (without a path)."""
    known = {recording.video_id for recording in recordings}
    return [*recordings, *(Recording("", None, name, name) for name in captions if name not in known)]


def journal_path(out: str | Path) -> Path:
    """Where the journal of a list stands: beside it."""
    return Path(out).with_suffix(".journal.jsonl")
