"""The tracks of a scene from above: colour is time, parked things are hatched, the robot's way has camera cones."""

from __future__ import annotations

import numpy as np

from dsr_core.errors import DeclineError
from dsr_core.geometry import transforms as tf
from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.engine import ResolvedQuery, find
from dsr_core.reasoning.quantities import Viewer
from dsr_core.scene import Scene, Track
from dsr_core.view.colors import colors_of

INK, MUTED = "#23262d", "#6b7280"
#: More tracks than this are drawn thin and without a label.
MAX_LABELS = 14
#: Gaps between samples that are longer than this are not joined.
MAX_GAP_S = 1.5


def draw_top_view(axes, time_axes, scene: Scene) -> None:
    """Draws the scene on `axes` and the scale of time on `time_axes` (matplotlib axes)."""
    import matplotlib as mpl

    axes.set_aspect("equal", adjustable="datalim")
    axes.set_facecolor("#fafbfc")
    axes.grid(color="#e3e6ea", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=8)
    for spine in axes.spines.values():
        spine.set_color("#d3d7dc")
    axes.set_xlabel(f"x in {scene.world_frame}, {'m' if scene.metric else 'units'}", fontsize=9, color=MUTED)
    axes.set_ylabel("y", fontsize=9, color=MUTED)
    scale = mpl.colors.Normalize(0.0, max(scene.end_s, 1e-3))
    cmap = mpl.colormaps["viridis_r"]
    tracks = sorted((t for t in scene.tracks.values() if len(t) > 1), key=len, reverse=True)
    colors = {i: tuple(c / 255 for c in rgb) for i, rgb in colors_of(t.id for t in tracks).items()}
    for track in reversed(tracks[MAX_LABELS:]):
        axes.plot(*track.positions_world_m[:, :2].T, color="#c2c7cf", linewidth=1.0, zorder=2)
    labels = []
    for track in tracks[:MAX_LABELS]:
        parked = not moves(scene, track)
        labels.append(_draw_track(axes, track, parked, colors[track.id], scale, cmap))
    labels += _draw_ego(axes, scene, scale, cmap)
    _place_labels(axes, labels)
    bar = mpl.colorbar.ColorbarBase(time_axes, cmap=cmap, norm=scale)
    bar.outline.set_visible(False)
    bar.set_label("time, s", fontsize=9, color=MUTED)
    time_axes.tick_params(colors=MUTED, labelsize=8)


def moves(scene: Scene, track: Track) -> bool:
    """Whether the track moves in the world at any time; one that cannot be judged counts as still."""
    try:
        found = find(scene, ResolvedQuery("motion", Agent(track.id, track), None, Viewer(Agent("map"))))
    except DeclineError:
        return False
    return any(state.label == "moving" for state in found.states)


def _pieces(stamps_s: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Line pieces (n, 2, 2) between neighbours without a gap, and their times (n,)."""
    joined = np.diff(stamps_s) <= MAX_GAP_S
    pieces = np.stack([xy[:-1], xy[1:]], axis=1)
    return pieces[joined], ((stamps_s[1:] + stamps_s[:-1]) / 2)[joined]


def _draw_track(axes, track: Track, parked: bool, color, scale, cmap) -> tuple:
    from matplotlib.collections import LineCollection

    xy = track.positions_world_m[:, :2]
    middle = np.median(xy, axis=0)
    if parked:
        _draw_footprint(axes, track, len(track) // 2, middle, color, hatch="////")
        return middle, f"{track.label} {track.id}, parked", color
    pieces, times = _pieces(track.stamps_s, xy)
    axes.add_collection(LineCollection(pieces, colors="white", linewidths=6.5, zorder=3, capstyle="round"))
    axes.add_collection(LineCollection(pieces, colors=cmap(scale(times)), linewidths=4.0, zorder=3.1, capstyle="round"))
    unseen = ~track.observed
    if unseen.any():
        axes.plot(
            *np.where(unseen[:, None], xy, np.nan).T, color="white", linewidth=1.8, zorder=3.2, linestyle=(0, (1, 1))
        )
    axes.plot(*xy[0], "o", color="white", markeredgecolor=color, markersize=7, markeredgewidth=2, zorder=5)
    _draw_footprint(axes, track, len(track) - 1, xy[-1], color)
    return xy[-1], f"{track.label} {track.id}", color


def _draw_footprint(axes, track: Track, index: int, centre: np.ndarray, color, hatch: str | None = None) -> None:
    from matplotlib.patches import Polygon

    length, width = (s if np.isfinite(s) else 0.6 for s in track.size_lwh_m[:2])
    heading = track.orientations_xyzw[index]
    R = tf.matrices_from_quaternions(heading)[:2, :2] if np.isfinite(heading).all() else np.eye(2)
    corners = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) / 2 * (length, width)
    style = {"facecolor": (*color, 0.18 if hatch else 0.32), "edgecolor": color, "linewidth": 1.6, "zorder": 4}
    axes.add_patch(Polygon(centre + corners @ R.T, closed=True, hatch=hatch, **style))
    if np.isfinite(heading).all() and not hatch:
        nose = centre + R @ [length / 2 + 0.45, 0.0]
        axes.annotate("", nose, centre, arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.6}, zorder=4.5)


def _draw_ego(axes, scene: Scene, scale, cmap) -> list[tuple]:
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Polygon

    T = scene.T_world_base if scene.T_world_base is not None else scene.T_world_camera
    if T is None or len(T) < 2:
        return []
    xy = T[:, :2, 3]
    pieces, times = _pieces(scene.stamps_s, xy)
    axes.add_collection(LineCollection(pieces, colors=INK, linewidths=6.0, zorder=3.3, capstyle="round"))
    axes.add_collection(LineCollection(pieces, colors=cmap(scale(times)), linewidths=2.6, zorder=3.4, capstyle="round"))
    if scene.T_world_camera is not None:
        half = np.arctan(scene.image_size[0] / 2 / scene.K[0, 0]) if scene.K is not None and scene.image_size else 0.6
        reach = 0.16 * max(np.ptp(axes.dataLim.intervalx), 6.0)
        for index in np.unique(np.linspace(0, len(T) - 1, 3).round().astype(int)):
            pose = scene.T_world_camera[index]
            turn = np.arctan2(pose[1, 2], pose[0, 2]) + np.linspace(-half, half, 16)
            arc = pose[:2, 3] + reach * np.stack([np.cos(turn), np.sin(turn)], axis=1)
            color = cmap(scale(scene.stamps_s[index]))
            axes.add_patch(
                Polygon(
                    np.vstack([pose[:2, 3], arc]),
                    facecolor=(*color[:3], 0.13),
                    edgecolor=(*color[:3], 0.7),
                    linewidth=1,
                )
            )
    axes.plot(*xy[-1], "s", color=INK, markersize=8, zorder=5)
    return [(xy[-1], "robot", (0.137, 0.149, 0.176))]


def _place_labels(axes, labels: list[tuple]) -> None:
    """Writes the labels above or below their points, whichever is farther from the labels set before."""
    span = max(np.ptp(axes.dataLim.intervaly), np.ptp(axes.dataLim.intervalx) * 0.4, 1.0)
    placed = []
    for point, text, color in sorted(labels, key=lambda label: -label[0][1]):
        options = [np.array([0.0, 0.1 * span]), np.array([0.0, -0.1 * span])]
        crowd = [min((np.hypot(*((point + o - p) * (0.35, 1.0))) for p in placed), default=np.inf) for o in options]
        spot = point + options[0 if crowd[0] >= min(crowd[1], 0.12 * span) else 1]
        placed.append(spot)
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": color, "linewidth": 1.2, "alpha": 0.93}
        axes.text(*spot, text, ha="center", va="center", fontsize=9.5, color=INK, bbox=box, zorder=6)
