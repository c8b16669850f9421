"""Cell sizes that a model gives with its grid: they win over longitudes and latitudes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from .. import cf, chunks
from ..errors import CoordinateError, XgradError
from ..units import derivative_units
from .frames import Direction, Frame, Layout, Parts, index_axis
from .sites import Site


@dataclass(frozen=True, slots=True)
class Metric:  # numpydoc ignore=PR02
    """
    A model's own cell sizes: derivatives along the lines of the grid, per metre.

    Parameters
    ----------
    dx, dy : tuple of (hashable, size), optional
        A dimension, and the size of its cells at the points of the data: a name, a DataArray, or a number of
        metres. ``Metric(dx=("x", "e1t"), dy=("y", "e2t"))`` for NEMO, ``("xi_rho", "1/pm")`` for ROMS, which
        has reciprocals, ``("west_east", ds.DX / ds.MAPFAC_M)`` for WRF.

    Notes
    -----
    ``df/dx = f_i / dx`` with the derivative f_i along the index. Its order is that of the stencil where dx is
    the derivative of the distance along the grid line, as scale factors are. The directions are those of the
    grid, not east and north.
    """

    dx: tuple[Hashable, Any] | None = None
    dy: tuple[Hashable, Any] | None = None
    default_order: ClassVar[int] = 2
    word: ClassVar[str] = "metric"

    def __post_init__(self) -> None:
        given = [("dx", self.dx), ("dy", self.dy)]
        if self.dx is None and self.dy is None:
            raise XgradError("Metric needs dx= or dy=: a dimension and its cell sizes, as in dx=('x', 'e1t')")
        for what, pair in given:
            if pair is not None and (not isinstance(pair, tuple) or len(pair) != 2):
                raise XgradError(
                    f"Metric({what}={pair!r}): give a dimension and its cell sizes, as ('x', 'e1t')"
                )
        if self.dx is not None and self.dy is not None and self.dx[0] == self.dy[0]:
            raise XgradError(f"Metric: dx and dy both lie along {self.dx[0]!r}")

    def bind(self, site: Site) -> Frame:  # numpydoc ignore=PR01,RT01
        """Bind it to a variable."""
        axes, directions, sizes, notes = {}, [], {}, []
        for key, pair in (("x", self.dx), ("y", self.dy)):
            if pair is None or not site.wants([pair[0], *_names_along(site, pair[0])]):
                continue
            dim, given = pair
            if dim not in site.dims:
                raise CoordinateError(
                    f"Metric(d{key}=({dim!r}, ...)): {site.array.name!r} has no dimension {dim!r}, but "
                    f"{site.dims!r}"
                )
            axes[dim] = _axis(site, dim)
            sizes[key, dim] = _sizes(site, given, f"d{key}")
            directions.append(Direction(key, dim, (dim,), f"along {dim}"))
            notes.append(f"d{key} {_called(given)}")

        def parts(layout: Layout) -> Parts:
            made = {}
            for which, (variable, per_metre) in sizes.items():
                data = variable._data
                if variable.dims:
                    data = chunks.like(data, layout.chunks_of(variable.dims))
                made[which] = xr.Variable(variable.dims, chunks.pointwise(per_metre, data))
            return Parts(made)

        return Frame(axes, tuple(directions), parts, (f"by given cell sizes: {', '.join(notes)}",))


def _names_along(site: Site, dim: Hashable) -> list[Hashable]:
    """Return the 1-D coordinates along a dimension."""
    return [name for name, c in site.array.coords.items() if c.dims == (dim,)]


def _axis(site: Site, dim: Hashable) -> Any:
    """Make the axis of the index along a dimension; only a call that says so makes a ring of it."""
    asked = site.options.period_of(dim, dim)
    ring = asked is True or (not isinstance(asked, str) and asked is not False)
    size = site.array.sizes[dim]
    if ring and asked is not True and float(asked) != size:
        raise CoordinateError(f"periodic= gives {dim!r} the period {asked!r}: in cells it is {size}")
    return index_axis(dim, size, ring=ring)


def _sizes(site: Site, given: Any, what: str) -> tuple[xr.Variable, partial[Any]]:
    """Return cell sizes, or their reciprocals, with the function that makes points per metre of them."""
    if isinstance(given, int | float | np.number) and not isinstance(given, bool):
        if not (np.isfinite(given) and given > 0):
            raise CoordinateError(f"Metric({what}={given!r}): cell sizes must be positive lengths")
        return xr.Variable((), np.float64(given)), partial(_per_metre, metres=1.0)
    if isinstance(given, np.ndarray):
        raise XgradError(f"Metric({what}=...): a bare array has no dimensions; give a DataArray or a name")
    inverse = isinstance(given, str) and given.startswith("1/")
    name, variable = site.variable(given[2:] if inverse else given, what)
    what = what if name is None else f"{what}={name!r}"
    site.refuse_foreign(variable, what)
    if variable.dtype.kind not in "fiu":
        raise CoordinateError(f"{what} has dtype {variable.dtype}: numbers are needed")
    cf.check_decoded(variable.attrs, what)
    units = variable.attrs.get("units")
    reciprocal = cf.metres(derivative_units("1", [(units, 1)]))
    metres = 1.0 if units in (None, "") else reciprocal if inverse else cf.metres(units)
    if metres is not None:
        return variable, partial(_per_metre, metres=metres, inverse=inverse)
    if reciprocal is not None:
        raise CoordinateError(
            f"{what} has units {units!r}, those of a reciprocal: give '1/{name}' if it is one; if it is a "
            "cell size (arithmetic of xarray keeps attributes), correct them with .assign_attrs(units='m')"
        )
    needed = "1/length, as m-1" if inverse else "length, m or km"
    raise CoordinateError(f"{what} needs units of {needed}; found {units!r}")


def _per_metre(block: Any, *, metres: float, inverse: bool = False) -> Any:
    """Return points per metre, of cell sizes or of their reciprocals; NaN where they are no lengths."""
    size = np.array(block, dtype=np.float64)
    known = np.where((size > 0.0) & np.isfinite(size), size, np.nan)
    return known / metres if inverse else 1.0 / (known * metres)


def _called(given: Any) -> str:
    """Say in a note what was given."""
    if isinstance(given, xr.DataArray):
        return "as given" if given.name is None else str(given.name)
    return f"{given} m" if isinstance(given, int | float | np.number) else str(given)
