"""The published templates with any filler: every one is read, and exactly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core.language import parse
from dsr_core.reasoning.query import Viewpoint

#: Classes of the published data are free text; these hold words that other sentences take for their own.
ODD_NAMES = (
    "man in white and black",
    "woman who is walking a dog",
    "person riding a bike to the left",
    "dancer moving her arms",
    "the nearest car",
    "second boat from the right",
    "child between two adults",
    "stop sign",
    "car 12",
    "TV",
    "T-shirt",
    "speed boat",
    "camera operator",
    "robot arm",
    "thing",
    "direction sign and pole",
    "distance marker",
    "O'Neill surfer",
    "person facing away from the camera",
    "runner with the number 5.5",
)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12)
NAMES = st.one_of(st.sampled_from(ODD_NAMES), st.lists(WORDS, min_size=1, max_size=6).map(" ".join))


@st.composite
def boxes(draw):
    x1, y1 = draw(st.integers(0, 1900)), draw(st.integers(0, 1000))
    corner = [x1, y1, x1 + draw(st.integers(1, 500)), y1 + draw(st.integers(1, 500))]
    if draw(st.booleans()):
        corner = [n + draw(st.sampled_from([0.0, 0.5, 0.25])) for n in corner]
    return corner


def thing(name, box, when, at=None):
    """The published words for a thing, and the WHO that they mean."""
    text = f"{name} with {when}bounding box coordinates [{','.join(f'{n:g}' for n in box)}]"
    who = {"box": [float(f"{n:g}") for n in box]}
    words = name.split()
    while len(words) > 1 and words[0].lower() in ARTICLES:
        words = words[1:]
    if words[-1] not in ("object", "thing"):
        who["label"] = " ".join(words)
    return text, who if at is None else {**who, "at": at}


ARTICLES = frozenset("the a an this that these those our my your its his her their some any".split())
SECONDS = st.integers(0, 6000).map(lambda n: n / 10)


@st.composite
def viewers(draw, absolute):
    """The words for the viewer and the viewpoint that they mean."""
    at = draw(SECONDS) if absolute else None
    if draw(st.booleans()):
        text, who = "camera", "camera"
    else:
        text, who = thing(draw(NAMES), draw(boxes()), draw(st.sampled_from(["", "initial "])), at)
    if absolute:
        return f"from the perspective of {text} at {at:.1f}s", Viewpoint(who, "absolute", at)
    return f"following the perspective of {text}", Viewpoint(who, "relative", None)


CORES = {
    "distance": "how does the distance between {one} and {two} change?",
    "direction": "how does the direction of {one} to {two} change?",
    "orientation": "how does the orientation of {one} change?",
    "speed": "how does the speed of {one} change?",
    "speed_comparison": "compare the speed between {one} and {two}.",
}


@pytest.mark.parametrize("absolute", [False, True], ids=["rel", "abs"])
@pytest.mark.parametrize("kind", CORES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_windowed_templates(kind, absolute, data):
    start = data.draw(SECONDS)
    end = start + data.draw(st.integers(1, 600)) / 10
    perspective, viewpoint = data.draw(viewers(absolute))
    camera = data.draw(st.sampled_from(["no", "first", "second"])) if "{two}" in CORES[kind] else "no"
    texts, whos = [], []
    for place in ("first", "second"):
        text, who = thing(data.draw(NAMES), data.draw(boxes()), "initial ", round(start, 1))
        texts.append("camera" if camera == place else text)
        whos.append("camera" if camera == place else who)
    core = CORES[kind].format(one=texts[0], two=texts[1])
    question = f"Between {start:.1f}s and {end:.1f}s, {perspective}, {core}"
    parsed = parse(question)
    query = parsed.query
    assert query.kind == kind, question
    assert query.subject == whos[0], question
    assert query.object == (whos[1] if "{two}" in CORES[kind] else None), question
    assert query.window == pytest.approx((start, end)) and query.viewpoint == viewpoint, question
    assert (parsed.form, parsed.asked, parsed.recent) == ("open", None, False)


@pytest.mark.parametrize("absolute", [False, True], ids=["rel", "abs"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_prediction_templates(absolute, data):
    perspective, viewpoint = data.draw(viewers(absolute))
    text, who = thing(data.draw(NAMES), data.draw(boxes()), "final ")
    end = data.draw(st.sampled_from(["", "."]))
    question = f"{perspective[0].upper()}{perspective[1:]}, predict the moving direction of {text}{end}"
    parsed = parse(question)
    assert parsed.query.kind == "direction_prediction", question
    assert (parsed.query.subject, parsed.query.viewpoint, parsed.query.window) == (who, viewpoint, None), question
