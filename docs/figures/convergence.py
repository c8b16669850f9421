"""Error against spacing for every order of accuracy: inside and at the edges, on three kinds of axes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

import xgrad

ORDERS = (2, 4, 6, 8)
POINTS = np.array([11, 21, 41, 81, 161, 321, 641])


def axes_of(points: int) -> dict[str, np.ndarray]:
    """Return positions on [-1, 1] of three kinds."""
    ladder = np.linspace(-1, 1, points)
    return {
        "uniform": ladder,
        "stretched (tanh)": np.tanh(1.5 * ladder) / np.tanh(1.5),
        "Chebyshev": -np.cos(np.pi * np.arange(points) / (points - 1)),
    }


def errors(kind: str, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest error inside and at the ends, for each number of points."""
    inside, ends = [], []
    for points in POINTS:
        x = axes_of(points)[kind]
        data, exact = np.sin(2 * x + 0.3), 2 * np.cos(2 * x + 0.3)
        error = abs(xgrad.gradient(data, x, order=order, edge_order=order) - exact)
        half = order // 2
        inside.append(error[half:-half].max() if points > order else np.nan)
        ends.append(max(error[:half].max(), error[-half:].max()))
    return np.array(inside), np.array(ends)


def draw() -> Figure:
    """Draw the figure."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for panel, kind in zip(panels, axes_of(3), strict=True):
        for order, colour in zip(ORDERS, ("C0", "C1", "C2", "C3"), strict=True):
            inside, ends = errors(kind, order)
            panel.loglog(POINTS, inside, "o-", color=colour, markersize=3.5, label=f"order {order}")
            panel.loglog(POINTS, ends, "s--", color=colour, markersize=3, linewidth=0.9)
            scale = inside[2] * (POINTS / POINTS[2]) ** -float(order)
            panel.loglog(POINTS, scale, color="0.75", linewidth=0.8, zorder=0)
        panel.set_title(kind)
        panel.set_xlabel("points")
        panel.set_ylim(3e-16, 3)
    panels[0].set_ylabel("largest error of the first derivative")
    panels[0].legend(loc="lower left", fontsize="small")
    return figure
