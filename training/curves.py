"""The curves of a run as a picture: loss and learning rate by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dsr_core.errors import DependencyError
from dsr_core.files import whole_file

#: Width of the running mean, as a share of all steps.
_SMOOTH = 0.05


def plot(lines: Sequence[dict], path: str | Path, title: str = "") -> None:
    """Draws loss (each step, and its running mean) and learning rates of a log.

    Args:
        lines: Of the log, as `RunFolder.lines` gives them. path: The picture. title: Above it.

    Raises:
        DependencyError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise DependencyError("the plot of a run needs matplotlib: pip install 'dsr_ros[train]'") from None
    steps = [line for line in lines if "loss" in line]
    tested = [line for line in lines if line.get("evaluation", {}).get("accuracy") is not None]
    heights = (2, 1.3, 1) if tested else (2, 1)
    figure = Figure(figsize=(8, 2 * sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    above, below = parts[0], parts[-1]
    x, loss = (np.array([line[name] for line in steps]) for name in ("step", "loss"))
    width = max(1, round(_SMOOTH * len(loss)))
    above.plot(x, loss, color="tab:blue", alpha=0.3 if width > 1 else 1.0, linewidth=1, label="loss of a step")
    if width > 1:
        above.plot(x, running_mean(loss, width), color="tab:blue", label=f"mean of {width} steps")
    above.set_ylabel("loss (nats a reply token)")
    if tested:
        _accuracies(parts[1], tested)
    above.legend(loc="upper right")
    above.set_title(title)
    for name, color in (("lr", "tab:green"), ("geometry_lr", "tab:orange")):
        rates = [(line["step"], line[name]) for line in steps if line.get(name) is not None]
        if rates:
            below.plot(*zip(*rates, strict=True), color=color, label=name.replace("_", " "))
    below.set_xlabel("step")
    below.set_ylabel("learning rate")
    below.legend(loc="upper right")
    for axes in parts:
        axes.grid(alpha=0.3)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=120)


def _accuracies(axes, tested: Sequence[dict]) -> None:
    """Held-out accuracy in percent, with that of the controls and chance."""
    shares = {
        "held-out": ("o-", [t["evaluation"]["accuracy"] for t in tested]),
        "blind": ("s:", [t["evaluation"].get("blind", {}).get("accuracy") for t in tested]),
        "shuffled geometry": ("^:", [t["evaluation"].get("shuffled_geometry", {}).get("accuracy") for t in tested]),
        "chance": ("--", [t["evaluation"]["chance"] for t in tested]),
    }
    for (name, (style, values)), color in zip(
        shares.items(), ("tab:red", "tab:brown", "tab:purple", "gray"), strict=True
    ):
        found = [(t["step"], 100 * share) for t, share in zip(tested, values, strict=True) if share is not None]
        if found:
            axes.plot(*zip(*found, strict=True), style, color=color, markersize=5, label=name)
    axes.set_ylabel("right (%)")
    axes.set_ylim(-3, 103)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """(N,) mean of each value and up to `width` - 1 before it."""
    total = np.cumsum(np.insert(np.asarray(values, float), 0, 0.0))
    ends = np.arange(1, len(total))
    starts = np.maximum(ends - width, 0)
    return (total[ends] - total[starts]) / (ends - starts)
