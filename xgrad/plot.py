"""Pictures of a field and its derivatives: thin helpers over xarray's plotting."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TYPE_CHECKING

import xarray as xr

from xgrad.errors import MissingExtraError, XgradError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"


def panels(
    field: xr.DataArray,
    derivatives: xr.Dataset | xr.DataArray,
    *,
    columns: int | None = None,
    robust: bool = True,
) -> Figure:
    """Draw maps of a field and of its derivatives side by side.

    Parameters
    ----------
    field : xarray.DataArray
        Two-dimensional data.
    derivatives : xarray.Dataset or xarray.DataArray
        Two-dimensional derivatives of it, as `compute` or `derivative` returns them.
    columns : int, optional
        Panels in a row. By default all stand in one row, at most three.
    robust : bool
        Whether the colours span the 2nd to the 98th percentile, so that a few extreme points do not wash
        out the rest; what lies beyond is shown by arrows of the colour bar.

    Returns
    -------
    matplotlib.figure.Figure
        The figure. It belongs to no window: show it as the last line of a notebook cell, or save it.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    XgradError
        If something has not two dimensions.

    Notes
    -----
    Derivatives have diverging colours that are symmetric about zero. Units stand at the colour bars.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("plotting", "plot") from None
    slopes = list(derivatives.data_vars.values()) if isinstance(derivatives, xr.Dataset) else [derivatives]
    for array in (field, *slopes):
        if array.ndim != 2:
            raise XgradError(
                f"{array.name!r} has the dimensions {array.dims!r}; select two of them, with .isel or .sel"
            )
    count = 1 + len(slopes)
    across = min(columns or 3, count)
    down = math.ceil(count / across)
    figure = Figure(figsize=(4.6 * across, 3.9 * down), layout="constrained")
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    _map(field, axes[0], cmap=SEQUENTIAL, center=False, robust=robust)
    for array, ax in zip(slopes, axes[1:count], strict=True):
        _map(array, ax, cmap=DIVERGING, center=0.0, robust=robust)
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure


def _map(array: xr.DataArray, ax: Axes, *, cmap: str, center: float | bool, robust: bool) -> None:
    """One panel: the name above, units at the colour bar and the axes."""
    array.plot.pcolormesh(
        ax=ax, cmap=cmap, center=center, robust=robust, cbar_kwargs={"label": _units(array), "shrink": 0.85}
    )
    ax.set_title(str(array.name), fontsize="medium")
    for dim, name in zip(array.dims, ("y", "x"), strict=True):
        getattr(ax, f"set_{name}label")(_axis_label(array, dim))


def _axis_label(array: xr.DataArray, dim: Hashable) -> str:
    """The name of a dimension and the unit of its coordinate."""
    units = array[dim].attrs.get("units") if dim in array.coords else None
    return f"{dim} [{units}]" if units else str(dim)


def _units(array: xr.DataArray) -> str:
    """The unit, or nothing."""
    return f"[{array.attrs['units']}]" if "units" in array.attrs else ""
