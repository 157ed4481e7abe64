"""The picture of audits: what each attacker reaches by type, with intervals and the line of chance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dsr_core.errors import DependencyError
from dsr_core.files import whole_file
from dsr_core.qa.audit.audit import CONFIDENCE, OVERALL, TOLERANCE, Audit

#: Rules are many; of these the best one is drawn.
BEST_RULE = "best rule"
_COLORS = ("#c44e52", "#4c72b0", "#55a868", "#8172b3")


def plot_audits(audits: Mapping[str, Audit], path: str | Path) -> Path:
    """Draws one or more audits side by side.

    Args:
        audits: By the name that the legend gives.
        path: PNG, SVG or PDF file.

    Returns:
        `path`.

    Raises:
        DependencyError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError("plots need matplotlib: pip install 'dsr_ros[qa]'") from error
    types = list(dict.fromkeys(t for audit in audits.values() for t in audit.verdicts))
    types = [t for t in types if t != OVERALL] + [OVERALL]
    columns = min(4, len(types))
    rows = -(-len(types) // columns)
    figure = Figure(figsize=(3.3 * columns + 1.2, 2.6 * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axis in axes[len(types) :]:
        axis.set_visible(False)
    attackers = _attackers(audits)
    for axis, type in zip(axes, types, strict=False):
        _draw(axis, type, audits, attackers)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(f"What blind attackers reach, with {CONFIDENCE:.0%} intervals for scenes as clusters", fontsize=11)
    path = Path(path)
    with whole_file(path) as part:
        figure.savefig(part, dpi=110, format=path.suffix[1:] or "png")
    return path


def _attackers(audits: Mapping[str, Audit]) -> list[str]:
    names = [r.attacker for audit in audits.values() for r in audit.results if r.family != "rule"]
    return [BEST_RULE, *dict.fromkeys(names)]


def _draw(axis, type: str, audits: Mapping[str, Audit], attackers: list[str]) -> None:
    height = 0.8 / len(audits)
    for number, (name, audit) in enumerate(audits.items()):
        found = {r.attacker: r for r in audit.of(type) if r.family != "rule"}
        rules = [r for r in audit.of(type) if r.family == "rule"]
        if rules:
            found[BEST_RULE] = rules[0]
        if not found:
            continue
        some = next(iter(found.values()))
        places, results = [], []
        for place, attacker in enumerate(attackers):
            if attacker in found:
                places.append(place + (number - (len(audits) - 1) / 2) * height)
                results.append(found[attacker])
        shares = [r.accuracy for r in results]
        off = [[max(r.accuracy - r.low, 0.0) for r in results], [max(r.high - r.accuracy, 0.0) for r in results]]
        axis.barh(
            places, shares, height, xerr=off, color=_COLORS[number % len(_COLORS)], label=name,
            error_kw={"elinewidth": 0.8, "ecolor": "0.25"},
        )  # fmt: skip
        axis.text(
            1.0, 1.02 + 0.08 * number, f"{audit.verdicts[type]}, n = {some.count}", ha="right", va="bottom", fontsize=7,
            color=_COLORS[number % len(_COLORS)], transform=axis.transAxes,
        )  # fmt: skip
        axis.axvline(some.chance, color="0.2", linewidth=0.9)
        axis.axvline(some.chance + TOLERANCE, color="0.2", linewidth=0.9, linestyle=":")
    axis.set_title("all types" if type == OVERALL else type, fontsize=9, loc="left")
    axis.set_yticks(range(len(attackers)), attackers, fontsize=7)
    axis.set_ylim(len(attackers) - 0.4, -0.6)
    axis.set_xlim(0.0, 1.0)
    axis.tick_params(axis="x", labelsize=7, labelbottom=True)
    axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
