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
    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    x, loss = (np.array([line[name] for line in steps]) for name in ("step", "loss"))
    width = max(1, round(_SMOOTH * len(loss)))
    above.plot(x, loss, color="tab:blue", alpha=0.3 if width > 1 else 1.0, linewidth=1, label="loss of a step")
    if width > 1:
        above.plot(x, running_mean(loss, width), color="tab:blue", label=f"mean of {width} steps")
    above.set_ylabel("loss (nats a reply token)")
    if tested:
        beside = above.twinx()
        beside.plot(
            [t["step"] for t in tested], [100 * t["evaluation"]["accuracy"] for t in tested], "o-", color="tab:red"
        )
        beside.set_ylabel("held-out accuracy (%)", color="tab:red")
        beside.set_ylim(0, 100)
    above.legend(loc="upper right")
    above.set_title(title)
    for name, color in (("lr", "tab:green"), ("geometry_lr", "tab:orange")):
        rates = [(line["step"], line[name]) for line in steps if line.get(name) is not None]
        if rates:
            below.plot(*zip(*rates, strict=True), color=color, label=name.replace("_", " "))
    below.set_xlabel("step")
    below.set_ylabel("learning rate")
    below.legend(loc="upper right")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=120)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """(N,) mean of each value and up to `width` - 1 before it."""
    total = np.cumsum(np.insert(np.asarray(values, float), 0, 0.0))
    ends = np.arange(1, len(total))
    starts = np.maximum(ends - width, 0)
    return (total[ends] - total[starts]) / (ends - starts)
