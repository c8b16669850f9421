"""Geometries in memory: what true east and north cost beyond derivatives along coordinates."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import metpy.calc
import numpy as np
import xarray as xr

import xgrad  # noqa: F401  # it registers .grad
from xgrad.geometry import memory

from .contest import Case, Contest, disagreements, timed
from .fields import described, scaled

_MAPS = {
    "24 maps, float64": ((24, 721, 1440), "float64"),
    "24 maps, float32": ((24, 721, 1440), "float32"),
    "one map, float64": ((2048, 4096), "float64"),
    "one map, float32": ((2048, 4096), "float32"),
}
_RADIUS = 6_371_229.0


def _globe(name: str, size: str) -> tuple[xr.DataArray, xr.DataArray]:
    """Return noise around the globe, with 1-D and with 2-D longitudes and latitudes."""
    shape, dtype = _MAPS[name]
    shape = scaled(shape, size)
    rows, columns = shape[-2:]
    values = np.random.default_rng(0).standard_normal(shape, dtype=dtype)  # type: ignore[call-overload]
    east, north = {"units": "degrees_east"}, {"units": "degrees_north"}
    lat, lon = (np.arange(rows) + 0.5) * (180 / rows) - 90, np.arange(columns) * (360 / columns)
    f = xr.DataArray(values, dims=("time", "lat", "lon")[-len(shape) :], name="f")
    wide = {
        "longitude": (("lat", "lon"), np.broadcast_to(lon, (rows, columns)).copy(), east),
        "latitude": (("lat", "lon"), np.broadcast_to(lat[:, np.newaxis], (rows, columns)).copy(), north),
    }
    return f.assign_coords(lon=("lon", lon, east), lat=("lat", lat, north)), f.assign_coords(wide)


def _contest(size: str, folder: Path, *, name: str, order: int) -> Contest:
    """Horizontal derivatives of maps."""
    f, wide = _globe(name, size)
    dims, how = ["lon", "lat"], {"order": order}
    metre = np.degrees(1 / _RADIUS)
    parallels = metre / np.cos(np.radians(f["lat"])).astype(f.dtype)

    def forgetful() -> Any:
        memory.forget()
        return wide.grad.compute(dims, geometry="curvilinear", **how).values()

    calls: dict[str, Callable[[], Any]] = {
        "plain": lambda: f.grad.compute(dims, **how).values(),
        "sphere": lambda: f.grad.compute(dims, geometry="sphere", **how).values(),
        "ellipsoid": lambda: f.grad.compute(dims, geometry="ellipsoid", **how).values(),
        "curvilinear": lambda: wide.grad.compute(dims, geometry="curvilinear", **how).values(),
        "curvilinear, new grid": forgetful,
    }
    if order == 2:
        calls["xarray × metric"] = lambda: [
            f.differentiate("lon") * parallels,
            f.differentiate("lat") * metre,
        ]
        if name.startswith("one map"):
            calls["metpy"] = lambda: metpy.calc.geospatial_gradient(f)
    results: dict[str, Callable[[], Any]] = {
        one: partial(_arrays, calls[one]) for one in ("sphere", "xarray × metric") if one in calls
    }
    return Contest(
        work=f"east and north of {described(f)}, order {order}",
        measures=timed(calls),
        disagreements=lambda: disagreements(
            results, "sphere", margin=1, tolerance=1e-5 if f.dtype == np.float32 else 1e-12
        ),
        reference="plain",
    )


def _arrays(call: Callable[[], Any]) -> list[Any]:
    """Return the bare arrays of a result."""
    return [each.data for each in call()]


CASES = tuple(
    Case("geometry", f"{name}, order {order}", partial(_contest, name=name, order=order))
    for name in _MAPS
    for order in (2, 4)
)
