"""Levels that follow the terrain: horizontal derivatives at constant height, over any horizontal geometry."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from .. import chunks
from ..axes import Axis
from ..errors import CoordinateError, XgradError
from ..options import Options
from .frames import Direction, Frame, Layout, Parts, aligned, index_axis, partial
from .sites import Site, is_temporal, is_vertical
from .vertical import Heights, by_formula, given


@dataclass(frozen=True, slots=True)
class TerrainFollowing:  # numpydoc ignore=PR02
    """
    Levels whose height changes from place to place: derivatives at constant height, not along the levels.

    Parameters
    ----------
    z : hashable or DataArray, optional
        Heights, depths or pressures on the dimensions of the data (time may be among them, or not). By
        default they are made of the `formula_terms` of the levels: ocean sigma and s coordinates (also g1
        and g2), hybrid height, hybrid sigma-pressure, sigma.
    horizontal : str or geometry
        The geometry of the horizontal coordinates. "auto" asks the CF metadata; lengths without any mark of
        the earth are taken as they are.
    vertical : hashable, optional
        The dimension of the levels, or a 1-D coordinate along it in which they are smooth (sigma, s, eta),
        where it is not evident.

    Notes
    -----
    ``(df/dx)_z = (df/dx)_s - (dz/dx)_s f_s / z_s``: all derivatives with stencils of one order, 4 by default,
    so that a field linear in z is exact. Naming the vertical dimension adds ``d{name}_dz = f_s / z_s``,
    along z as stored. The error where levels are steep is that of two large terms which cancel [1]_: see
    `hydrostatic_consistency`.

    References
    ----------
    .. [1] R. L. Haney, On the pressure gradient force over steep topography in sigma coordinate ocean models,
       J. Phys. Oceanogr. 21 (1991) 610-619, doi:10.1175/1520-0485(1991)021<0610:OTPGFO>2.0.CO;2.
    """

    z: Any = None
    horizontal: Any = "auto"
    vertical: Hashable | None = None
    default_order: ClassVar[int] = 4
    word: ClassVar[str] = "terrain-following"

    def __post_init__(self) -> None:
        if isinstance(self.horizontal, TerrainFollowing):
            raise XgradError(
                "TerrainFollowing: horizontal= is another TerrainFollowing; give a horizontal geometry"
            )

    def bind(self, site: Site) -> Frame:  # numpydoc ignore=PR01,RT01
        """Bind it to a variable."""
        from . import of

        heights = by_formula(site) if self.z is None else given(site, self.z)
        levels = self._levels(site, heights)
        inner = of(self.horizontal)
        if inner is None:
            raise XgradError("TerrainFollowing: horizontal=None; give 'auto' or a horizontal geometry")
        asked = None if site.asked is None else tuple(n for n in site.asked if site.dim(n) != levels.dim)
        below = replace(site, asked=asked, word=inner.word)
        frame = inner.bind(below) or _cartesian(below, levels.dim, heights)
        if levels.dim in frame.dims:
            raise CoordinateError(
                f"{levels.dim!r} is a dimension of the horizontal geometry: it has no levels"
            )
        if not set(frame.dims) & set(heights.dims):
            raise CoordinateError(
                f"the heights {heights.name!r} lie on {heights.dims!r}, and do not change along "
                f"{frame.dims!r}: leave TerrainFollowing out, and use geometry={inner.word!r}"
            )
        key = levels.name
        directions = [Direction(d.key, d.dim, (*d.along, key), d.word, d.units) for d in frame.directions]
        word = "upward" if heights.attrs.get("positive") == "up" else f"along {heights.name}"
        directions.append(Direction("z", key, (key,), word, heights.units))

        def parts(layout: Layout) -> Parts:
            return _parts(frame, levels, heights, layout)

        axes = {**frame.axes, key: levels}
        notes = (*frame.notes, f"at constant {heights.name}, by the chain rule along {levels.name}")
        return replace(frame, axes=axes, directions=tuple(directions), parts=parts, notes=notes)

    def _levels(self, site: Site, heights: Heights) -> Axis:
        """Make the axis of the levels: along their coordinate, else along the index."""
        name = self.vertical if self.vertical is not None else heights.levels
        if name is not None:
            if name in site.array.coords and site.array.coords[name].ndim == 1:
                return site.axis(name)
            if name not in site.dims:
                raise CoordinateError(
                    f"vertical={name!r} is no dimension and no 1-D coordinate of {site.array.name!r}"
                )
            dim = name
        else:
            dim = _vertical(site, heights)
        if dim in site.array.coords:
            try:
                return site.axis(dim)
            except CoordinateError:
                pass  # names or repeated numbers: the index serves
        return index_axis(dim, site.array.sizes[dim])


def hydrostatic_consistency(z: xr.DataArray, vertical: Hashable) -> xr.DataArray:
    """
    Return how steep levels are, against the distance between them; lazy on Dask.

    Parameters
    ----------
    z : DataArray
        Heights of the points, in any unit.
    vertical : hashable
        The dimension of the levels; all others are horizontal, but for those of dates.

    Returns
    -------
    DataArray
        ``r = max_d |z_d| / |z_s|`` without unit: by how many levels a level rises from one column to the
        next, at second order along the index. Beyond 1 the hydrostatic pressure of neighbouring columns
        does not overlap within a level [1]_.

    Raises
    ------
    XgradError
        If there is no such dimension, or no other.

    References
    ----------
    .. [1] R. L. Haney, On the pressure gradient force over steep topography in sigma coordinate ocean models,
       J. Phys. Oceanogr. 21 (1991) 610-619, doi:10.1175/1520-0485(1991)021<0610:OTPGFO>2.0.CO;2.

    Examples
    --------
    >>> z = xr.DataArray([[0.0, 1.0], [10.0, 13.0]], dims=("level", "x"))
    >>> hydrostatic_consistency(z, "level").values.round(2)
    array([[0.1 , 0.08],
           [0.3 , 0.25]])
    """
    if not isinstance(z, xr.DataArray) or vertical not in z.dims:
        raise XgradError(
            f"vertical={vertical!r} is no dimension of the heights; there are {getattr(z, 'dims', z)!r}"
        )
    dims = [dim for dim in z.dims if dim != vertical and z.sizes[dim] > 1 and not is_temporal(z, dim)]
    if not dims or z.sizes[vertical] < 2:
        raise XgradError(
            f"the heights need two levels or more and a horizontal dimension; found {dict(z.sizes)!r}"
        )
    options = Options(order=2, edge_order=1)
    wanted = [partial(index_axis(dim, z.sizes[dim]), z.dims, 1, options) for dim in (vertical, *dims)]
    thickness, *rises = chunks.partials(z.data, wanted, gaps=True, dtype=np.dtype(np.float64))
    steepest = chunks.pointwise(_steepest, thickness, *rises)
    attrs = {"long_name": f"hydrostatic consistency of levels of {z.name or 'z'}", "units": "1"}
    return xr.DataArray(steepest, dims=z.dims, coords=z.coords, name="hydrostatic_consistency", attrs=attrs)


def _steepest(thickness: Any, *rises: Any) -> Any:
    """Return the largest rise over the thickness."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum.reduce([np.abs(rise) / np.abs(thickness) for rise in rises])


def _parts(frame: Frame, levels: Axis, heights: Heights, layout: Layout) -> Parts:
    """Return the factors of the horizontal geometry, and those of the derivative along the levels."""
    flat, nowhere = frame.parts(layout)
    z = heights.variable(layout)
    sizes: dict[Hashable, int] = {}
    for variable in (*flat.values(), z):
        sizes |= dict(zip(variable.dims, variable.shape, strict=True))
    dims = tuple(sizes)
    data = chunks.broadcast(aligned(z, dims), list(sizes.values()), layout.chunks_of(dims))
    keys = [key for key, axis in frame.axes.items() if axis.dim in z.dims]
    sloping = {d.key: [key for key in d.along if key in keys] for d in frame.directions}
    one = np.ones((1,) * len(dims))
    components = [
        chunks.Component(tuple((keys.index(key), aligned(flat[letter, key], dims)) for key in along))
        for letter, along in sloping.items()
        if along
    ]
    components.append(chunks.Component(((len(keys), one),)))
    wanted = [frame.partial(dims, key, layout.options) for key in keys]
    wanted.append(partial(levels, dims, 1, layout.options))
    *slopes, thickness = chunks.partials(data, wanted, gaps=True, components=components)
    found = iter(slopes)
    made = dict(flat)
    for letter, along in sloping.items():
        made[letter, levels.name] = (
            xr.Variable(dims, chunks.pointwise(_correction, next(found), thickness))
            if along
            else xr.Variable((), np.float64(0.0))
        )
    made["z", levels.name] = xr.Variable(dims, chunks.pointwise(_inverse, thickness))
    return Parts(made, nowhere)


def _correction(slope: Any, thickness: Any) -> Any:
    """Return what the derivative along the levels is multiplied with; nothing where levels meet."""
    return -slope / np.where(thickness == 0.0, np.nan, thickness)


def _inverse(thickness: Any) -> Any:
    """Return the reciprocal; nothing where levels meet."""
    return 1.0 / np.where(thickness == 0.0, np.nan, thickness)


def _cartesian(site: Site, vertical: Hashable, heights: Heights) -> Frame:
    """Take coordinates of length as they are."""
    axes, directions = {}, []
    asked = [name for name in site.asked or () if site.dim(name) in heights.dims]
    named = asked or [dim for dim in heights.dims if dim != vertical and not is_temporal(site.array, dim)]
    for name in named:
        axes[name] = site.axis(name)
        directions.append(Direction(str(name), name, (name,), f"along {name}", axes[name].units))

    def parts(layout: Layout) -> Parts:
        return Parts({(str(name), name): xr.Variable((), np.float64(1.0)) for name in axes})

    return Frame(axes, tuple(directions), parts, ("in the plane of the coordinates",))


def _vertical(site: Site, heights: Heights) -> Hashable:
    """Find the one dimension of the heights that is not horizontal and not time."""
    array = site.array
    dims = [dim for dim in heights.dims if not is_temporal(array, dim)]
    marked = [dim for dim in dims if is_vertical(array, dim)]
    horizontal = {dim for names in site.kinds.values() for name in names for dim in array.coords[name].dims}
    chosen = marked or [dim for dim in dims if dim not in horizontal]
    if len(chosen) != 1:
        raise CoordinateError(
            f"which of the dimensions {dims!r} of the heights {heights.name!r} is the vertical one is not "
            "evident: name it, as in xgrad.TerrainFollowing(..., vertical='level')"
        )
    return chosen[0]
