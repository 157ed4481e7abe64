"""Plots of a report as inline SVG: no package is needed, and nothing is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_LEFT, _RIGHT, _ROW, _BAR, _TOP, _WIDTH = 250, 70, 24, 14, 26, 860
_STYLE = 'font-family="sans-serif" font-size="12"'
_INK, _FAINT, _PLAIN, _OURS, _SECOND = "#222222", "#d5d9de", "#9fb4cc", "#2563a8", "#d07a2d"


@dataclass(frozen=True)
class Bar:
    """A bar of a share between 0 and 1; NaN draws none.

    Attributes:
        name: Left of it. value: Its length. low, high: Ends of its whisker, NaN for none.
        note: Right of it. ours: Drawn in the strong colour.
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    note: str = ""
    ours: bool = True


def bars(title: str, items: Sequence[Bar], chance: float | None = None) -> str:
    """Horizontal bars from 0 to 100 %, with whiskers; a dashed line where guessing is."""
    height = _TOP + _ROW * len(items) + 26
    out = [_head(title, height)]
    for percent in range(0, 101, 20):
        x = _x(percent / 100)
        out.append(_line(x, _TOP - 4, x, height - 22, _FAINT))
        out.append(_text(x, height - 7, f"{percent} %", "middle"))
    for at, bar in enumerate(items):
        middle = _TOP + _ROW * at + _ROW / 2
        out.append(_text(_LEFT - 8, middle + 4, _short(bar.name, 36), "end"))
        if not math.isfinite(bar.value):
            out.append(_text(_LEFT + 6, middle + 4, "no replies", "start"))
            continue
        wide = max(_x(bar.value) - _LEFT, 0.5)
        colour = _OURS if bar.ours else _PLAIN
        out.append(
            f'<rect x="{_LEFT}" y="{middle - _BAR / 2:.1f}" width="{wide:.1f}" height="{_BAR}" fill="{colour}"/>'
        )
        end = bar.value
        if math.isfinite(bar.low) and math.isfinite(bar.high):
            end = max(end, bar.high)
            out.append(_line(_x(bar.low), middle, _x(bar.high), middle, _INK, 1.4))
            out += [_line(_x(v), middle - 4, _x(v), middle + 4, _INK, 1.4) for v in (bar.low, bar.high)]
        said = f"{100 * bar.value:.1f}" + (f"  {bar.note}" if bar.note else "")
        out.append(_text(_x(end) + 6, middle + 4, said, "start"))
    if chance is not None:
        out.append(_line(_x(chance), _TOP - 4, _x(chance), height - 22, _SECOND, 1.4, "5 4"))
        out.append(_text(_x(chance), _TOP - 9, f"chance {100 * chance:.0f}", "middle"))
    return "".join([*out, "</svg>"])


def pairs(
    title: str, names: Sequence[str], first: Sequence[int], second: Sequence[int], legend: tuple[str, str]
) -> str:
    """Two counts a name, side by side, as columns."""
    height, base, wide = 190, 150, 44
    most = max([1, *first, *second])
    out = [_head(title, height), _line(40, base, 40 + (2 * wide + 24) * len(names), base, _INK)]
    for at, name in enumerate(names):
        x = 52 + at * (2 * wide + 24)
        for step, (count, colour) in enumerate(((first[at], _PLAIN), (second[at], _OURS))):
            tall = 100 * count / most
            out.append(
                f'<rect x="{x + step * wide}" y="{base - tall:.1f}" width="{wide - 6}" height="{tall:.1f}"'
                f' fill="{colour}"/>'
            )
            out.append(_text(x + step * wide + wide / 2 - 3, base - tall - 4, str(count), "middle"))
        out.append(_text(x + wide - 3, base + 16, name, "middle"))
    for at, (text, colour) in enumerate(zip(legend, (_PLAIN, _OURS), strict=True)):
        out.append(f'<rect x="{40 + 180 * at}" y="{height - 14}" width="11" height="11" fill="{colour}"/>')
        out.append(_text(56 + 180 * at, height - 4, text, "start"))
    return "".join([*out, "</svg>"])


def _x(share: float) -> float:
    return _LEFT + min(max(share, 0.0), 1.0) * (_WIDTH - _LEFT - _RIGHT)


def _head(title: str, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        f' role="img" {_STYLE}><title>{escape(title)}</title>'
    )


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, width: float = 1.0, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashed}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}">{escape(text)}</text>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
