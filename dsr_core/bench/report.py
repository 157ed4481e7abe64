"""A result as one page that needs nothing else: figures, plots, published numbers, and wrong answers to look at."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from dsr_core.bench.frames import MissingVideoError, clip_of
from dsr_core.bench.models.endpoint import jpeg
from dsr_core.bench.result import REPORT_FILE, Result
from dsr_core.bench.run import Plan
from dsr_core.bench.scores import MISSING, SCORED, UNPARSED, Figure, Outcome
from dsr_core.bench.svg import Bar, bars, pairs
from dsr_core.files import whole_file

_THUMBNAILS, _THUMBNAIL_PIXELS, _THUMBNAIL_QUALITY = 4, 200 * 150, 70
_REPLY_CHARACTERS = 1500
_CSS = """
body{font:15px/1.45 sans-serif;color:#222;max-width:920px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em;margin-bottom:.1em}h2{font-size:1.15em;margin-top:2em;border-bottom:1px solid #d5d9de}
table{border-collapse:collapse;font-size:.92em}td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #eceef1}
td:first-child,th:first-child{text-align:left}td.text{text-align:left}tr.ours td{font-weight:bold;background:#e8f0fa}
.big{font-size:2.6em;font-weight:bold;color:#2563a8}.faint{color:#666}svg{max-width:100%;height:auto}
.card{border:1px solid #d5d9de;border-radius:6px;padding:.6em 1em;margin:1em 0}.card img{margin:2px;border-radius:3px}
.right{color:#197a3e;font-weight:bold}.wrong{color:#b3261e;font-weight:bold}
pre{white-space:pre-wrap;background:#f6f7f9;padding:.5em;font-size:.9em;overflow-wrap:anywhere}
"""


def write_report(result: Result, plan: Plan, out: str | Path, wrong: int = 24, spent: str = "") -> Path:
    """Writes `out`/report.html.

    Args:
        result: The run's result. plan: What was asked; its videos give the pictures.
        out: Folder.
        wrong: Most wrong answers that are shown; they are spread over the types.
        spent: What the run has cost, in words.
    """
    path = Path(out) / REPORT_FILE
    with whole_file(path) as temporary:
        temporary.write_text("".join(_page(result, plan, wrong, spent)), encoding="utf-8")
    return path


def _page(result: Result, plan: Plan, wrong: int, spent: str) -> Iterator[str]:
    task, scores = plan.task, result.scores
    title = f"{task.title}: {result.name}"
    yield f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
    yield f"<style>{_CSS}</style></head><body><h1>{escape(title)}</h1>"
    counts = Counter(outcome.status for outcome in result.outcomes)
    best = scores.headline
    yield f'<p><span class="big">{percent(best.value)}</span> {escape(best.name)}{_interval(best)}</p>'
    yield f"<p>{len(result.outcomes)} rows: {counts[SCORED] + counts[UNPARSED]} with a reply, of which"
    yield f" {counts[UNPARSED]} name no answer; {counts[MISSING]} missing. Chance is {percent(task.chance)}."
    yield f" {escape(spent)}</p>" if spent else "</p>"
    if scores.notes:
        yield f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in scores.notes)}</ul>"
    yield "<h2>By type</h2>"
    yield bars(
        "Accuracy by type with 95 % intervals",
        [Bar(f.name or "(no type)", f.value, f.low, f.high, f"({f.rows})") for f in scores.by_type],
        task.chance,
    )
    yield _figures([scores.headline, *scores.figures.values(), *scores.by_type])
    yield from _published(result)
    yield from _letters(result.outcomes)
    yield from _wrong(result, plan, wrong)
    made = json.dumps(dict(result.settings), indent=1, ensure_ascii=False)
    yield f"<h2>How it was made</h2><pre>{escape(made)}</pre>"
    yield f'<p class="faint">{escape(task.source)}</p></body></html>\n'


def percent(share: float) -> str:
    """ "58.9 %", or "–" for no number."""
    return f"{100 * share:.1f} %" if math.isfinite(share) else "–"


def _interval(figure: Figure) -> str:
    if not math.isfinite(figure.low):
        return ""
    return f' <span class="faint">95 % interval {percent(figure.low)} to {percent(figure.high)}</span>'


def _figures(figures: Sequence[Figure]) -> str:
    cells = [
        f"<tr><td>{escape(f.name or '(no type)')}</td><td>{percent(f.value)}</td>"
        f"<td>{percent(f.low)}</td><td>{percent(f.high)}</td>"
        f"<td>{f.rows}</td><td>{f.unparsed}</td><td>{f.missing}</td><td>{escape(f.unit)}</td></tr>"
        for f in figures
    ]
    head = "<tr><th>what</th><th>score</th><th>low</th><th>high</th><th>replies</th><th>unparsed</th><th>missing</th>"
    return f"<table>{head}<th>unit</th></tr>{''.join(cells)}</table>"


def _published(result: Result) -> Iterator[str]:
    """Published numbers with ours among them: of the headline, and of each other figure that has any."""
    if not result.task.references:
        return
    yield "<h2>Beside published numbers</h2>"
    for of in dict.fromkeys(reference.of for reference in result.task.references):
        ours = result.scores.headline if not of else result.scores.figures.get(of)
        if ours is None:
            continue
        rows = [(r.value, r.model, r.source, r.note, False) for r in result.task.references if r.of == of]
        if math.isfinite(ours.value):
            rows.append((ours.value, result.name, "this run", "", True))
        rows.sort(key=lambda row: -row[0])
        yield bars(
            f"Published: {ours.name}",
            [
                Bar(model, value, ours.low if mine else math.nan, ours.high if mine else math.nan, "", mine)
                for value, model, _, _, mine in rows
            ],
            result.task.chance,
        )
        yield f"<table><tr><th>{escape(ours.name)}</th><th>score</th><th>where</th><th>note</th></tr>"
        for value, model, source, note, mine in rows:
            yield '<tr class="ours">' if mine else "<tr>"
            yield f"<td>{escape(model)}</td><td>{percent(value)}</td>"
            yield f'<td class="text">{escape(source)}</td><td class="text">{escape(note)}</td></tr>'
        yield "</table>"


def _letters(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """How often each letter is right, and how often it is said."""
    asked = [o for o in outcomes if o.row.choices is not None and o.status == SCORED]
    if not asked:
        return
    letters = sorted({letter for o in asked for letter in o.row.choices})
    right, said = Counter(o.row.answer for o in asked), Counter(o.parsed for o in asked)
    yield "<h2>Letters</h2>"
    yield pairs(
        "Letters that are right and that are said",
        letters,
        [right[letter] for letter in letters],
        [said[letter] for letter in letters],
        ("right", "said"),
    )


# --- wrong answers ---------------------------------------------------------------------------------------------------


def _wrong(result: Result, plan: Plan, most: int) -> Iterator[str]:
    chosen = worst(result.outcomes, most)
    if not chosen:
        return
    total = sum(o.status != MISSING and o.score < 0.5 for o in result.outcomes)
    yield f"<h2>Wrong answers</h2><p>{len(chosen)} of {total}, spread over the types.</p>"
    for outcome in chosen:
        yield from _card(outcome, plan)


def worst(outcomes: Sequence[Outcome], most: int) -> list[Outcome]:
    """Wrong answers, one of each type in turn."""
    by_type: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.status != MISSING and outcome.score < 0.5:
            by_type.setdefault(outcome.row.type, []).append(outcome)
    turns = [group[at] for at in range(most) for group in by_type.values() if at < len(group)]
    return turns[:most]


def _card(outcome: Outcome, plan: Plan) -> Iterator[str]:
    row = outcome.row
    yield f'<div class="card"><p class="faint">{escape(row.type)} · {escape(row.key)} · {escape(row.video)}</p>'
    for at_s, picture in _thumbnails(outcome, plan):
        yield f'<img alt="frame at {at_s:.1f} s" title="{at_s:.1f} s" src="data:image/jpeg;base64,{picture}">'
    yield f"<p>{escape(row.question)}</p>"
    if row.choices is None:
        said = "no number" if outcome.parsed is None else f"{outcome.parsed:g}"
        yield f'<p><span class="right">{row.number:g}</span> is right, said was <span class="wrong">{said}</span></p>'
    else:
        yield "<p>"
        for letter, text in row.choices.items():
            kind = "right" if letter in row.letters else "wrong" if letter == outcome.parsed else ""
            mark = {"right": " (right)", "wrong": " (said)"}.get(kind, "")
            yield f'<span class="{kind}">{escape(letter)}. {escape(text)}{mark}</span><br>'
        yield "</p>" if outcome.parsed is not None else "names no option</p>"
    reply = outcome.reply or ""
    cut = "" if len(reply) <= _REPLY_CHARACTERS else f" … ({len(reply)} characters)"
    yield f"<pre>{escape(reply[:_REPLY_CHARACTERS])}{cut}</pre></div>"


def _thumbnails(outcome: Outcome, plan: Plan) -> Iterator[tuple[float, str]]:
    """Seconds and base64 of a few small pictures; none where the video is not there."""
    if plan.videos is None:
        return
    policy = replace(
        plan.frames, kind="uniform", count=_THUMBNAILS, order="ordered", max_pixels=_THUMBNAIL_PIXELS, multiple=2
    )
    try:
        clip = clip_of(plan.videos, outcome.row, policy)
        pictures = clip.decode()
    except MissingVideoError:
        return
    for at_s, picture in zip(clip.times_s, pictures, strict=False):
        yield at_s, base64.b64encode(jpeg(picture, _THUMBNAIL_QUALITY)).decode("ascii")
