"""What a geometry looks at: one variable's coordinates, and the grid mapping that it names."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import xarray as xr

from .. import cf
from ..axes import Axis
from ..errors import CoordinateError, XgradError, suggestion
from ..options import Options
from . import figures


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
        Name of a 1-D coordinate -> its Axis, with the options of the call.
    """

    array: xr.DataArray
    whole: xr.DataArray | xr.Dataset
    asked: tuple[Hashable, ...] | None
    options: Options
    axis: Callable[[Hashable], Axis]

    @property
    def dims(self) -> tuple[Hashable, ...]:
        """The dimensions of the variable."""
        return self.array.dims

    @cached_property
    def mappings(self) -> dict[str, Mapping[Any, Any]]:
        """Attributes of the grid mappings that the variable names."""
        variable = self.array.variable
        text = variable.attrs.get("grid_mapping", variable.encoding.get("grid_mapping"))
        found: dict[str, Mapping[Any, Any]] = {}
        for name in cf.grid_mapping_names(text):
            if name not in self.whole.coords and name not in getattr(self.whole, "variables", ()):
                raise XgradError(
                    f"{self.array.name!r} names the grid mapping {name!r}, which is not there: call .grad on "
                    'the Dataset, open the file with decode_coords="all", or give the figure of the earth '
                    "with the geometry, as in geometry=xgrad.Sphere(6371229.0)"
                )
            found[name] = self.whole[name].attrs
        return found

    def figure(self) -> figures.Figure | None:
        """The figure of the earth that the grid mapping says, if any."""
        for name, attrs in self.mappings.items():
            found = figures.from_grid_mapping(attrs, name)
            if found is not None:
                return found
        return None

    def named(self, kind: cf.Kind) -> list[Hashable]:
        """The same, through cf-xarray, which knows more marks than attributes of one coordinate."""
        return cf.known_to_cf_xarray(self.array, kind)

    def variable(self, given: Any, what: str) -> tuple[Hashable, xr.Variable]:
        """Find what the user gave as an argument of a geometry: a name or a DataArray."""
        if isinstance(given, xr.DataArray):
            return given.name, given.variable
        if isinstance(given, xr.Variable):
            return None, given
        known: Mapping[Any, Any] = (
            self.whole.variables if isinstance(self.whole, xr.Dataset) else self.array.coords
        )
        if not isinstance(given, Hashable) or given not in known:
            raise CoordinateError(
                f"{what}={given!r} is not there: {suggestion(given, known)}; give a name or a DataArray"
            )
        return given, self.whole[given].variable

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
