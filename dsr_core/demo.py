"""The main job without ROS: a recording is made, tracked and asked, and the answers are held against the truth.

`dsr_ros.demo` does the same through the real nodes and uses the pieces below.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dsr_core.api import ask
from dsr_core.reasoning.agreement import states_agreement
from dsr_core.reasoning.answer import Answer
from dsr_core.scene import Scene
from dsr_core.values import Frame

#: Asked while the recording plays: (second, question). They speak of the present.
LIVE_QUESTIONS = (
    (6.0, "Is the forklift getting closer to me?"),
    (10.5, "Is the person crossing from the left to the right?"),
    (16.0, "Which way is the person facing?"),
    (18.0, "Is the forklift moving away from me?"),
    (25.5, "Which is faster, the cart or the forklift?"),
    (30.0, "Is the pallet truck parked?"),
)
#: Asked at the end, about all the time or a part of it.
FINAL_QUESTIONS = (
    "Between 0 and 20 s, how does the distance between the forklift and the robot change?",
    "Between 4 and 12 s, how does the direction of the person to the robot change?",
    "Between 9 and 30 s, how does the orientation of the person change?",
    "From the forklift's perspective, between 20 and 32 s, how does the direction of the cart change?",
    "Compare the speed between the forklift and the person.",
    "When does the cart move?",
    "Between 19 and 25 s, is the cart getting closer to the forklift?",
    "Does the pallet truck move?",
    "Is the crane getting closer to me?",
)
#: An answer is good when its states agree with the truth's for this share of the time; the demo fails below the other.
GOOD_AGREEMENT, LEAST_AGREEMENT = 0.9, 0.8
MAX_IMAGES = 160


@dataclass(frozen=True)
class Asked:
    """A question, the second of the recording at which it was asked (None: at the end), and its answer."""

    question: str
    at_s: float | None
    answer: Answer


def make_recording(out: Path, seed: int = 0, duration_s: float = 40.0, rate_hz: float = 10.0) -> tuple[Path, Scene]:
    """Renders the simulated warehouse into the bag `out`/recording and gives the truth in the true map.

    Raises:
        DependencyError, SourceError: MuJoCo or off-screen OpenGL is missing, or the bag cannot be written.
    """
    from dsr_core.sources.convert import convert
    from dsr_core.sources.simulator import Simulator

    source = Simulator(duration_s=duration_s, rate_hz=rate_hz, seed=seed)
    bag = out / "recording"
    if bag.exists():
        shutil.rmtree(bag)
    started = time.monotonic()
    print(f"Recording: {len(source)} frames of a simulated warehouse, 640x480 colour and depth, into {bag}", flush=True)
    bag = convert(source, to="bag", out=bag, progress=sys.stderr.isatty())
    size_mb = sum(f.stat().st_size for f in bag.rglob("*") if f.is_file()) / 1e6
    print(f"           {size_mb:.0f} MB in {time.monotonic() - started:.0f} s\n", flush=True)
    return bag, source.truth("map")


def ask_all(scene: Scene) -> list[Asked]:
    """All questions of the demo about a scene; the live ones use nothing later than their second."""
    asked = [Asked(q, at_s, ask(scene, q, until=at_s)) for at_s, q in LIVE_QUESTIONS if at_s <= scene.end_s]
    return asked + [Asked(q, None, ask(scene, q)) for q in FINAL_QUESTIONS]


def true_answer(asked: Asked, truth: Scene) -> Answer:
    """What the truth says to the same question about the same window."""
    return ask(truth, asked.question, until=asked.at_s, window=asked.answer.window)


def show(asked: Asked, number: int, truth: Scene) -> float | None:
    """Prints a question, its answer, the evidence and what the truth says; returns the agreement 0..1 or None."""
    answer, expected = asked.answer, true_answer(asked, truth)
    when = "at the end" if asked.at_s is None else f"at {asked.at_s:.1f} s"
    print(f"{number:2d}. [{when}] {asked.question}")
    for line in textwrap.wrap(answer.answer, 104):
        print(f"      {line}")
    for label, text in _evidence(answer):
        lines = textwrap.wrap(text, 92)
        print(f"      {label + ':':11s} " + ("\n" + " " * 18).join(lines))
    agreement = states_agreement(answer, expected)
    if expected.declined is not None:
        verdict = f"declined, {expected.declined.code}"
        agreement = float(answer.declined is not None and answer.declined.code == expected.declined.code)
    else:
        verdict = ", ".join(f"{_label(s.label)} {s.start:.1f}-{s.end:.1f} s" for s in expected.states)
    rate = "" if agreement is None else f"  [{100 * agreement:.0f} % agreement]"
    print("      truth:      " + ("\n" + " " * 18).join(textwrap.wrap(verdict + rate, 92)) + "\n", flush=True)
    return agreement


def _label(label: str) -> str:
    return label.replace("|", "-").replace("_", " ")


def _evidence(answer: Answer) -> Iterator[tuple[str, str]]:
    if answer.declined is not None:
        yield "declined", answer.declined.code
        if answer.declined.candidates:
            yield "instead", ", ".join(answer.declined.candidates)
        return
    yield "states", ", ".join(f"{_label(s.label)} {s.start:.1f}-{s.end:.1f} s" for s in answer.states)
    parts = []
    if answer.value is not None:
        sigma = "" if answer.sigma is None else f" ± {answer.sigma:.2g}"
        parts.append(f"{answer.value:.2f}{sigma} {answer.unit} at the window's end")
    parts.append(f"confidence {100 * answer.confidence:.0f} %")
    parts.append(f"{answer.samples} samples of tracks {', '.join(answer.tracks) or '(none)'}")
    yield "evidence", "; ".join(parts)
    moving = [
        f"{who} {what}"
        for who, what in (("robot", answer.motion.get("ego")), ("thing", answer.motion.get("object")))
        if what
    ]
    if moving:
        yield "in world", ", ".join(moving)


def show_all(asked: list[Asked], truth: Scene) -> float:
    """Prints everything and returns the mean agreement with the truth."""
    rates = [r for i, a in enumerate(asked) if (r := show(a, i + 1, truth)) is not None]
    mean = sum(rates) / max(len(rates), 1)
    good = sum(r >= GOOD_AGREEMENT for r in rates)
    print(f"Agreement with the truth: {100 * mean:.1f} % of the judged time;", end=" ")
    print(f"{good} of {len(rates)} answers at least {100 * GOOD_AGREEMENT:.0f} %.")
    return mean


def save_views(out: Path, scene: Scene, asked: list[Asked], bag: Path) -> None:
    """Writes the picture and the rerun recording and says where."""
    from dsr_core.sources import open_source
    from dsr_core.view.picture import save_picture
    from dsr_core.view.rerun_log import save_rerun

    answers = [(a.question, a.answer) for a in asked]
    picture = save_picture(out / "demo.png", scene, answers)
    source = open_source(bag)
    step = max(len(source) // MAX_IMAGES, 1)
    frames: Iterator[Frame] = (frame for i, frame in enumerate(source.frames()) if i % step == 0)
    rerun = save_rerun(out / "demo.rrd", scene, answers, frames)
    print(f"Picture:   {picture}\nRerun:     {rerun}   (look at it with `rerun {rerun}`)\nRecording: {bag}")


def main(out: str | Path = "out/demo", seed: int = 0, duration_s: float = 40.0, rate_hz: float = 10.0) -> int:
    """The whole demo without ROS.

    Returns:
        Exit status: 0 when the answers agree with the truth, else 1.
    """
    from dsr_core.sources import open_source

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    print("Offline: the same questions on the same recording, without ROS nodes.\n")
    bag, truth = make_recording(out, seed, duration_s, rate_hz)
    scene = open_source(bag).tracked_scene(progress=sys.stderr.isatty())
    asked = ask_all(scene)
    mean = show_all(asked, truth)
    save_views(out, scene, asked, bag)
    return 0 if mean >= LEAST_AGREEMENT else 1
