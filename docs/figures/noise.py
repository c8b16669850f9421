"""Where accuracy ends: rounding as the spacing shrinks, and noise in the data near an edge."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import xgrad
from xgrad.schemes import scheme

COLOURS = {2: "C0", 4: "C1", 8: "C3"}


def _rounding(panel: Axes) -> None:
    """Errors for data of float64 and of float32 as the spacing shrinks."""
    spacings = np.logspace(-5, -0.5, 46)
    for order, colour in COLOURS.items():
        for dtype, style in ((np.float64, "-"), (np.float32, "--")):
            largest = []
            for h in spacings:
                x = 0.3 + h * np.arange(-100, 101)
                data = np.sin(x).astype(dtype)
                error = xgrad.gradient(data.astype(np.float64), h, order=order, edge_order=order) - np.cos(x)
                largest.append(abs(error[10:-10]).max())
            panel.loglog(spacings, largest, style, color=colour, label=f"order {order}, {np.dtype(dtype)}")
    for dtype in (np.float64, np.float32):
        panel.loglog(spacings, np.finfo(dtype).eps / 2 / spacings, ":", color="0.4")
    panel.set_xlabel("spacing h")
    panel.set_ylabel("largest error inside")
    panel.set_ylim(1e-14, 1e4)  # room for the legend
    panel.set_title("rounding of the data")
    panel.legend(fontsize="x-small", loc="upper center", ncols=2)


def _noise(panel: Axes) -> None:
    """Standard deviation of the derivative of white noise, measured and from the weights."""
    size, samples = 24, 20000
    noise = np.random.default_rng(3).standard_normal((samples, size))
    for order, colour in COLOURS.items():
        measured = xgrad.gradient(noise, axis=1, order=order, edge_order=order).std(axis=0)
        stencils = scheme(np.vstack([np.arange(size), np.zeros(size)]), step=1.0, order=order)
        rows = [stencils.edges.get(row, stencils.interior) for row in range(size)]
        panel.semilogy([_norm(row) for row in rows], "-", color=colour, label=f"order {order}")
        panel.semilogy(measured, "o", color=colour, markersize=3.5)
    panel.set_xlabel("point")
    panel.set_ylabel("noise of the derivative / (noise / h)")
    panel.set_title("noise in the data")
    panel.legend(fontsize="small")


def _norm(stencil: object) -> float:
    """Return what independent noise of size 1 becomes; the point itself has minus the sum of the weights."""
    weights = stencil.weights[:, 0].copy()  # type: ignore[attr-defined]
    here = -stencil.start  # type: ignore[attr-defined]
    weights[here] = -np.delete(weights, here).sum()
    return float(np.linalg.norm(weights))


def draw() -> Figure:
    """Draw the figure."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _rounding(left)
    _noise(right)
    return figure
