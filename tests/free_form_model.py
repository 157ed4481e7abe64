"""Stands for a language model that writes free-form questions; it knows the scene, so it can be right or wrong."""

from __future__ import annotations

import json
import random
import threading

import numpy as np

from dsr_core import ask
from dsr_core.qa.freeform.prompts import FORMS
from dsr_core.reasoning.vocabulary import VOCABULARY
from dsr_core.scene import Scene
from tests.fakes import fake_scene, fake_track

CLASSES = ("car", "truck", "van", "bus", "bicycle", "dog")
_WORDS = {
    "distance": {"decreasing": "it gets smaller", "constant": "it stays the same", "increasing": "it gets larger"},
    "speed": {"decreasing": "it slows down", "constant": "it keeps a steady speed", "increasing": "it speeds up"},
    "motion": {"moving": "it moves", "still": "it stands still"},
    "facing": {"facing": "it faces it", "sideways": "it shows its side", "away": "it shows its back"},
    "turning": {"turning_left": "it turns left", "straight": "it goes straight on", "turning_right": "it turns right"},
    "overtaking": {
        "overtook": "{t1} overtakes {t2}",
        "overtaken": "{t2} overtakes {t1}",
        "passed": "they pass each other in opposite directions",
        "none": "neither overtakes the other",
    },
    "speed_comparison": {
        "first_faster": "{t1} is faster",
        "second_faster": "{t2} is faster",
        "same": "they are equally fast",
    },
}


def street(duration_s: float = 12.0) -> Scene:
    """Six things of different classes with boxes and headings before a standing camera; they swerve and change pace."""
    tracks = []
    for i, label in enumerate(CLASSES):

        def positions(t, i=i):
            along = (i - 2.5) * t * 0.9 + 2.0 * np.sin(0.25 * t + i)
            return np.stack([12.0 + 4.0 * i + along, (-1) ** i * (3.0 + i) + 0.8 * i * np.sin(0.3 * t), 0.0 * t], 1)

        track = fake_track(
            f"{i}",
            label,
            duration_s=duration_s,
            positions=positions,
            sigma_m=0.02,
            yaw=lambda t, i=i: 0.4 * i + 0.1 * t,
        )
        track.boxes_px[:] = (80 * i, 100, 80 * i + 60, 180)
        object.__setattr__(track, "image_size", (640, 480))
        tracks.append(track)
    return fake_scene(*tracks, duration_s=duration_s, image_size=(640, 480))


class Writer:
    """Answers requests as a model would.

    Args:
        scene: Its things must have different classes.
        change: Spoils the reply: called with it and the number of the request, gives the reply to be sent.
    """

    def __init__(self, scene: Scene, change=lambda reply, number: reply):
        self._by_class = {track.label: track for track in scene.tracks.values()}
        self._scene, self._change, self._number = scene, change, 0
        self._queries: dict[str, dict] = {}
        self._lock = threading.Lock()

    def __call__(self, body: dict):
        """The content of the reply to a request."""
        system, user = body["messages"][0]["content"], body["messages"][1]["content"]
        with self._lock:
            number, self._number = self._number, self._number + 1
            if system.startswith("You translate"):
                question = json.loads(user)["question"]
                return {"query": next((q for core, q in self._queries.items() if core in question), None)}
            schema = body["response_format"]["json_schema"]["schema"]
            return self._change(self._write(json.loads(user), schema), number)

    def _write(self, facts: dict, schema: dict) -> dict:
        rng = random.Random(json.dumps(facts))
        things = {name: self._by_class[told["class"]] for name, told in facts["things"].items()}
        viewer = facts["viewer"].removeprefix("the ").removeprefix("a ")
        viewer = "camera" if viewer == "camera" else self._by_class[viewer].id
        fixed = facts["frame"].startswith("of the viewer, fixed")
        window = facts["times_s"][0], facts["times_s"][-1]
        viewpoint = {"agent": viewer, "mode": "absolute" if fixed else "relative", "at": window[0] if fixed else None}
        kinds = schema["properties"]["query"]["properties"]["kind"]["enum"]
        for kind in rng.sample(kinds, len(kinds)):
            made = self._question(rng, kind, things, viewer, {"viewpoint": viewpoint, "window": list(window)})
            if made is not None:
                return made
        return {"question": "none fits"}

    def _question(self, rng, kind: str, things: dict, viewer: str, when: dict) -> dict | None:
        form, many = FORMS[kind], VOCABULARY[kind].many
        if many and len(things) < 4:
            return None
        names = rng.sample(sorted(things), 4 if many else 2)
        if many:
            typed = {"kind": kind, "subject": {"among": [things[n].id for n in names]}}
            query = {"kind": kind, "among": names, "subject": None, "object": None}
            if VOCABULARY[kind].relates:
                typed["object"], query["object"] = viewer, "viewer"
        else:
            typed, query = {"kind": kind, "subject": things[names[0]].id}, {"kind": kind, "subject": names[0]}
            if form.needs_object:
                typed["object"], query["object"] = things[names[1]].id, names[1]
        truth = ask(self._scene, {**typed, **when})
        if truth.declined is not None or not truth.states:
            return None
        if many:
            labels = [(name,) for name in names]
            true = next((name,) for name in names if things[name].id == truth.states[-1].label)
            options = [f"{{{name}}}" for name in names]
        else:
            true = tuple(state.label for state in truth.states)
            true = tuple(label for i, label in enumerate(true) if i == 0 or label != true[i - 1])
            known = [label for label in VOCABULARY[kind].labels if "above" not in label and "below" not in label]
            labels = [true]
            while len(labels) < 4:
                other = (
                    (rng.choice(known),) if kind == "overtaking" or rng.random() < 0.6 else tuple(rng.sample(known, 2))
                )
                labels += [other] if other not in labels else []
            rng.shuffle(labels)
            options = [self._worded(kind, states, names) for states in labels]
        places = {"t1": names[0], "t2": names[1]}
        question = form.question
        for old, new in places.items():
            question = question.replace(f"{{{old}}}", f"<{new}>")
        question = question.replace("<", "{").replace(">", "}")
        core = question.lower()
        for name, track in things.items():
            core = core.replace(f"{{{name}}}", f"{track.label} {track.id}")
        core = core.replace(
            "{viewer}", "camera" if viewer == "camera" else f"{self._scene.tracks[viewer].label} {viewer}"
        )
        self._queries[core] = {k: v for k, v in typed.items() if k != "subject" or not many} | (
            {"subject": {"select": "all"}} if many else {}
        )
        return {
            "question": question,
            "options": options,
            "states": [list(states) for states in labels],
            "answer": "ABCD"[labels.index(true)],
            "query": query,
        }

    def _worded(self, kind: str, states: tuple[str, ...], names: list[str]) -> str:
        words = _WORDS.get(kind)
        told = [words[s] if words else "it does not move" if s == "still" else s.replace("|", " and ") for s in states]
        text = ", then ".join(told).replace("{t1}", f"<{names[0]}>").replace("{t2}", f"<{names[1]}>")
        return (text[0].upper() + text[1:]).replace("<", "{").replace(">", "}")
