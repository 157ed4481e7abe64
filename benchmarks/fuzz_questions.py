"""Random, mutated and malformed questions asked of small scenes: nothing may raise, every answer must fit the schema.

    python benchmarks/fuzz_questions.py --count 100000 --seed 0      a few minutes
    python benchmarks/fuzz_questions.py --count 1 --seed 0 --first 4711      one input again

Input i of a seed is always the same. Half are sentences (every understood one and the published templates, with names,
times, boxes and viewpoints put in, then mutated by character and word), half typed queries (every kind with every sort
of WHO and window, then fields of wrong types, NaN, huge numbers, deep nesting); choices and options are random too.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

import dsr_core
from dsr_core.geometry import transforms as tf
from dsr_core.language.sentences import EXAMPLES
from dsr_core.reasoning.query import SELECTORS
from dsr_core.reasoning.vocabulary import KINDS, VOCABULARY
from dsr_core.scene import Scene, Track

SCHEMA = Path(__file__).resolve().parents[1] / "docs" / "schemas" / "answer.schema.json"
TEMPLATES = (
    "Between {s}s and {e}s, following the perspective of {B}, how does the distance between {A} and {B} change?",
    "From {s}s to {e}s, following the perspective of {B}, how does the direction of {A} to {C} change?",
    "From {s}s to {e}s, from the perspective of {B} at {s}s, how does the orientation of {A} change?",
    "Between {s}s and {e}s, from the perspective of {B} at {e}s, how does the speed of {A} change?",
    "Compare the speed between {A} and {B} from the perspective of {C} at {s}s, between {s}s and {e}s.",
    "Predict the moving direction of {A} following the perspective of {B}.",
)
GOOD_NAMES = (
    "car 1", "car 3", "person 2", "the forklift", "the box", "1", "2", "3", "me", "the robot", "the camera", "a",
)  # fmt: skip
NAMES = (
    "the car", "car 1", "a", "2", "me", "you", "the robot", "the camera", "the person", "it", "the nearest car", "dog",
    "the second person", "the forklift", "the red box", "3", "them", "all cars", "the car [10,20,60,80]", "the map",
    "person 2", "car 3", "the box", "track 1", "1", "2", "3", "1", "me", "the forklift", "the fastest car", "the cup",
    "man with initial bounding box coordinates [10,20,30,40]", "the car on the left", "everything", "Türsteher", "車",
)  # fmt: skip
TIMES = (
    "between {s} and {e} s", "from {s}s to {e}s", "at {s} s", "in the last {s} s", "now", "over the past two minutes",
    "between {e} and {s} s", "at {s}", "since {s} s", "", "", "", "", "",
)  # fmt: skip
VIEWS = (
    "from {B}'s perspective", "as seen from {B}", "from my point of view", "from the perspective of {B} at {s}s", "",
)  # fmt: skip
CHOICES = (
    ("yes", "no"), ("A. getting closer", "B. moving away", "C. the same"), ("front", "behind", "left", "right"),
    ("1 m", "5 m", "12.5 m"), ("increasing", "constant", "decreasing"), ("car 1", "person 2"), ("", ""), ("yes",) * 40,
    ("A. front|left", "B. first front, then left", "C. behind", "D. none of these"), ("3", "4", "5"), (),
    ("ä" * 3000, "no"),
)  # fmt: skip
ODD_TEXT = (
    "", " ", "\x00", "😀", "\u202e", "ﬁ", "İ", "ß", "\n", "\t", "'", '"', "?", "??", "{A}", "⟦0⟧", "[", "]]", "%s",
    "NaN", "-1", "1e999", "٣", "½", "\ud800", "a" * 90, "and " * 30, "of the " * 20, "(" * 50, ".*" * 20,
)  # fmt: skip


def nested(depth: int):
    value: dict | list = {}
    for i in range(depth):
        value = {"label": value} if i % 2 else [value]
    return value


ODD_VALUES = (
    None, True, False, 0, 1, -1, 2**63, 10**400, 0.5, -0.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, "", " ",
    "car", "robot", "camera", "map", "1", "nobody", "a" * 5000, "\x00", "😀", "\ud800", (), [], {}, [[]], [None], [1],
    [1, 2, 3], [2.0, 1.0], [math.nan, 1], [0, math.inf], [-1e308, 1e308], [10**400, 1], ["0", "1"], [True, False],
    {"a": 1}, {1: 2}, {None: None, "a": 1}, {"label": ""}, {"select": "all"}, {"box": [1, 2, 3, 4]}, {"rank": 2},
    {"box": [math.nan] * 4, "at": 1e300}, {"mode": "absolute"}, nested(40), nested(400), b"bytes", {1, 2}, 1j, object,
    ("front", "behind"), ["front", ["behind"]], np.float64(1.5), np.array([0.0, 1.0]), np.nan, range(2),
)  # fmt: skip


def make_scenes(seed: int = 0) -> dict[str, Scene]:
    """Small scenes: things with and without size and heading; without scale, poses, or anything in them."""
    rng = np.random.default_rng(seed)
    stamps = np.arange(81) / 10.0
    robot = np.stack([0.6 * stamps, 0.2 * np.sin(stamps), 0.0 * stamps], axis=1)
    T_base = tf.make_transform(tf.matrices_from_quaternions(tf.yaw_to_quaternion_xyzw(0.05 * stamps)), robot)
    T_camera = T_base @ tf.make_transform(tf.R_BODY_OPTICAL, np.array([0.2, 0.0, 0.5]))
    K, image_size = np.array([[300.0, 0, 320], [0, 300.0, 240], [0, 0, 1]]), (640, 480)

    def track(id, label, start, velocity, first=0, last=81, yaw=None, size=None, sigma=0.05, boxes=False):
        t = stamps[first:last]
        p = np.asarray(start) + t[:, None] * np.asarray(velocity) + rng.normal(0, sigma, (len(t), 3)) * (1, 1, 0.2)
        q = None if yaw is None else tf.yaw_to_quaternion_xyzw(yaw + 0.1 * t)
        box = np.tile([10.0, 20.0, 60.0, 80.0], (len(t), 1)) + rng.normal(0, 1, (len(t), 4)) if boxes else None
        cov = np.broadcast_to(np.eye(3) * sigma**2, (len(t), 3, 3)).copy()
        observed = np.arange(len(t)) % 17 < 13
        return Track(
            id=id, label=label, stamps_s=t, positions_world_m=p, covariances=cov, orientations_xyzw=q,
            size_lwh_m=None if size is None else np.array(size), boxes_px=box, image_size=image_size, observed=observed,
        )  # fmt: skip

    things = [
        track("1", "car", (9, 2, 0), (-1.2, 0, 0), yaw=3.1, size=(4, 1.8, 1.5), boxes=True),
        track("2", "person", (6, -3, 0), (0.1, 1.1, 0), yaw=1.5, size=(0.5, 0.5, 1.8)),
        track("3", "car", (15, -2, 0), (0, 0, 0), size=(4, 1.8, 1.5), boxes=True),
        track("4", "box", (4, 4, 0), (0, 0, 0), 10, 50),
        track("a", "forklift", (-5, 1, 0), (1.5, 0, 0), 20, 81, yaw=0.0),
        track("6", "person", (8, 0, 0), (0.4, -0.2, 0), 60, 62),
        track("7", "dog", (3, 3, 0), (0.4, -0.9, 0), 5, 6),
        track("8", "cup", (3, -1, 0.5), (0, 0, 0), sigma=4.0),
    ]
    tracks = {t.id: t for t in things}
    poses = {"T_world_base": T_base, "T_world_camera": T_camera, "K": K, "image_size": image_size}
    return {
        "full": Scene(stamps, tracks, **poses, ego_sigma_m=0.02),
        "no scale": Scene(stamps, tracks, **poses, metric=False),
        "no poses": Scene(stamps, tracks),
        "camera only": Scene(stamps, tracks, T_world_camera=T_camera),
        "nobody": Scene(stamps, {}, **poses),
        "nothing": Scene(np.zeros(0), {}),
        "one frame": Scene(stamps, tracks, **poses).until(0.05),
    }


def sentence(rng: random.Random) -> str:
    text = rng.choice(EXAMPLES if rng.random() < 0.8 else TEMPLATES)
    words = {letter: rng.choice(GOOD_NAMES if rng.random() < 0.7 else NAMES) for letter in "ABC"}
    text = " ".join(words.get(w.strip("?.,"), w) if w.strip("?.,") in words else w for w in text.split(" "))
    text = rng.choice(("", "", "{v}, ")).replace("{v}", rng.choice(VIEWS)) + text + " " + rng.choice(TIMES)
    numbers = {"s": number(rng), "e": number(rng), **words}
    for key, value in numbers.items():
        text = text.replace("{" + key + "}", value)
    return text


def number(rng: random.Random) -> str:
    if rng.random() < 0.8:
        return f"{rng.uniform(0, 8):.1f}"
    return rng.choice(("0", "-1", "1e9", "999999999999", "1e400", "NaN", "two", "3,5", "٣", "", "0.0000001"))


def mutated(text: str, rng: random.Random) -> str:
    """Some edits by character and by word, rarely a very long text."""
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 4, 10))):
        kind, at = rng.randrange(8), rng.randrange(len(text) + 1)
        if kind == 0:
            text = text[:at] + rng.choice(ODD_TEXT) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rng.randint(1, 5) :]
        elif kind == 2:
            letter = chr(rng.choice((rng.randrange(32, 127), rng.randrange(0xD7FF), 0x1F600)))
            text = text[:at] + letter + text[at + 1 :]
        elif kind == 3:
            text = text.upper() if rng.random() < 0.5 else text.title()
        else:
            words = text.split(" ")
            i, j = rng.randrange(len(words)), rng.randrange(len(words))
            if kind == 4:
                words[i], words[j] = words[j], words[i]
            elif kind == 5:
                words.insert(i, words[j])
            elif kind == 6:
                del words[i]
            else:
                words[i] = rng.choice((rng.choice(NAMES), *rng.choice(EXAMPLES).split(" ")))
            text = " ".join(words)
    if rng.random() < 0.02:
        text = text * rng.choice((3, 10, 30, 1000))
    elif rng.random() < 0.02:
        text = text + " " + mutated(sentence(rng), rng)
    return text


def who(rng: random.Random):
    simple = ("robot", "camera", "map", "1", "2", "3", "4", "a", "6", "7", "8", "car", "person", "nobody", "anything")
    if rng.random() < 0.85:
        return rng.choice(simple[:9] if rng.random() < 0.7 else simple)
    made: dict = {}
    if rng.random() < 0.8:
        made["label"] = rng.choice(("car", "person", "thing", "nobody", "anything", "vehicle"))
    if rng.random() < 0.3:
        made["box"] = [rng.uniform(0, 50), rng.uniform(0, 50), rng.uniform(51, 600), rng.uniform(51, 400)]
    if rng.random() < 0.2:
        made["image_size"] = rng.choice(([640, 480], [1, 1], [1e9, 1e-9]))
    if rng.random() < 0.3:
        made["at"] = rng.choice((0, 3.3, 8, -5, 1e9))
    if rng.random() < 0.5:
        made["select"] = rng.choice(SELECTORS)
        if rng.random() < 0.3:
            made["rank"] = rng.choice((1, 2, 3, 1000))
    return made or {"select": "all"}


def window(rng: random.Random):
    start = rng.choice((0, 0.0, 2.0, 3.3, 7.9, rng.uniform(-1, 9)))
    length = rng.choice((0, 0.05, 0.1, 0.5, 1, 2, 4, 8, 100, -1))
    return rng.choice((None, [start, start + length], [start, start + length]))


def typed(rng: random.Random) -> dict:
    """A well-formed query of any kind; it need not make sense."""
    kind = rng.choice(KINDS)
    query: dict = {"kind": kind, "subject": {"label": "car", "select": "all"} if rng.random() < 0.1 else who(rng)}
    if rng.random() < 0.6:
        query["object"] = who(rng)
    if rng.random() < 0.5:
        mode = rng.choice(("relative", "absolute"))
        query["viewpoint"] = {"agent": who(rng), "mode": mode, "at": rng.choice((None, 0, 2.5, 8.0, -1, 99))}
    if rng.random() < 0.8:
        query["window"] = window(rng)
    if kind == "count" and rng.random() < 0.7:
        query["of"] = rng.choice([k for k in KINDS if not VOCABULARY[k].many])
        query["asked"] = rng.choice(VOCABULARY[query["of"]].labels or ("x",))
    elif VOCABULARY[kind].labels and rng.random() < 0.3:
        labels = VOCABULARY[kind].labels
        query["asked"] = rng.choice((rng.choice(labels), [rng.choice(labels), rng.choice(labels)]))
    return query


def spoilt(query: dict, rng: random.Random):
    """The query with odd values in some places, or something that is no query at all."""
    if rng.random() < 0.03:
        return rng.choice(ODD_VALUES)
    query = {k: dict(v) if isinstance(v, dict) else v for k, v in query.items()}
    for _ in range(rng.choice((1, 1, 2, 3))):
        key = rng.choice(("kind", "subject", "object", "viewpoint", "window", "asked", "of", "extra", 3, *query))
        inner = query.get(key)
        if isinstance(inner, dict) and rng.random() < 0.7:
            fields = ("agent", "mode", "at", "label", "box", "image_size", "select", "rank", "extra", 5)
            inner[rng.choice(fields)] = rng.choice(ODD_VALUES)
        elif isinstance(inner, list) and inner and rng.random() < 0.5:
            query[key] = [*inner[:-1], rng.choice(ODD_VALUES)]
        elif rng.random() < 0.15:
            query.pop(key, None)
        else:
            query[key] = rng.choice(ODD_VALUES)
    return query


def options(rng: random.Random) -> dict:
    """Keyword arguments of `ask`; mostly none."""
    chosen: dict = {}
    if rng.random() < 0.25:
        chosen["choices"] = list(rng.choice(CHOICES)) if rng.random() < 0.95 else rng.choice(ODD_VALUES)
    if rng.random() < 0.15:
        chosen["rules"] = "dsr" if rng.random() < 0.9 else rng.choice(ODD_VALUES)
    if rng.random() < 0.1:
        chosen["until"] = rng.uniform(-1, 9) if rng.random() < 0.7 else rng.choice(ODD_VALUES)
    if rng.random() < 0.05:
        chosen["viewpoint"] = who(rng) if rng.random() < 0.7 else rng.choice(ODD_VALUES)
    if rng.random() < 0.1:
        chosen["window"] = window(rng) if rng.random() < 0.7 else rng.choice(ODD_VALUES)
    if rng.random() < 0.05:
        chosen["stale_s"] = rng.choice((0.0, 0.5, 100.0))
    if rng.random() < 0.03:
        chosen["backend"] = rng.choice(("auto", "geometry", "vlm", "", None, 3))
    return chosen


def make_input(seed: int, index: int, scene_names) -> tuple[str, object, dict]:
    """Name of the scene, the question, and the options of input `index`."""
    rng = random.Random(f"{seed}/{index}")
    name = "full" if rng.random() < 0.6 else rng.choice(list(scene_names))
    if rng.random() < 0.5:
        question: object = mutated(sentence(rng), rng)
    else:
        question = typed(rng)
        if rng.random() < 0.4:
            question = spoilt(question, rng)
    return name, question, options(rng)


def run(count: int, seed: int = 0, first: int = 0, validate_every: int = 20) -> dict:
    """Asks inputs `first` to `first + count`.

    Returns:
        {"failures": [(index, what, question, options)], "seconds": (count,) array, "outcomes": Counter}.
    """
    validator = schema_validator()
    scenes, failures, outcomes = make_scenes(), [], Counter()
    seconds = np.zeros(count)
    dsr_core.ask(scenes["full"], "is car 1 getting closer?")  # what is compiled and loaded once
    for i in range(count):
        name, question, chosen = make_input(seed, first + i, scenes)
        begin = time.perf_counter()
        try:
            answer = dsr_core.ask(scenes[name], question, **chosen)
        except Exception as error:  # what a fuzzer is for
            seconds[i] = time.perf_counter() - begin
            outcomes["raised"] += 1
            failures.append((first + i, f"raised {type(error).__name__}: {error}"[:200], name, question, chosen))
            continue
        seconds[i] = time.perf_counter() - begin
        outcomes["answered" if answer.declined is None else answer.declined.code] += 1
        if i % validate_every == 0:
            problem = unfit(answer, validator)
            if problem:
                outcomes["unfit"] += 1
                failures.append((first + i, problem, name, question, chosen))
    return {"failures": failures, "seconds": seconds, "outcomes": outcomes}


def schema_validator():
    import jsonschema

    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))


def unfit(answer, validator) -> str | None:
    """Why an answer is no valid JSON document of the schema, or None."""
    try:
        document = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    except (TypeError, ValueError) as error:
        return f"no JSON: {error}"[:200]
    problem = next(iter(validator.iter_errors(document)), None)
    return None if problem is None else f"schema: {problem.json_path}: {problem.message}"[:300]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="index of the first input")
    parser.add_argument("--validate-every", type=int, default=20, help="every how many answers the schema is checked")
    parser.add_argument("--show", type=int, default=10, help="how many failures and slow inputs to print")
    args = parser.parse_args()
    result = run(args.count, args.seed, args.first, args.validate_every)
    ms = 1000.0 * result["seconds"]
    outcomes = ", ".join(f"{what} {n}" for what, n in result["outcomes"].most_common())
    print(f"{args.count} inputs of seed {args.seed}: {outcomes}")
    p50, p99, p999 = np.percentile(ms, (50, 99, 99.9))
    print(f"ms an input: 50 % {p50:.2f}, 99 % {p99:.2f}, 99.9 % {p999:.2f}, slowest {ms.max():.2f}")
    scenes = make_scenes()
    for i in np.argsort(-ms)[: args.show]:
        name, question, chosen = make_input(args.seed, args.first + int(i), scenes)
        print(f"  {ms[i]:8.2f} ms  input {args.first + i} ({name}): {repr(question)[:160]} {repr(chosen)[:100]}")
    seen = Counter()
    for index, what, name, question, chosen in result["failures"]:
        seen[what] += 1
        if seen[what] == 1 and len(seen) <= args.show:
            print(f"FAILURE input {index} ({name}): {what}\n    {repr(question)[:300]} {repr(chosen)[:200]}")
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
