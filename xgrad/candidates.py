"""What can be differentiated: which variables, along which dimensions; and why the others cannot."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from . import chunks, quantities, schemes
from .axes import Axis
from .cf import check_decoded
from .errors import CoordinateError, XgradError
from .options import Options

Grid = xr.DataArray | xr.Dataset
LeftOut = tuple[tuple[Hashable, str], ...]


def known_names(obj: Grid) -> list[Hashable]:
    """Return everything along which a derivative may be asked for: dimensions, then other coordinates."""
    return [*obj.dims, *(name for name in obj.coords if name not in obj.dims)]


def dim_of(obj: Grid, name: Hashable) -> Hashable:
    """Return the dimension on which a name lies: itself, or that of a 1-D coordinate."""
    if name in obj.dims or name not in obj.coords:
        return name
    dims = obj.coords.variables[name].dims
    return dims[0] if len(dims) == 1 else name


def held(variable: xr.Variable) -> Any:
    """Return what a variable holds as it is: `.data` would load what is still in a file."""
    return variable._data


def called(name: Hashable | None) -> str:
    """Return how a message calls an array."""
    return "the array" if name is None else repr(name)


def listed(left_out: Iterable[tuple[Hashable | None, str]]) -> str:
    """Return what is left out, in one line."""
    return "; ".join(f"{name!r}: {reason}" for name, reason in left_out)


def check_data(name: Hashable | None, variable: xr.Variable) -> None:
    """Refuse data that have no derivative, kinds of arrays that give none, and chunks of unknown sizes."""
    if not _numeric(variable):
        raise XgradError(
            f"{called(name)} has dtype {variable.dtype}; numbers, dates or durations are needed, "
            "to which .astype may convert it"
        )
    check_decoded(variable.attrs, called(name))
    inner = quantities.strip(held(variable))
    chunked = chunks.is_chunked(inner)
    if chunked:
        if any(math.isnan(size) for along in inner.chunks for size in along):
            raise XgradError(
                f"{called(name)} has chunks of unknown size; call .compute_chunk_sizes() on its Dask array"
            )
        inner = inner._meta
    bare = isinstance(inner, np.ndarray) or hasattr(inner, "__array_namespace__")
    duck = bare or hasattr(inner, "__array_function__")  # others are still in a file and give NumPy arrays
    if hasattr(inner, "todense") or (duck and not bare):
        kind = f"{type(inner).__module__.partition('.')[0]}.{type(inner).__name__}"
        raise XgradError(
            f"{called(name)} is held by {kind}{' chunks' if chunked else ''}, which have no derivative; "
            f"convert {'the chunks to NumPy arrays' if chunked else 'it with .as_numpy()'} first"
        )


def describing(obj: Grid, *, measures: bool = False) -> list[Hashable]:
    """Return the data variables of a Dataset that describe coordinates: bounds and grid mappings.

    With `measures`, also formula terms and cell measures: results refer to them, and have derivatives too.
    """
    if not isinstance(obj, xr.Dataset):
        return []
    keys = (
        "bounds",
        "climatology",
        "grid_mapping",
        *(("formula_terms", "cell_measures") if measures else ()),
    )
    words: set[str] = set()
    for variable in obj.variables.values():
        for key in keys:
            text = variable.attrs.get(key, variable.encoding.get(key))
            if text is not None:
                words |= set(str(text).replace(":", " ").split())
    return [name for name in obj.data_vars if name in words]


def unsuited(
    name: Hashable, variable: xr.Variable, described: Sequence[Hashable], needed: Sequence[Hashable]
) -> str | None:
    """Say why a variable of a Dataset is not differentiated."""
    if name in described:
        return "it describes a coordinate"
    if any(isinstance(key, str) and key.startswith("flag_") for key in variable.attrs):
        return "it holds flags"
    if not _numeric(variable, boolean=False):
        return f"it has dtype {variable.dtype}"
    missing = [dim for dim in needed if dim not in variable.dims]
    return f"it has no dimension {missing[0]!r}" if missing else None


def useless(obj: Grid, dim: Hashable, options: Options) -> str | None:
    """Say why a dimension is left out where none is named."""
    if obj.sizes[dim] < 2:
        return f"it has size {obj.sizes[dim]}"
    if dim in options.spacing:
        return None
    coords = obj.coords.variables
    if dim not in coords:
        others = [name for name, c in coords.items() if c.dims == (dim,) and c.dtype.kind in "iufmM"]
        return "it has no coordinate" + (f" of its name; there is {others[0]!r}" if others else "")
    index = obj.xindexes.get(dim)
    if isinstance(index, xr.indexes.PandasMultiIndex):
        return "it has a MultiIndex"
    dtype = coords[dim].dtype
    dates = isinstance(index, xr.indexes.PandasIndex) and isinstance(index.index, xr.CFTimeIndex)
    if dtype.kind in "iufmM" or (dtype.kind == "O" and dates):
        return None
    return f"it has a coordinate of dtype {dtype}"


def check_points(axis: Axis, n: int, options: Options) -> None:
    """Refuse an axis with fewer points than its stencil, and say with which order it would do."""

    def needed(order: int, edge_order: int) -> int:
        return schemes.points_needed(n, order, edge_order, axis.step is not None, axis.boundary)

    there, need = axis.points.shape[1], needed(options.order, options.at_edges)
    if there >= need:
        return
    lower = [order for order in schemes.ORDERS if needed(order, order) <= there]
    if options.edge_order is not None and there > n and not axis.ring:
        advice = f"edge_order={there - n} would work"
    elif lower:
        advice = f"order={lower[-1]} would work"
    elif there > n and not axis.ring:
        advice = "edge_order=1 would work"
    else:
        advice = f"no order works with fewer than {needed(schemes.ORDERS[0], 1)}"
    raise CoordinateError(
        f"dimension {axis.dim!r} has {there} points, but {need} are needed for a derivative of order {n} "
        f"with accuracy order {options.order}"
        f"{' on a ring' if axis.ring else f' and edge order {options.at_edges}'}; {advice}"
    )


def _numeric(variable: xr.Variable, *, boolean: bool = True) -> bool:
    """Whether the values have differences; the dtypes of pandas' extension arrays are none of ours."""
    dtype: Any = variable.dtype
    if isinstance(dtype, np.dtype):
        return dtype.kind in "iufcmM" or (boolean and dtype.kind == "b")
    namespace = getattr(quantities.strip(held(variable)), "__array_namespace__", None)
    return namespace is not None and bool(
        namespace().isdtype(dtype, ("bool", "numeric") if boolean else "numeric")
    )
