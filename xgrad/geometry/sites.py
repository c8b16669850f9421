"""What a geometry looks at: one variable's coordinates, and the grid mapping that it names."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import xarray as xr

from .. import cf, quantities
from ..axes import Axis
from ..errors import CoordinateError, XgradError, suggestion
from ..options import Options
from . import figures

# What tells a geometry all that a lost grid mapping would have told it.
_INSTEAD = {
    "sphere": "xgrad.Sphere(6371229.0)",
    "ellipsoid": 'xgrad.Ellipsoid("WGS84")',
    "projected": 'xgrad.Projected("EPSG:3857")',
    "curvilinear": "xgrad.Curvilinear(figure=6371229.0)",
    "auto": "xgrad.Sphere(6371229.0) on longitudes and latitudes, xgrad.Projected(crs) on x and y",
}


def plain(variable: xr.Variable) -> xr.Variable:
    """Return a variable without pint: a quantity's unit becomes an attribute."""
    data = variable._data
    if not quantities.is_quantity(data):
        return variable
    units = {"units": quantities.units_of(data)}
    return xr.Variable(variable.dims, quantities.strip(data), variable.attrs | units)


def flat(variable: xr.Variable) -> xr.Variable:
    """Return a variable on two dimensions where all others have size 1, as WRF's Time may have."""
    single = [dim for dim, size in variable.sizes.items() if size == 1]
    return variable.isel(dict.fromkeys(single[: max(variable.ndim - 2, 0)], 0))


def is_temporal(array: xr.DataArray, dim: Hashable) -> bool:
    """Whether a dimension has dates, or says that it is time."""
    return any(
        c.dims == (dim,) and (c.dtype.kind in "mMO" or cf.is_time(c.attrs)) for c in array.coords.values()
    )


def is_vertical(array: xr.DataArray, dim: Hashable) -> bool:
    """Whether CF metadata say that a dimension is vertical."""
    return any(c.dims == (dim,) and cf.is_vertical(c.attrs) for c in array.coords.values())


@dataclass(frozen=True, eq=False)
class Site:
    """
    One variable with its coordinates.

    Attributes
    ----------
    array : DataArray
        The variable; its data are not looked at.
    whole : DataArray or Dataset
        What it comes from: in a Dataset grid mappings and cell sizes are data variables.
    asked : sequence of hashable or None
        The coordinates and dimensions that the call names; None for all.
    options : Options
        The options of the call.
    axis : callable
        Name of a 1-D coordinate -> its Axis, with the options of the call; and attributes that count besides
        its own.
    word : str
        The geometry that looks at it, for messages.
    """

    array: xr.DataArray
    whole: xr.DataArray | xr.Dataset
    asked: tuple[Hashable, ...] | None
    options: Options
    axis: Callable[..., Axis]
    word: str = "auto"

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """The dimensions of the variable."""
        return self.array.dims

    @property
    def known(self) -> Mapping[Any, Any]:
        """What may be named: all variables of a Dataset, the coordinates of a DataArray."""
        return self.whole.variables if isinstance(self.whole, xr.Dataset) else self.array.coords

    @cached_property
    def _mapped(self) -> dict[str, tuple[str, ...]]:
        """Names of the grid mappings that the variable names, with the coordinates that they are for."""
        variable = self.array.variable
        return cf.grid_mappings(variable.attrs.get("grid_mapping", variable.encoding.get("grid_mapping")))

    @property
    def is_mapped(self) -> bool:
        """Whether the variable names a grid mapping, which may be lost."""
        return bool(self._mapped)

    @cached_property
    def mappings(self) -> dict[str, Mapping[Any, Any]]:
        """Attributes of the grid mappings that the variable names."""
        for name in self._mapped:
            if name not in self.known:
                raise XgradError(
                    f"{self.array.name!r} names the grid mapping {name!r}, which is not there: call .grad on "
                    'the Dataset, open the file with decode_coords="all", or say with the geometry what it '
                    f"says, as in {_INSTEAD.get(self.word, _INSTEAD['auto'])}"
                )
        return {name: self.whole[name].attrs for name in self._mapped}

    def figure(self, *coordinates: Hashable) -> figures.Figure | None:
        """Return the figure of the earth that a grid mapping says: one for these coordinates, else any."""
        own = [name for name, listed in self._mapped.items() if set(coordinates) & set(listed)]
        for name in (*own, *self.mappings):
            found = figures.from_grid_mapping(self.mappings[name], name)
            if found is not None:
                return found
        return None

    @cached_property
    def kinds(self) -> dict[cf.Kind, list[Hashable]]:
        """The coordinates of each kind."""
        return cf.kinds(self.array)

    def named(self, kind: cf.Kind, *ndims: int) -> list[Hashable]:
        """Return the coordinates of a kind, those on some numbers of dimensions if these are given."""
        found = self.kinds[kind]
        return [name for name in found if flat(self.coordinate(name)).ndim in ndims] if ndims else found

    def coordinate(self, name: Hashable) -> xr.Variable:
        """Return a coordinate of the variable."""
        return plain(self.array.coords[name].variable)

    def dim(self, name: Hashable) -> Hashable:
        """Return the dimension on which a name lies: itself, or that of a 1-D coordinate."""
        coords = self.array.coords
        return coords[name].dims[0] if name in coords and coords[name].ndim == 1 else name

    def variable(self, given: Any, what: str) -> tuple[Hashable, xr.Variable]:
        """Find what the user gave as an argument of a geometry: a name or a DataArray."""
        if isinstance(given, xr.DataArray):
            return given.name, plain(given.variable)
        if isinstance(given, xr.Variable):
            return None, plain(given)
        if not isinstance(given, Hashable) or given not in self.known:
            raise CoordinateError(
                f"{what}={given!r} is not there: {suggestion(given, self.known)}; give a name or a DataArray"
            )
        return given, plain(self.whole[given].variable)

    def refuse_foreign(self, variable: xr.Variable, what: str) -> None:
        """Refuse a variable that lies on other dimensions, or on ones of other sizes."""
        sizes = dict(zip(self.array.dims, self.array.shape, strict=True))
        for dim, size in zip(variable.dims, variable.shape, strict=True):
            if dim not in sizes:
                raise CoordinateError(
                    f"{what} lies on {variable.dims!r}, but {self.array.name!r} on {self.array.dims!r}; "
                    f"select one index along {dim!r} with .isel, or rename it"
                )
            if sizes[dim] != size:
                raise CoordinateError(
                    f"{what} has {size} points along {dim!r}, where the data have {sizes[dim]}"
                )

    def wants(self, names: Iterable[Hashable]) -> bool:
        """Whether the call asks for any of some names."""
        return self.asked is None or any(name in self.asked for name in names)

    def asks_for(self, name: Hashable) -> bool:
        """Whether the call names a coordinate or its dimension."""
        return self.asked is not None and self.wants((name, self.dim(name)))
