"""A PNG of a scene and its answers: the tracks from above, and under it one bar of time for each question."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError
from dsr_core.files import whole_file
from dsr_core.reasoning.answer import Answer
from dsr_core.scene import Scene
from dsr_core.view.top_view import INK, MUTED, draw_top_view

_WIDTH_IN, _ROW_IN = 13.0, 1.02
_STATE_COLORS = {
    "increasing": "#3b7dc4",
    "decreasing": "#e4572e",
    "constant": "#b9bec6",
    "moving": "#2ca05a",
    "still": "#b9bec6",
    "first_faster": "#9456c8",
    "second_faster": "#009ea8",
    "same": "#b9bec6",
}
#: Directions go round the colour circle: front, left, behind, right and what lies in between.
_DIRECTION_COLORS = {
    "front": "#009ea8",
    "front|left": "#2ca05a",
    "left": "#78ac28",
    "behind|left": "#c9a227",
    "behind": "#e07b39",
    "behind|right": "#d6377a",
    "right": "#9456c8",
    "front|right": "#3b7dc4",
}
_OTHER_COLORS = ("#7e6a3c", "#5664d6", "#e69f00", "#1f77b4")


def save_picture(path: str | Path, scene: Scene, answers: list[tuple[str, Answer]]) -> Path:
    """Writes the picture, whole or not at all.

    Args:
        path: File to write; the folder is made.
        scene: What is drawn from above.
        answers: (question, answer) pairs, one row each.

    Raises:
        DependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError(f"pictures need matplotlib ({error}); `pip install dsr_ros[view]`") from error

    path = Path(path)
    top_in = _top_height(scene)
    rows_in = [_ROW_IN + 0.2 * (_answer_lines(answer).count("\n")) for _, answer in answers]
    height = 0.75 + top_in + 0.75 + sum(rows_in) + (0.55 if answers else 0.1)
    figure = Figure(figsize=(_WIDTH_IN, height), dpi=110, facecolor="white")
    canvas = FigureCanvasAgg(figure)

    def place(left, top, width, tall):
        return figure.add_axes((left / _WIDTH_IN, 1 - (top + tall) / height, width / _WIDTH_IN, tall / height))

    draw_top_view(place(0.75, 0.75, _WIDTH_IN - 2.0, top_in), place(_WIDTH_IN - 1.0, 0.75, 0.16, top_in), scene)
    figure.text(
        0.75 / _WIDTH_IN, 1 - 0.3 / height, _headline(scene), fontsize=14, fontweight="bold", color=INK, va="center"
    )
    figure.text(
        (_WIDTH_IN - 1.25) / _WIDTH_IN,
        1 - 0.3 / height,
        "circle: start   box with arrow: end and heading   hatched: parked   dotted: not seen   cone: camera's view",
        fontsize=9,
        color=MUTED,
        va="center",
        ha="right",
    )
    top, end_s = 0.75 + top_in + 0.75, _end(scene, answers)
    colors = _state_colors(answers)
    for i, ((question, answer), tall) in enumerate(zip(answers, rows_in, strict=True)):
        axes = place(0.75, top + 0.27, _WIDTH_IN - 2.9, 0.3)
        _draw_row(axes, question, answer, end_s, colors, last=i == len(answers) - 1)
        top += tall
    with whole_file(path) as partial:
        canvas.print_png(str(partial))
    return path


def _top_height(scene: Scene) -> float:
    """Inches that give the tracks' extent an equal scale on both axes, within bounds."""
    low, high = _extent(scene)
    width, tall = np.maximum(high - low, 1.0)
    return float(np.clip((_WIDTH_IN - 2.0) * tall / width, 3.6, 7.5))


def _extent(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    points = [t.positions_world_m[:, :2] for t in scene.tracks.values() if len(t)]
    for T in (scene.T_world_base, scene.T_world_camera):
        if T is not None:
            points.append(T[:, :2, 3])
    points = np.concatenate(points) if points else np.zeros((1, 2))
    return points.min(axis=0) - 1.5, points.max(axis=0) + 1.5


def _headline(scene: Scene) -> str:
    n = len(scene.tracks)
    return f"{n} {'thing' if n == 1 else 'things'} in {scene.end_s:.0f} s, seen from above"


def _end(scene: Scene, answers: list[tuple[str, Answer]]) -> float:
    ends = [a.window[1] for _, a in answers if a.window] + [s.end for _, a in answers for s in a.states]
    return max([scene.end_s, *ends, 1e-3])


def _state_colors(answers: list[tuple[str, Answer]]) -> dict[str, str]:
    colors = _STATE_COLORS | _DIRECTION_COLORS
    known = len(colors)
    for _, answer in answers:
        for state in answer.states:
            flat = state.label.removesuffix("|above").removesuffix("|below")
            if state.label not in colors:
                colors[state.label] = colors.get(flat) or _OTHER_COLORS[(len(colors) - known) % len(_OTHER_COLORS)]
    return colors


def _answer_lines(answer: Answer) -> str:
    text = answer.answer if answer.declined is None else f"declined, {answer.declined.code}: {answer.declined.message}"
    lines = textwrap.wrap(text, 138)
    return "\n".join(lines[:2]) + (" …" if len(lines) > 2 else "")


def _numbers(answer: Answer) -> str:
    if answer.declined is not None:
        return ""
    parts = []
    if answer.value is not None:
        degrees = answer.unit == "rad"
        scale, digits, unit = (180 / np.pi, 0, "°") if degrees else (1.0, 2, f" {answer.unit or ''}")
        value = f"{answer.value * scale:.{digits}f}"
        if answer.sigma is not None:
            value += f" ± {answer.sigma * scale:.{digits}f}"
        parts.append(f"{value}{unit}".strip())
    parts.append("over 99 % sure" if answer.confidence > 0.99 else f"{100 * answer.confidence:.0f} % sure")
    return "\n".join(parts)


def _draw_row(axes, question: str, answer: Answer, end_s: float, colors: dict[str, str], last: bool) -> None:
    axes.set_xlim(0, end_s)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    for side in ("top", "left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_facecolor("#f2f3f5")
    axes.tick_params(axis="x", colors=MUTED, labelsize=8, length=3 if last else 0, labelbottom=last)
    axes.text(0, 1.18, question, transform=axes.transAxes, fontsize=11, fontweight="bold", color=INK, va="bottom")
    if answer.declined is not None:
        axes.axvspan(0, end_s, facecolor="#eceef0", edgecolor="#d9dce1", hatch="///", linewidth=0)
    elif answer.window is not None:
        axes.axvspan(*answer.window, color="#dfe2e6", linewidth=0)
    for state in answer.states:
        _draw_state(axes, state, end_s, colors[state.label])
    style = {"transform": axes.transAxes, "va": "top", "linespacing": 1.3}
    axes.text(0, -0.8 if last else -0.22, _answer_lines(answer), fontsize=9.5, color=INK, **style)
    axes.text(
        1.012, 0.5, _numbers(answer), transform=axes.transAxes, fontsize=9.5, color=MUTED, va="center", linespacing=1.35
    )
    if last:
        axes.text(1.012, -0.5, "seconds", transform=axes.transAxes, fontsize=8, color=MUTED, va="center")


def _draw_state(axes, state, end_s: float, color: str) -> None:
    label = state.label.replace("|", " + ").replace("_", " ")
    if state.end - state.start < 1e-6:
        axes.plot([state.start, state.start], [0.0, 1.0], color=color, linewidth=4, solid_capstyle="butt")
        axes.text(state.start + 0.008 * end_s, 0.48, label, va="center", fontsize=9, color=color, fontweight="bold")
        return
    width = max(state.end - state.start, 0.004 * end_s)
    axes.barh(0.5, width, left=state.start, height=1.0, color=color, edgecolor="white", linewidth=1.2)
    if width / end_s > 0.0095 * len(label):
        ink = INK if color in ("#b9bec6", "#e69f00", "#c9a227") else "white"
        axes.text(state.start + width / 2, 0.48, label, ha="center", va="center", fontsize=9, color=ink, clip_on=True)
