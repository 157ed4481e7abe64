"""Questions about recorded scenes whose positions were made worse, each with whether the answer is right."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.certainty import verdict_confidence
from dsr_core.reasoning.engine import ResolvedQuery, find, require_confident
from dsr_core.reasoning.quantities import Viewer
from dsr_core.reasoning.verdict import is_true
from dsr_core.reasoning.vocabulary import VOCABULARY
from dsr_core.scene import Scene, Track
from dsr_core.sources import open_source

sys.path.insert(0, str(Path(__file__).parent))
from calibration_truth import NOISE
from calibration_truth_more import FullTruth

KINDS = (
    *("distance", "direction", "orientation", "speed", "speed_comparison", "direction_prediction", "motion"),
    *("displacement", "path_length", "moving_direction", "distance_change", "lateral_change", "depth_change"),
    *("position", "facing", "turning", "closest_approach", "crossing", "following"),
)
#: Kinds that relate two things, those that need two tracks, and those that nobody looks at.
RELATIONS = ("distance", "direction", "distance_change", "facing", "closest_approach")
PAIRS = ("speed_comparison", "following")
UNSEEN = ("speed", "motion", "displacement", "path_length", "turning")
WINDOW_S = (1.0, 8.0)
MIN_SAMPLES = 15
#: A track is that of a labelled thing when this share of its samples in the window lies within so many metres of it.
MATCH_M, MATCH_SHARE = 2.0, 0.8


@dataclass(frozen=True)
class Worse:
    """How a scene is made worse.

    Attributes:
        noise_m: One-sigma of white noise added to every position, on each axis; headings get
            `HEADING_RAD_PER_M` times it.
        dropped: Share of samples taken away. gaps: Number of gaps of one second in ten seconds.
        told: The covariances say this times the noise that was added.
        detector: Name of a detector whose boxes are tracked in place of the labels, or "".
    """

    name: str
    noise_m: float = 0.0
    dropped: float = 0.0
    gaps: int = 0
    told: float = 1.0
    detector: str = ""


HEADING_RAD_PER_M = 0.3
WORSE = (
    Worse("noise 0.05 m", 0.05),
    Worse("noise 0.1 m", 0.1),
    Worse("noise 0.2 m", 0.2),
    Worse("noise 0.35 m", 0.35),
    Worse("noise 0.5 m", 0.5),
    Worse("30 % dropped, 0.1 m", 0.1, dropped=0.3),
    Worse("gaps of 1 s, 0.2 m", 0.2, gaps=2),
    Worse("PointRCNN, tracked", detector="pointrcnn"),
)
#: Covariances that are wrong: reported, never fitted.
MISTOLD = (
    Worse("sigma told 1.5 times too small", 0.2, told=1 / 1.5),
    Worse("sigma told 1.5 times too large", 0.2, told=1.5),
)


@dataclass(frozen=True)
class Question:
    """Ids of the truth; `ids` maps them to those of the scene that is asked."""

    kind: str
    subject: str
    object: str | None
    viewer: str
    window: tuple[float, float]
    ids: dict = field(default_factory=dict)

    def query(self) -> dict:
        """As `ask` takes it."""
        name = lambda who: self.ids.get(who, who)  # noqa: E731
        return {
            "kind": self.kind,
            "subject": name(self.subject),
            "object": self.object and name(self.object),
            "viewpoint": {"agent": name(self.viewer)},
            "window": list(self.window),
        }

    def resolved(self, scene: Scene) -> ResolvedQuery:
        """As the engine takes it."""

        def agent(who):
            return None if who is None else Agent(self.ids.get(who, who), scene.tracks.get(self.ids.get(who, who)))

        return ResolvedQuery(
            self.kind, agent(self.subject), agent(self.object), Viewer(agent(self.viewer)), window=self.window
        )


@dataclass(frozen=True)
class Case:
    """One question asked.

    Attributes:
        declined: Code, or "" where there is an answer.
        labels, chances, right: Of each state its label, raw probability, and whether it is true (None: cannot tell).
        confidence: Calibrated.
        window_right: Whether the longest state is the window's label, None where the window has none.
        refused: The answer was too close to call.
        verdict_right, verdict_confidence, verdict_refused: The same where `asked` made it a yes/no question.
    """

    recording: str
    worse: str
    question: Question
    declined: str
    labels: tuple[str, ...] = ()
    chances: tuple[float, ...] = ()
    right: tuple[bool | None, ...] = ()
    confidence: float = 0.0
    window_right: bool | None = None
    refused: bool = False
    verdict_right: bool | None = None
    verdict_confidence: float = 0.0
    verdict_refused: bool = False

    @property
    def given(self) -> bool:
        """Whether there was an answer."""
        return not self.declined and not self.refused

    @property
    def verdict_given(self) -> bool:
        return not self.declined and not self.verdict_refused


def recordings(data: Path) -> list[tuple[str, Path, str | None]]:
    """(name, path, sequence) of every recording."""
    kitti = data / "kitti_tracking"
    found = [(f"kitti {p.stem}", kitti, p.stem) for p in sorted((kitti / "oxts").glob("*.txt"))]
    logs = sorted(p for p in (data / "av2").iterdir() if p.is_dir())
    return found + [(f"av2 {p.name[:8]}", p, None) for p in logs]


def is_fitted(name: str) -> bool:
    """Even KITTI sequences and one Argoverse log make the table; the others report on it."""
    return name.startswith("av2 3b35") or (name.startswith("kitti") and int(name[-4:]) % 2 == 0)


def worsened(scene: Scene, worse: Worse, rng: np.random.Generator) -> Scene:
    """The scene with noise on its tracks and samples taken away; covariances say so."""
    return replace(scene, tracks={i: _worse_track(t, worse, rng) for i, t in scene.tracks.items()})


def _worse_track(track: Track, worse: Worse, rng) -> Track:
    keep = rng.random(len(track)) >= worse.dropped
    for _ in range(rng.poisson(worse.gaps * np.ptp(track.stamps_s) / 10.0) if len(track) > 1 else 0):
        start = rng.uniform(track.stamps_s[0], track.stamps_s[-1])
        keep &= (track.stamps_s < start) | (track.stamps_s > start + 1.0)
    keep[[0, -1]] = True
    track = track[keep]
    n, heading = len(track), HEADING_RAD_PER_M * worse.noise_m
    half = 0.5 * heading * rng.normal(size=n)
    x, y, z, w = track.orientations_xyzw.T
    c, s = np.cos(half), np.sin(half)  # a turn about the world's z, from the left
    return replace(
        track,
        positions_world_m=track.positions_world_m + worse.noise_m * rng.normal(size=(n, 3)),
        covariances=track.covariances + (worse.told * worse.noise_m) ** 2 * np.eye(3),
        orientations_xyzw=np.stack([c * x - s * y, c * y + s * x, c * z + s * w, c * w - s * z], axis=1),
        orientation_sigmas_rad=np.hypot(track.orientation_sigmas_rad, worse.told * heading),
    )


def matches(found: Scene, truth: Scene, wanted, window) -> dict[str, str]:
    """Truth id -> id of the track that follows it all through the window, of the wanted things that have one."""
    pairs: dict[str, tuple[int, str]] = {}
    labelled = {i: truth.tracks[i].between(*window) for i in wanted}
    for id, whole in found.tracks.items():
        track = whole.between(*window)
        track = track[track.observed]
        if len(track) < 3:
            continue
        for true, label in labelled.items():
            if len(label) < 3:
                continue
            at = np.abs(label.stamps_s - track.stamps_s[:, None]).argmin(axis=1)
            near = np.linalg.norm(label.positions_world_m[at] - track.positions_world_m, axis=1) < MATCH_M
            near &= np.abs(label.stamps_s[at] - track.stamps_s) < 0.06
            if near.mean() >= MATCH_SHARE and len(track) > pairs.get(true, (0, ""))[0]:
                pairs[true] = (len(track), id)
    return {true: id for true, (_, id) in pairs.items()}


def questions(truth: Scene, rng, count: int, kinds=KINDS) -> Iterator[Question]:
    """`count` questions of every kind about random things and windows."""
    long = [t for t in truth.tracks.values() if len(t) >= MIN_SAMPLES]
    for kind in kinds if long else ():
        for _ in range(count):
            track = long[rng.integers(len(long))]
            others = [t for t in long if t is not track and _common_s(t, track) >= 1.5]
            other = others[rng.integers(len(others))] if others and (kind in PAIRS or rng.random() < 0.5) else None
            if kind in PAIRS and other is None:
                continue
            first, last = track.stamps_s[0], track.stamps_s[-1]
            if other is not None:
                first, last = max(first, other.stamps_s[0]), min(last, other.stamps_s[-1])
            length = min(rng.uniform(*WINDOW_S), last - first)
            start = rng.uniform(first, max(last - length, first))
            yield _question(kind, track.id, None if other is None else other.id, (float(start), float(start + length)))


def _common_s(a: Track, b: Track) -> float:
    return min(a.stamps_s[-1], b.stamps_s[-1]) - max(a.stamps_s[0], b.stamps_s[0])


def _question(kind, subject, other, window) -> Question:
    if kind in RELATIONS:
        return Question(kind, subject, other or "robot", other or "robot", window)
    if kind in PAIRS:
        return Question(kind, subject, other, "map", window)
    if kind in UNSEEN:
        return Question(kind, subject, None, "map", window)
    return Question(kind, subject, None, "map" if other and kind == "direction_prediction" else "robot", window)


def cases(name, path, sequence, all_worse, count: int, seed: int = 0, kinds=KINDS) -> Iterator[Case]:
    """Asks `count` questions of every kind of one recording made worse in every way."""
    scene = open_source(path, sequence=sequence).scene()
    truth = FullTruth(scene, NOISE[name.split()[0]])
    for k, worse in enumerate(all_worse):
        rng = np.random.default_rng([seed, k, sum(map(ord, name))])
        if worse.detector and sequence is None:
            continue
        asked = (
            open_source(path, sequence=sequence, detections=worse.detector).scene()
            if worse.detector
            else worsened(scene, worse, rng)
        )
        for question in questions(scene, rng, count * (3 if worse.detector else 1), kinds):
            if worse.detector:
                wanted = {w for w in (question.subject, question.object, question.viewer) if w in scene.tracks}
                ids = matches(asked, scene, wanted, question.window)
                if wanted != set(ids):
                    continue
                question = replace(question, ids=ids)
            yield ask_one(name, worse.name, asked, truth, question, rng)


def ask_one(name, worse, scene, truth: FullTruth, question: Question, rng) -> Case:
    """Asks the engine and judges its states, and the yes or no to a label of its kind."""
    query = question.resolved(scene)
    try:
        found = find(scene, query)
    except DeclineError as error:
        return Case(name, worse, question, error.code)
    states = found.states
    right = tuple(truth.holds(question, s.label, s.start, s.end) for s in states)
    label = truth.label(question)
    longest = max(states, key=lambda s: s.end - s.start).label
    labels = [name for name in VOCABULARY[question.kind].labels if "|" not in name]
    asked = longest if rng.random() < 0.5 else labels[rng.integers(len(labels))]
    said = is_true(states, question.kind, asked)
    true = truth.verdict(question, asked, found.window)
    sure = verdict_confidence(states, question.kind, asked, found.chances, found.others)
    return Case(
        name,
        worse,
        question,
        "",
        tuple(s.label for s in states),
        found.raw_chances,
        right,
        found.confidence,
        None if label is None else longest == label,
        _refuses(found, query, None),
        None if true is None else said == true,
        sure,
        _refuses(found, query, sure),
    )


def _refuses(found, query, verdict: float | None) -> bool:
    try:
        require_confident(found, query, verdict)
    except DeclineError:
        return True
    return False
