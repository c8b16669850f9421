"""Arrays in memory, through the public functions: xgrad and its peers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import findiff
import metpy.calc
import numpy as np
import xarray as xr
import xgcm

import xgrad

from .contest import Case, Contest, disagreements, timed
from .fields import FIELDS, copy, described, field, fresh

_ROUNDING = {"float32": 1e-5, "float64": 1e-12}  # of the largest value; weights in single precision cost most


def _contest(
    size: str,
    folder: Path,
    *,
    name: str,
    stretched: bool = False,
    gaps: bool = False,
    order: int = 2,
    staggered: bool = False,
) -> Contest:
    """All axes of one field, by everybody who has the order of accuracy."""
    f = field(name, size, stretched=stretched, gaps=gaps)
    values, axes = f.values, range(f.ndim)
    points = [f[dim].values for dim in f.dims]
    distances = points if stretched else [float(at[1] - at[0]) for at in points]
    calls: dict[str, Callable[[], Any]] = {
        "xgrad": lambda: f.grad.compute(dims=f.dims, order=order).values(),
        "xgrad, skipna=False": lambda: f.grad.compute(dims=f.dims, order=order, skipna=False).values(),
        "xgrad.gradient": lambda: xgrad.gradient(values, *points, order=order),
        "findiff": lambda: [findiff.Diff(k, distances[k], acc=order)(values) for k in axes],
    }
    if order == 2:
        calls |= {
            "xarray": lambda: [f.differentiate(dim) for dim in f.dims],
            "np.gradient": lambda: np.gradient(values, *points),
            "metpy": lambda: metpy.calc.gradient(f),
        }
    if staggered:
        calls["xgcm"] = _staggered(f)
    outs = [np.empty_like(values) for _ in axes]
    floors = {"floor": lambda: copy(values, outs), "fresh floor": lambda: fresh(values, f.ndim)}
    return Contest(
        work=f"all {f.ndim} axes of {described(f)}",
        measures=timed(calls | floors),
        disagreements=lambda: disagreements(
            {one: partial(_arrays, call) for one, call in calls.items()},
            "xgrad",
            margin=order,
            tolerance=_ROUNDING[str(f.dtype)],
        ),
    )


def _arrays(call: Callable[[], Any]) -> list[Any]:
    """Return the bare arrays of a result; MetPy's are quantities."""
    found = [each.data if isinstance(each, xr.DataArray) else each for each in call()]
    return [getattr(each, "magnitude", each) for each in found]


def _staggered(f: xr.DataArray) -> Callable[[], Any]:
    """Let xgcm differentiate to the midpoints and interpolate back, which is the centred difference."""
    halves = {f"{dim}_half": f[dim].values + float(f[dim][1] - f[dim][0]) / 2 for dim in f.dims}
    steps = {f"d{dim}": (f"{dim}_half", np.gradient(f[dim].values)) for dim in f.dims}
    grid = xgcm.Grid(
        xr.Dataset({"f": f, **steps}, coords=halves),
        coords={str(dim): {"center": dim, "right": f"{dim}_half"} for dim in f.dims},
        metrics={(dim,): [f"d{dim}"] for dim in f.dims},
        padding="extend",
        autoparse_metadata=False,
    )
    return lambda: [grid.interp(grid.derivative(f, str(dim)), str(dim)) for dim in f.dims]


def _layouts(size: str, folder: Path, *, name: str) -> Contest:
    """Compare memory orders of the same field."""
    f = field(name, size)
    fortran = f.copy(data=np.asfortranarray(f.values))
    calls = {
        "C order": lambda: f.grad.compute(dims=f.dims).values(),
        "transposed": lambda: f.T.grad.compute(dims=f.dims).values(),
        "Fortran order": lambda: fortran.grad.compute(dims=f.dims).values(),
    }
    results = {
        "C order": partial(_arrays, calls["C order"]),
        "transposed": lambda: [array.T for array in _arrays(calls["transposed"])],
        "Fortran order": partial(_arrays, calls["Fortran order"]),
    }
    outs = [np.empty_like(f.values) for _ in f.dims]
    floors = {"floor": lambda: copy(f.values, outs), "fresh floor": lambda: fresh(f.values, f.ndim)}
    return Contest(
        work=f"xgrad, all {f.ndim} axes of {described(f)}",
        measures=timed(calls | floors),
        disagreements=lambda: disagreements(results, "C order", margin=0, tolerance=0.0),
        reference="C order",
    )


def _small(size: str, folder: Path) -> Contest:
    """Compare what a call costs besides the arithmetic."""
    x = xr.DataArray(np.arange(60) / 4, dims="x", attrs={"units": "m"})
    y = xr.DataArray(np.arange(40) / 4, dims="y", attrs={"units": "m"})
    values = np.random.default_rng(0).standard_normal((40, 60))
    f = xr.DataArray(values, {"y": y, "x": x}, ("y", "x"), name="f", attrs={"units": "K"})
    outs = [np.empty_like(values) for _ in f.dims]
    calls: dict[str, Callable[[], Any]] = {
        "xgrad": lambda: f.grad.compute(dims=["y", "x"]),
        "xarray": lambda: [f.differentiate("y"), f.differentiate("x")],
        "building the Dataset": lambda: xr.Dataset(
            {name: xr.Variable(f.dims, out) for name, out in zip(("df_dy", "df_dx"), outs, strict=True)},
            coords=f.coords,
        ),
        "floor": lambda: copy(values, outs),
    }
    results = {one: partial(_arrays, call) for one, call in calls.items() if one in ("xgrad", "xarray")}
    results["xgrad"] = lambda: _arrays(lambda: calls["xgrad"]().values())
    return Contest(
        work=f"two axes of {described(f)}",
        measures=timed(calls, {"toy": 2, "small": 50, "full": 200}[size]),
        disagreements=lambda: disagreements(results, "xgrad", margin=1, tolerance=_ROUNDING["float64"]),
    )


_SOME = ("2-D float64", "3-D float32")

CASES = (
    *(
        Case(
            "eager",
            f"{name}, uniform, order 2",
            partial(_contest, name=name, staggered=name == "2-D float64"),
        )
        for name in FIELDS
    ),
    *(
        Case("eager", f"{name}, stretched, order 2", partial(_contest, name=name, stretched=True))
        for name in _SOME
    ),
    *(
        Case("eager", f"{name}, uniform, order {order}", partial(_contest, name=name, order=order))
        for name in _SOME
        for order in (4, 6)
    ),
    *(
        Case("eager", f"{name}, 20 % missing, order 2", partial(_contest, name=name, gaps=True))
        for name in _SOME
    ),
    *(
        Case("eager", f"{name}, memory order", partial(_layouts, name=name))
        for name in ("2-D float64", "3-D float64")
    ),
    Case("small", "40 × 60", _small),
)
