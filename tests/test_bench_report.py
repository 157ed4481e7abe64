"""The page of a result: whole, self-contained, and saying what the result says."""

import base64
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from bench_rows import write_questions, write_videos

from dsr_core.bench.models.baselines import RandomModel
from dsr_core.bench.report import percent, worst, write_report
from dsr_core.bench.run import make_plan, run
from dsr_core.bench.scores import MISSING
from dsr_core.bench.svg import Bar, bars
from dsr_core.bench.task import find_task

_VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page's tags, checked for balance, its texts, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.loads, self.texts = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.loads += [value for name, value in attrs if name in ("src", "href") and not value.startswith("data:")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(page's text, page, result, plan) of a run by chance on 60 rows, of which a third has no video."""
    folder = tmp_path_factory.mktemp("report")
    questions, videos = write_questions(folder / "questions.jsonl", 60), write_videos(folder / "videos")
    questions.write_text(questions.read_text().replace("thing 4 go", "<b>thing</b> & 4 go"))
    plan = make_plan(find_task("dsr"), questions, videos)
    result = run(plan, RandomModel(), folder / "out").result
    text = write_report(result, plan, folder / "out", wrong=9).read_text()
    return text, Page(text), result, plan


def test_the_page_is_whole_and_loads_nothing(made):
    text, page, _, _ = made
    assert text.startswith("<!DOCTYPE html>") and page.open == [] and page.loads == []
    assert "script" not in {tag for tag, _ in page.tags} and "@import" not in text
    assert "<b>thing" not in text and "<b>thing</b> & 4 go" in "".join(page.texts)


def test_the_page_says_what_the_result_says(made):
    _, page, result, _ = made
    said = " ".join(page.texts)
    assert percent(result.scores.headline.value) in said
    for figure in result.scores.by_type:
        assert figure.name in said and percent(figure.value) in said
    assert all(note in said for note in result.scores.notes)
    assert "Gemini-2.5-Pro" in said and "arXiv 2512.20557" in said and result.name in said
    assert result.settings["data"]["sha256"] in said and "parser_version" in said


def test_plots_are_well_formed_and_to_scale(made):
    text, _, result, _ = made
    plots = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, flags=re.S)]
    assert len(plots) == 3
    space = "{http://www.w3.org/2000/svg}"
    types = [float(rect.get("width")) for rect in plots[0].iter(f"{space}rect")]
    shares = [figure.value for figure in result.scores.by_type]
    assert np.allclose(np.array(types) / types[0], np.array(shares) / shares[0], rtol=0.01)
    for plot in plots:
        wide, high = float(plot.get("width")), float(plot.get("height"))
        for text_ in plot.iter(f"{space}text"):
            assert 0 <= float(text_.get("x")) <= wide and 0 <= float(text_.get("y")) <= high


def test_a_plot_without_numbers_says_so():
    plot = ET.fromstring(bars("none", [Bar("a & b", float("nan"))], 0.25))
    assert "no replies" in [t.text for t in plot.iter("{http://www.w3.org/2000/svg}text")]


def test_wrong_answers_are_shown_with_their_frames(made):
    text, page, result, _ = made
    wrong = [o for o in result.outcomes if o.status != MISSING and o.score < 0.5]
    shown = worst(result.outcomes, 9)
    assert len(shown) == 9 < len(wrong) and {o.row.type for o in shown} == {o.row.type for o in wrong}
    assert text.count('class="card"') == 9 and text.count(" (said)") == text.count(" (right)") == 9
    pictures = [
        cv2.imdecode(np.frombuffer(base64.b64decode(attrs["src"].partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
        for tag, attrs in page.tags
        if tag == "img"
    ]
    of_seen = sum(o.row.video != "clip_2.mp4" for o in shown)
    assert len(pictures) == 4 * of_seen > 0
    assert pictures[0].mean() < pictures[3].mean() and pictures[0].size <= 3 * 200 * 150
