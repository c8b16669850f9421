"""numpy.gradient's call on bare arrays: NumPy (masked arrays and other subclasses too), Dask, Array API."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import NDArray

from xgrad.axes import Axis, axis_from_spacing
from xgrad.chunks import is_chunked, partials, warn_of_many
from xgrad.errors import CoordinateError, XgradError
from xgrad.halos import Partial
from xgrad.quantities import is_quantity
from xgrad.schemes import ORDERS, points_needed, scheme

Array = Any  # of whichever namespace the data come from

_HALF = 32  # int64 times go through the kernels as two halves, each exact in float64
# So near to a whole tick a result is that tick, for rounding must not truncate 7 to 6: in ticks, but at least
# in units of the last place, up to a bound that leaves exact halves what they are.
_NEAR, _NEAR_ULPS, _NEAR_MOST = 1e-5, 4, 0.25


def gradient(
    f: Any,
    *varargs: Any,
    axis: int | Sequence[int] | None = None,
    edge_order: int = 1,
    order: int = 2,
    periodic: Any = False,
) -> Any:
    r"""
    Return the gradient of an N-dimensional array, as `numpy.gradient` does.

    What `numpy.gradient` accepts is accepted, with the same meaning and the same results (Notes tell where
    not). Added are higher orders of accuracy, periodic axes, and Dask arrays of any chunking. All axes are
    differentiated in one pass over the data.

    Parameters
    ----------
    f : array_like
        Values on a grid: a NumPy array, masked array, list or scalar, a Dask array, or an array of any
        library that follows the Array API standard. Of an xarray object only the data are taken.
    *varargs : scalar or 1-D array_like
        Distances: none (1 along each axis), one step for all axes, or for each differentiated axis a step
        or the positions of its points. Steps may be negative, positions may descend but must be in order.
        Positions that are uniform but for rounding (of float64, or of the float32 that they come from)
        count as uniform. Dates and durations count in seconds. Positions in a Dask array are computed.
    axis : int or sequence of int, optional
        Axes to differentiate; by default all. Negative ones count from the last.
    edge_order : {1, 2, 3, 4, 5, 6, 7, 8}, default 1
        Order of accuracy at the ends of an axis that is not periodic. ``edge_order=order`` keeps the order
        up to the edge.
    order : {2, 4, 6, 8}, default 2
        Order of accuracy inside, on uniform and on non-uniform axes.
    periodic : bool, number, numpy.timedelta64, or a sequence of these, default False
        Which axes close on themselves: one value for all differentiated axes, or one for each. True takes a
        uniform axis of n points and step h as a ring of length n h; for other axes give the period, in the
        unit of the positions. Positions that end one period after the first repeat it: the last point then
        gets the result of the first.

    Returns
    -------
    array or tuple of arrays
        Of one axis an array, of several a tuple with one array for each, in the order of `axis`; shaped like
        `f`, in units of `f` per unit of the positions. float16, float32, float64, longdouble and complex
        dtypes are kept, integers and bool give float64, dates and durations give durations of the same unit,
        truncated toward zero. Masked arrays give masked arrays, other subclasses their own type. Dask arrays
        give Dask arrays with the same chunks; nothing is computed.

    Raises
    ------
    TypeError
        If the number of distances does not fit the axes, or `f` holds no numbers, dates or durations.
    numpy.exceptions.AxisError
        If an axis is out of bounds.
    XgradError
        If `order`, `edge_order` or `periodic` is not valid, an axis has too few points (open: edge_order + 1;
        periodic: order + 1), or a chunk size is not known. It is a ValueError, as is the next one.
    CoordinateError
        If distances are 0, not finite, repeated, out of order, or not as many as there are points.

    See Also
    --------
    numpy.gradient : The same call on NumPy arrays, of order 2.

    Notes
    -----
    With weights :math:`w_{ik}` on local offsets [1]_ each result is a sum of differences,

    .. math:: f'_i = \sum_k w_{ik} (f_k - f_i) + \mathcal{O}(h^p),

    over p + 1 points: centred ones inside, p = `order`; ones shifted inwards where these do not fit,
    p = `edge_order`. A constant gives exactly 0. Centred stencils on uniform axes do not read the point
    itself. Arithmetic is done in float64 (longdouble for longdouble), and any chunking gives bitwise the
    result of the array in memory.

    NaN and masks spread to all points whose stencils read them: next to missing values there are no stencils
    of their own here. With ``order=2`` and ``edge_order`` 1 or 2 results equal those of `numpy.gradient` [2]_
    but for rounding, except that

    - bool is differentiated as float64, where `numpy.gradient` raises;
    - repeated or unordered positions and a step of 0 are refused, where it gives inf, NaN or wrong numbers;
    - data of dates and durations are truncated once, where it truncates every product: on non-uniform axes
      and at edges of order 2 it can be some ticks off;
    - positions that are uniform but for their rounding, as float32 longitudes are, are repaired.

    References
    ----------
    .. [1] B. Fornberg, Generation of finite difference formulas on arbitrarily spaced grids,
       Math. Comp. 51 (1988) 699-706, doi:10.1090/S0025-5718-1988-0935077-0.
    .. [2] NumPy reference, https://numpy.org/doc/stable/reference/generated/numpy.gradient.html.

    Examples
    --------
    >>> import numpy as np
    >>> from xgrad.arrays import gradient
    >>> gradient([1.0, 8.0, 27.0], [1.0, 2.0, 3.0])
    array([ 7., 13., 19.])

    Order 4 up to the edge is exact for polynomials of degree 4, on uneven positions too:

    >>> x = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
    >>> np.round(gradient(x**4, x, order=4, edge_order=4), 9) + 0.0
    array([  0. ,   0.5,   4. ,  32. , 256. ])

    Several axes, with a step for the rows and positions for the columns:

    >>> rows, columns = gradient([[1, 2, 6], [3, 4, 5]], 2.0, [1.0, 1.5, 3.5])
    >>> rows
    array([[ 1. ,  1. , -0.5],
           [ 1. ,  1. , -0.5]])
    >>> columns
    array([[2. , 2. , 2. ],
           [2. , 1.7, 0.5]])

    A ring:

    >>> gradient([0.0, 1.0, 0.0, -1.0], periodic=True)
    array([ 1.,  0., -1.,  0.])

    On Dask arrays nothing is computed until it is asked for:

    >>> import dask.array as da
    >>> lazy = gradient(da.arange(6, chunks=1) ** 2)
    >>> lazy.chunks, lazy.compute()
    (((1, 1, 1, 1, 1, 1),), array([1., 2., 4., 6., 8., 9.]))
    """
    data = _as_array(f)
    axes = normalize_axis_tuple(range(data.ndim) if axis is None else axis, data.ndim)
    if order not in ORDERS:
        raise XgradError(f"order={order!r} is not available: choose 2, 4, 6 or 8")
    if edge_order not in range(1, max(ORDERS) + 1):
        raise XgradError(f"edge_order={edge_order!r} is not available: choose a whole number from 1 to 8")
    spacings, rings = _spacings(varargs, len(axes)), _rings(periodic, len(axes))
    wanted = []
    for one, spacing, ring in zip(axes, spacings, rings, strict=True):
        if math.isnan(data.shape[one]):
            raise XgradError(
                f"the chunk sizes along axis {one} are not known: call f.compute_chunk_sizes() first"
            )
        line = _line(one, data.shape[one], spacing, ring)
        if line.time and _holds_times(data):
            raise XgradError(
                f"f and the positions along axis {one} are both times, whose ratio is a plain number:"
                " give f as numbers, for durations f / numpy.timedelta64(1, 's')"
            )
        wanted.append(_partial(one, line, order=int(order), edge_order=int(edge_order)))
    if not wanted:
        return ()
    if is_chunked(data):
        warn_of_many(data.chunks, data.dtype.itemsize)
    results = _differentiate(data, wanted)
    return results[0] if len(results) == 1 else results


def _as_array(f: Any) -> Array:
    """Return the data as an array of its own library; everything that has none becomes a NumPy array."""
    if isinstance(f, (xr.DataArray, xr.Variable)):
        f = f.data
    _refuse_quantity(f, "f")
    foreign = hasattr(f, "__array_namespace__") and not isinstance(f, (np.ndarray, np.generic))
    if is_chunked(f) or foreign:
        return f
    array = np.asanyarray(f)
    if type(array).__array_function__ is not np.ndarray.__array_function__:
        raise TypeError(
            f"f is a {type(array).__name__}, which has rules of its own for NumPy's functions, units perhaps:"
            " pass the plain numbers, numpy.asarray(f)"
        )
    return array


def _refuse_quantity(value: Any, what: str) -> None:
    """Refuse numbers with a unit: a plain result would have lost it."""
    value = value.data if isinstance(value, (xr.DataArray, xr.Variable)) else value
    if is_quantity(value):
        raise TypeError(
            f"{what} is a quantity in {str(value.units)!r}: pass its .magnitude, or use a DataArray"
        )


def _spacings(varargs: tuple[Any, ...], count: int) -> list[Any]:
    """Return one spacing for each of `count` axes."""
    for index, spacing in enumerate(varargs):
        _refuse_quantity(spacing, f"distance {index}")
    if not varargs:
        return [1.0] * count
    if len(varargs) == 1 and np.ndim(varargs[0]) == 0:
        return list(varargs) * count
    if len(varargs) != count:
        raise TypeError(
            f"invalid number of arguments: {len(varargs)} distances for {count} axes; give none,"
            " one step for all axes, or a step or positions for each axis"
        )
    return list(varargs)


def _rings(periodic: Any, count: int) -> list[Any]:
    """Return one periodic= for each of `count` axes."""
    if not isinstance(periodic, (list, tuple)) and np.ndim(periodic) == 0:
        values = [periodic] * count
    else:
        values = list(periodic)
    if len(values) != count or any(isinstance(value, str) for value in values):
        raise XgradError(
            f"periodic={periodic!r} is not understood: give True, False or a period,"
            f" or a sequence of {count} of these, one for each differentiated axis"
        )
    return values


def _line(axis: int, size: int, spacing: Any, ring: Any) -> Axis:
    """Decide about one axis: its positions, uniform or not, open or a ring."""
    positions: Any = spacing if isinstance(spacing, (xr.DataArray, xr.Variable)) else np.asanyarray(spacing)
    if positions.ndim > 1:
        raise CoordinateError(
            f"distances along axis {axis} must be either scalars or 1d, found shape {positions.shape!r}"
        )
    if positions.dtype.kind == "O":  # a fraction, an integer of more than 64 bits, a datetime.timedelta
        positions = float(spacing) if isinstance(spacing, Real) else spacing
    try:
        return axis_from_spacing(axis, size, positions, periodic=ring)
    except CoordinateError as error:
        if _turns_back(np.asarray(positions)):
            raise CoordinateError(
                f"{error} (for a curve x(t), y(t): differentiate both with respect to t, and divide)"
            ) from error
        raise


def _turns_back(positions: NDArray[Any]) -> bool:
    """Tell whether positions are finite numbers, neither all ascending nor all descending."""
    if positions.ndim != 1 or positions.dtype.kind not in "iuf" or not np.isfinite(positions).all():
        return False
    before, after = positions[:-1], positions[1:]
    return not ((after > before).all() or (after < before).all())


def _partial(axis: int, line: Axis, *, order: int, edge_order: int) -> Partial:
    """Make the stencils of one axis, or say how many points they need."""
    points = line.points.shape[1]
    needed = points_needed(1, order, edge_order, line.step is not None, line.boundary)
    if points < needed:
        option = f"order={order} on a periodic axis" if line.ring else f"edge_order={edge_order}"
        fit = [p for p in ORDERS if p < points] if line.ring else range(1, points)
        advice = f"use {'order' if line.ring else 'edge_order'}={max(fit)}" if fit else "use more points"
        raise XgradError(
            f"axis {axis} is too small: it has {points} points, {option} needs at least {needed}; {advice}"
        )
    ends, accuracy = line.boundary, {"order": order, "edge_order": edge_order}
    stencils = scheme(line.points, step=line.step, boundary=ends, scale=line.scale, **accuracy)
    return Partial(axis, stencils, line.descending, overlap=line.overlap)


def _differentiate(data: Array, wanted: Sequence[Partial]) -> tuple[Array, ...]:
    """Differentiate an array of any kind, and give the results its type."""
    if isinstance(data._meta if is_chunked(data) else data, np.ma.MaskedArray):
        return _masked(data, wanted)
    if type(data) is np.ndarray or not isinstance(data, np.ndarray):
        return _plain(data, wanted)
    results = tuple(result.view(type(data)) for result in _plain(np.asarray(data), wanted))
    for result in results:
        result.__array_finalize__(data)  # takes over the attributes of the subclass, as empty_like does
    return results


def _plain(data: Array, wanted: Sequence[Partial]) -> tuple[Array, ...]:
    """Differentiate an array without a mask."""
    if _holds_times(data):
        return _times(data, wanted)
    if isinstance(data.dtype, np.dtype) and data.dtype.kind not in "biufcO":
        raise TypeError(f"f has the dtype {data.dtype!s}: numbers, dates or durations are needed")
    return partials(data, wanted, gaps=False)


def _holds_times(data: Array) -> bool:
    """Whether the data are dates or durations."""
    return isinstance(data.dtype, np.dtype) and data.dtype.kind in "mM"


def _masked(data: Array, wanted: Sequence[Partial]) -> tuple[Array, ...]:
    """Differentiate a masked array: a result is masked where its stencil reads a masked value."""
    values = _plain(_each(_filled, data), wanted)
    masks = partials(_each(_mask, data), wanted, gaps=False)
    results = tuple(_each(_remasked, value, mask) for value, mask in zip(values, masks, strict=True))
    if data.dtype.kind in "fc" and not is_chunked(data):
        for result in results:
            result.fill_value = data.fill_value
    return results


def _each(function: Callable[..., Any], *arrays: Array) -> Array:
    """Apply a function to arrays, or lazily to the blocks of Dask arrays."""
    return arrays[0].map_blocks(function, *arrays[1:]) if is_chunked(arrays[0]) else function(*arrays)


def _filled(block: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    """Return numbers in which NaN (NaT) stands for masked values, which cannot leak then."""
    kind = block.dtype.kind
    missing: Any = np.array("NaT", block.dtype) if kind in "mM" else np.nan
    whole: Any = block if kind in "fcmM" else block.astype(np.float64)
    return np.asarray(whole.filled(missing))


def _mask(block: np.ma.MaskedArray[Any, Any]) -> NDArray[np.float64]:
    """Return NaN where a value is masked and 0 elsewhere: its derivative is NaN where the mask spreads to."""
    return np.where(np.ma.getmaskarray(block), np.nan, 0.0)


def _remasked(values: NDArray[Any], mask: NDArray[np.float64]) -> np.ma.MaskedArray[Any, Any]:
    """Mask the results whose stencils read masked values."""
    return np.ma.MaskedArray(values, np.isnan(mask))


def _times(data: Array, wanted: Sequence[Partial]) -> tuple[Array, ...]:
    """Differentiate dates or durations: each half of their int64, then joined to whole ticks."""
    result = np.dtype(data.dtype.str.replace("M8", "m8")).newbyteorder("=")
    upper, lower = (partials(_each(half, data), wanted, gaps=False) for half in (_upper, _lower))
    join = partial(_durations, dtype=result)
    return tuple(_each(join, high, low) for high, low in zip(upper, lower, strict=True))


def _upper(times: NDArray[Any]) -> NDArray[np.float64]:
    """Return the upper half of int64 ticks; that NaT is missing is said in the lower one."""
    return (_ticks(times) >> _HALF).astype(np.float64)


def _lower(times: NDArray[Any]) -> NDArray[np.float64]:
    """Return the lower half of int64 ticks, NaN for NaT."""
    return np.where(np.isnat(times), np.nan, _ticks(times) & (2**_HALF - 1))


def _ticks(times: NDArray[Any]) -> NDArray[np.int64]:
    """View native times as integers."""
    return times.astype(times.dtype.newbyteorder("="), copy=False).view(np.int64)


def _durations(upper: NDArray[np.float64], lower: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Join both halves to durations truncated toward zero; NaT for NaN and for what int64 cannot hold."""
    total = upper * 2.0**_HALF + lower
    with np.errstate(invalid="ignore"):  # of NaN and inf
        nearest = np.rint(total)
        near = np.clip(_NEAR_ULPS * np.spacing(np.abs(total)), _NEAR, _NEAR_MOST)
        ticks = np.where(np.abs(total - nearest) <= near, nearest, np.trunc(total))
    valid = np.abs(ticks) < 2.0**63
    durations = np.where(valid, ticks, 0.0).astype(np.int64).view(dtype)
    durations[~valid] = np.array("NaT", durations.dtype)
    return durations
