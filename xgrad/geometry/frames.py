"""A geometry at work on one variable: its axes, its directions, the factors of each derivative."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .. import halos, schemes
from ..axes import Axis
from ..errors import CoordinateError, XgradError
from ..options import Options
from . import parity

Factors = Mapping[tuple[str, Hashable], xr.Variable]

_COMPONENT = "a component of a vector: changes sign across the poles"


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction in which a geometry gives derivatives.

    Attributes
    ----------
    key : str
        "x", "y" or "z": it ends the names of results.
    dim : Hashable
        The coordinate or dimension that asks for it.
    along : tuple of Hashable
        Those along which the field is differentiated for it.
    word : str
        "eastward", "northward" or "upward", of which CF has standard names; or words for the long name, as
        "along x".
    units : str or None
        The unit of a step in this direction.
    """

    key: str
    dim: Hashable
    along: tuple[Hashable, ...]
    word: str
    units: str | None = "m"


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """Full circles of longitude: where stencils in latitude cross a pole, and rows that lie on one.

    Attributes
    ----------
    lon, lat : Hashable
        The coordinates.
    south, north : bool
        Whether the first and the last latitude (ascending) is a pole.
    longitudes : ndarray or None
        In radians from west to east where no column is a quarter of the circle away, see `halos.Poles`.
    parity : int or None
        What the user says that fields are multiplied with beyond a pole; None where their metadata decide.
    """

    lon: Hashable
    lat: Hashable
    south: bool
    north: bool
    longitudes: NDArray[np.float64] | None
    parity: int | None = None

    @property
    def has_poles(self) -> bool:
        """Whether any row lies on a pole."""
        return self.south or self.north


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What factors must fit: the chunks of the data by dimension (None: in memory), and the options."""

    chunks: Mapping[Hashable, tuple[int, ...]] | None
    options: Options

    def chunks_of(self, dims: Sequence[Hashable]) -> list[tuple[int, ...]] | None:
        """Return the chunks along some dimensions."""
        return None if self.chunks is None else [self.chunks[dim] for dim in dims]


class Parts(NamedTuple):
    """What a frame makes to fit the data.

    Attributes
    ----------
    factors : dict
        By direction and coordinate: what the derivative is multiplied with.
    nowhere : Variable or None
        Where the grid has no coordinates: fields are missing there. None where it always has.
    """

    factors: Factors
    nowhere: xr.Variable | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A geometry bound to a variable.

    Attributes
    ----------
    axes : dict
        By coordinate or dimension: the axis along which the field is differentiated.
    directions : tuple of Direction
        What it gives.
    parts : callable
        Layout -> what derivatives are multiplied with; made when data are differentiated, as nothing but 1-D
        coordinates and the outer rows and columns of others is read before.
    notes : tuple of str
        The method, for the plan and the comment.
    reasons : tuple of str
        Why this geometry and no other, for the plan.
    parity : int
        What the field is multiplied with beyond a pole: -1 for components of vectors.
    rates : dict
        By axis: a number that all derivatives along it are multiplied with. It is in their stencils, which
        saves a pass over the data, and in no factor.
    together : tuple of Hashable
        Dimensions that must be asked for at once, as each direction depends on all of them.
    crossing : Crossing or None
        Of grids around the earth.
    warning : str or None
        What limits the accuracy.
    """

    axes: Mapping[Hashable, Axis]
    directions: tuple[Direction, ...]
    parts: Callable[[Layout], Parts]
    notes: tuple[str, ...]
    together: tuple[Hashable, ...] = ()
    crossing: Crossing | None = None
    warning: str | None = None
    reasons: tuple[str, ...] = ()
    parity: int = 1
    rates: Mapping[Hashable, float] = field(default_factory=dict)

    @property
    def dims(self) -> list[Hashable]:
        """The dimensions along which it differentiates."""
        return list(dict.fromkeys(axis.dim for axis in self.axes.values()))

    def parity_of(self, name: Hashable, variable: xr.Variable) -> int:
        """Return what a field is multiplied with beyond a pole; 1 where no pole is near."""
        if self.crossing is None or not (self.crosses or self.crossing.has_poles):
            return 1
        if getattr(variable.dtype, "kind", None) != "M":
            return parity.of(variable.attrs) if self.crossing.parity is None else self.crossing.parity
        if self.crossing.parity == -1:
            raise XgradError(f"{name!r} holds dates, which have no sign to change: leave parity=-1 out")
        return 1

    def of_parity(self, sign: int) -> Frame:
        """Return the frame of fields with a parity."""
        if sign == self.parity:
            return self
        return replace(self, parity=sign, notes=(*self.notes, _COMPONENT))

    @property
    def crosses(self) -> bool:
        """Whether stencils in latitude go on beyond a pole."""
        around = self.crossing
        return around is not None and any(
            isinstance(end, schemes.Mirror) for end in self.axes[around.lat].boundary
        )

    def used(self, asked: Sequence[Hashable]) -> list[Axis]:
        """Return the axes along which the field is differentiated if some dimensions are asked for."""
        keys = {key for d in self.directions if self.axes[d.dim].dim in asked for key in d.along}
        if self.crossing is not None and self.crossing.lon in keys and self.crossing.has_poles:
            keys.add(self.crossing.lat)
        return [axis for key, axis in self.axes.items() if key in keys]

    def partial(self, dims: Sequence[Hashable], key: Hashable, options: Options) -> halos.Partial:
        """Return the first derivative along one of its axes, of an array with some dimensions."""
        made, around = self._plain(dims, key, options), self.crossing
        if around is None or self.axes[around.lon].dim not in dims or key not in (around.lon, around.lat):
            return made
        lon, lat = self.axes[around.lon], self.axes[around.lat]
        if lat.dim not in dims or not (self.crosses if key == around.lat else around.has_poles):
            return made
        circle = halos.Circle(dims.index(lon.dim), lon.points.shape[1], lon.descending, lon.overlap)
        meridian = made if key == around.lat else self._plain(dims, around.lat, options)
        meridian = replace(meridian, circle=circle, parity=self.parity)
        if key == around.lat:
            return meridian
        return replace(made, poles=halos.Poles(meridian, around.south, around.north, around.longitudes))

    def _plain(self, dims: Sequence[Hashable], key: Hashable, options: Options) -> halos.Partial:
        """Return the same where no pole is near."""
        return partial(self.axes[key], dims, 1, options, self.rates.get(key, 1.0))


def partial(
    axis: Axis, dims: Sequence[Hashable], n: int, options: Options, rate: float = 1.0
) -> halos.Partial:
    """Make the derivative along an axis, times rate**n, of an array with some dimensions."""
    try:
        scheme = schemes.scheme(
            axis.points,
            step=axis.step,
            boundary=axis.boundary,
            scale=axis.scale * rate,
            n=n,
            order=options.order,
            edge_order=options.at_edges,
        )
    except CoordinateError as error:
        raise CoordinateError(f"coordinate {axis.name!r}: {error}; rescale or thin it out") from None
    return halos.Partial(list(dims).index(axis.dim), scheme, axis.descending, axis.overlap)


def aligned(variable: xr.Variable, dims: Sequence[Hashable]) -> Any:
    """Return a variable's array with all of some dimensions in their order, of size 1 where it has none."""
    ordered = variable.transpose(*[dim for dim in dims if dim in variable.dims])
    index: Any = tuple(slice(None) if dim in variable.dims else np.newaxis for dim in dims)
    return ordered._data[index]


def index_axis(dim: Hashable, size: int, *, ring: bool = False, overlap: int = 0) -> Axis:
    """Make the axis of the index: positions 0, 1, 2, ..."""
    count = size - overlap
    end: schemes.Boundary = schemes.Wrap(float(count)) if ring else schemes.Open()
    return Axis(
        name=dim,
        dim=dim,
        points=np.stack([np.arange(count, dtype=np.float64), np.zeros(count)]),
        step=1.0,
        scale=1.0,
        descending=False,
        boundary=(end, end),
        overlap=overlap,
        units=None,
        time=False,
        notes=("index",) + ((f"ring, {overlap} columns repeated" if overlap else "ring",) if ring else ()),
    )
