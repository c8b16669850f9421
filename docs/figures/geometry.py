"""Errors of gradients per metre: on a distorted grid around the pole, and over a seamount."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import xgrad

COLOURS = {2: "C0", 4: "C1", 6: "C2"}
SIDES = np.array([21, 41, 81, 161, 321])
COLUMNS = np.array([41, 81, 161, 321, 641])
EAST, NORTH = {"units": "degrees_east"}, {"units": "degrees_north"}


class Patch:
    """f = 2xyz on a distorted patch of the unit sphere that holds the pole and the date line."""

    def __init__(self, count: int) -> None:
        i, j = np.meshgrid(*[np.linspace(-1, 1, count)] * 2)
        u = 0.4 * (i + 0.1 * np.sin(np.pi * j) + 0.037)
        v = 0.4 * (j + 0.1 * np.sin(np.pi * i) + 0.021 * i)
        x, y, z = self.position = np.stack([2 * u, 2 * v, 1 - u * u - v * v]) / (1 + u * u + v * v)
        self.lon, self.lat = np.arctan2(y, x), np.arcsin(z)
        self.east = np.stack([-np.sin(self.lon), np.cos(self.lon), 0 * x])
        self.north = np.cross(self.position, self.east, axis=0)
        self.field, slope = 2 * x * y * z, 2 * np.stack([y * z, x * z, x * y])
        self.exact = np.stack([(slope * self.east).sum(axis=0), (slope * self.north).sum(axis=0)])

    def error(self, found: np.ndarray) -> float:
        """Return the largest error, relative to the largest gradient."""
        return float(abs(found - self.exact).max() / np.hypot(*self.exact).max())

    def chord(self, order: int) -> float:
        """Return the error of the geometry."""
        degrees = {
            "lon": (("j", "i"), np.degrees(self.lon), EAST),
            "lat": (("j", "i"), np.degrees(self.lat), NORTH),
        }
        f = xr.DataArray(self.field, degrees, ("j", "i"), name="f")
        found = f.grad.compute(geometry=xgrad.Curvilinear(figure=xgrad.Sphere(1.0)), order=order)
        return self.error(np.stack([found["df_dx"], found["df_dy"]]))

    def coarse_metric(self) -> float:
        """Return the error of a field at order 4 with positions at order 2."""
        tangents = [_both(part, 2) for part in self.position]
        along = [
            [sum(t[k] * e for t, e in zip(tangents, unit, strict=True)) for unit in (self.east, self.north)]
            for k in (0, 1)
        ]
        return self.error(_solved(_both(self.field, 4), *along))

    def of_angles(self) -> float:
        """Return the error where longitudes and latitudes are differentiated instead of positions."""
        lon, lat = _both(self.lon, 4), _both(self.lat, 4)
        return self.error(
            _solved(_both(self.field, 4), *[[lon[k] * np.cos(self.lat), lat[k]] for k in (0, 1)])
        )


def _both(values: np.ndarray, order: int) -> list[np.ndarray]:
    """Return the derivatives by the first and by the second index of a grid."""
    return xgrad.gradient(values, order=order, edge_order=order)[::-1]


def _solved(slopes: list[np.ndarray], one: list[np.ndarray], other: list[np.ndarray]) -> np.ndarray:
    """Solve the 2x2 system at every point."""
    (a, b), (c, d) = one, other
    return np.stack([d * slopes[0] - b * slopes[1], a * slopes[1] - c * slopes[0]]) / (a * d - b * c)


def _orders(panel: Axes, counts: np.ndarray, errors: Callable[[int], list[float]]) -> None:
    """Draw the errors of each order, and slopes of exactly these orders."""
    for order, colour in COLOURS.items():
        found = errors(order)
        panel.loglog(counts, found, "o-", color=colour, markersize=3.5, label=f"order {order}")
        slope = found[-2] * (counts / counts[-2]) ** -float(order)
        panel.loglog(counts, slope, color="0.75", linewidth=0.8, zorder=0)


def _around_the_pole(panel: Axes) -> None:
    """Errors on the patch."""
    patches = [Patch(side) for side in SIDES]
    _orders(panel, SIDES, lambda order: [patch.chord(order) for patch in patches])
    coarse, angles = [patch.coarse_metric() for patch in patches], [patch.of_angles() for patch in patches]
    panel.loglog(SIDES, coarse, "s--", color="C1", markersize=3.5, label="order 4, positions of order 2")
    panel.loglog(SIDES, angles, "x:", color="0.4", label="order 4, of longitudes and latitudes")
    panel.set_xlabel("points along a side")
    panel.set_ylabel("largest error of the gradient")
    panel.set_title("a distorted grid around the pole")
    panel.legend(fontsize="x-small", loc="lower left")


def _seamount(columns: int) -> tuple[xr.DataArray, xr.DataArray]:
    """Return a field over a seamount on 40 levels, and its derivative at constant height."""
    x = xr.DataArray(np.linspace(-200e3, 200e3, columns), dims="x", attrs={"units": "m"})
    s = xr.DataArray(np.linspace(-1.0, 0.0, 40), dims="s")
    z = s * (4000 - 3500 * np.exp(-((x / 40e3) ** 2)))
    f = 10 * np.exp(z / 800) + 2 * np.sin(x / 50e3) * np.exp(z / 1500)
    return f.assign_coords(x=x, s=s, z=z).rename("f"), 2 * np.cos(x / 50e3) / 50e3 * np.exp(z / 1500)


def _over_a_seamount(panel: Axes) -> None:
    """Errors over the seamount."""
    cases = [_seamount(columns) for columns in COLUMNS]

    def errors(order: int, geometry: object) -> list[float]:
        found = [f.grad.compute("x", geometry=geometry, order=order)["df_dx"] - exact for f, exact in cases]
        return [float(abs(a).max() / abs(exact).max()) for a, (_, exact) in zip(found, cases, strict=True)]

    _orders(panel, COLUMNS, lambda order: errors(order, xgrad.TerrainFollowing("z", vertical="s")))
    panel.loglog(COLUMNS, errors(4, None), "x:", color="0.4", label="along the levels")
    panel.set_xlabel("columns")
    panel.set_ylabel("largest error of the derivative")
    panel.set_title("levels over a seamount")
    panel.legend(fontsize="x-small", loc="lower left")


def draw() -> Figure:
    """Draw the figure."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _around_the_pole(left)
    _over_a_seamount(right)
    for panel, counts in ((left, SIDES), (right, COLUMNS)):
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.minorticks_off()
    return figure
