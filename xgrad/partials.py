"""The derivatives themselves: plan, run, label."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar, overload

import numpy as np
import xarray as xr

from . import blocks, chunks, planning, quantities, units
from .errors import XgradError
from .planning import Dims, Field, Options, Output, Periodic, Plan

Labelled = TypeVar("Labelled", xr.DataArray, xr.Dataset)


@overload
def compute(
    obj: xr.DataTree,
    dims: Dims = None,
    *,
    n: int = 1,
    order: int | None = None,
    edge_order: int | None = None,
    skipna: bool = True,
    periodic: Periodic = "auto",
    spacing: Mapping[Hashable, Any] | None = None,
    datetime_unit: str = "s",
    names: Mapping[Hashable, Hashable] | None = None,
) -> xr.DataTree: ...


@overload
def compute(
    obj: xr.DataArray | xr.Dataset,
    dims: Dims = None,
    *,
    n: int = 1,
    order: int | None = None,
    edge_order: int | None = None,
    skipna: bool = True,
    periodic: Periodic = "auto",
    spacing: Mapping[Hashable, Any] | None = None,
    datetime_unit: str = "s",
    names: Mapping[Hashable, Hashable] | None = None,
) -> xr.Dataset: ...


def compute(
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    dims: Dims = None,
    *,
    n: int = 1,
    order: int | None = None,
    edge_order: int | None = None,
    skipna: bool = True,
    periodic: Periodic = "auto",
    spacing: Mapping[Hashable, Any] | None = None,
    datetime_unit: str = "s",
    names: Mapping[Hashable, Hashable] | None = None,
) -> xr.Dataset | xr.DataTree:
    """Differentiate along named coordinates; Dask data stay lazy, nothing of them is computed by the call.

    Parameters
    ----------
    obj : DataArray, Dataset or DataTree
        The data: numbers, dates or durations. Of a Dataset every numeric variable that has all the dims is differentiated.
    dims : hashable or iterable of hashable, optional
        Dimensions, or 1-D coordinates along one; one derivative each, in that order. By default every dimension that has a
        numeric coordinate and more than one point.
    n : int
        Order of the derivative, 1 to 4.
    order : {2, 4, 6, 8}, optional
        Order of accuracy on uniform and on other coordinates; by default 2.
    edge_order : int, optional
        Order of accuracy at the ends of an axis and next to missing values; by default `order`.
    skipna : bool
        Whether points next to missing values (NaN, masked) get the widest stencil that fits between them. Missing values stay
        missing either way. With False they spread to all points whose stencil reads them.
    periodic : {"auto", True, False}, sequence of hashable, or mapping
        Which coordinates are rings: "auto" finds global longitudes; a sequence names the dims; a mapping gives their periods
        in the coordinate's unit.
    spacing : mapping, optional
        Dimension to step or to positions, for a dimension without coordinate or instead of it.
    datetime_unit : {"s", "ms", "us", "ns", "m", "h", "D", "W"}
        Unit of time in which derivatives along dates and durations are expressed.
    names : mapping, optional
        Dimension to name of the derivative, where ``d{name}_d{dim}`` does not suit.

    Returns
    -------
    Dataset or DataTree
        One variable a derivative, with the dims, coordinates and chunks of the data. float32 and complex64 data keep their
        dtype, integers give float64. `units` is the data's unit over the coordinate's, absent if one of them is unknown.

    Raises
    ------
    CoordinateError
        If a coordinate is missing, not monotonic, not finite, too short, or of no use otherwise.
    XgradError
        If an option is not valid, or the name of a derivative exists already.

    Notes
    -----
    Inside, a derivative of order n is ``sum_k w_k (f_{i+k} - f_i)`` with Fornberg's weights on the coordinate's own positions
    [1]_; its error is C h^order f^(order + n). At the ends of the axis, and of each run of valid points, one-sided stencils of
    `edge_order` serve. Arithmetic is done in float64. A constant field gives exactly 0.0, and any chunking gives the same bits.

    References
    ----------
    .. [1] B. Fornberg, Generation of finite difference formulas on arbitrarily spaced grids, Math. Comp. 51 (1988) 699-706,
       doi:10.1090/S0025-5718-1988-0935077-0.

    Examples
    --------
    >>> x = xr.DataArray([0.0, 1.0, 3.0], dims="x", attrs={"units": "m"})
    >>> f = xr.DataArray([0.0, 1.0, 9.0], dims="x", coords={"x": x}, name="f", attrs={"units": "K"})
    >>> compute(f, "x").df_dx.values
    array([0., 2., 6.])
    >>> compute(f, "x").df_dx.units
    'K m-1'
    """
    options = dict(
        n=n,
        order=order,
        edge_order=edge_order,
        skipna=skipna,
        periodic=periodic,
        spacing=spacing,
        datetime_unit=datetime_unit,
        names=names,
    )
    if isinstance(obj, xr.DataTree):
        return _over_nodes(obj, dims, options)
    decided = plan(obj, dims, **options)  # type: ignore[arg-type]
    units.warn_unusable(*_unit_words(decided))
    arrays = {field.name: obj for field in decided.fields} if isinstance(obj, xr.DataArray) else obj.data_vars
    variables: dict[Hashable, Any] = {}
    for field in decided.fields:
        variables |= _derivatives(arrays[field.name], field, decided.options)  # type: ignore[index]
    if isinstance(obj, xr.DataArray):
        return xr.Dataset(variables, coords=obj.coords)
    kept = {name: obj.variables[name] for name in planning.supporting_variables(obj)}
    result = xr.Dataset(variables | kept, coords=obj.coords, attrs=obj.attrs)
    result.encoding = {key: value for key, value in obj.encoding.items() if key == "unlimited_dims"}
    return result


def derivative(
    array: xr.DataArray,
    orders: Mapping[Hashable, int] | None = None,
    *,
    order: int | None = None,
    edge_order: int | None = None,
    skipna: bool = True,
    periodic: Periodic = "auto",
    spacing: Mapping[Hashable, Any] | None = None,
    datetime_unit: str = "s",
    name: Hashable | None = None,
    **dims: int,
) -> xr.DataArray:
    """Return one partial derivative, of any order up to 4 along each dimension; lazy on Dask.

    Parameters
    ----------
    array : DataArray
        The data.
    orders : mapping, optional
        Dimension (or 1-D coordinate) to order of the derivative along it, 1 to 4.
    order, edge_order, skipna, periodic, spacing, datetime_unit
        As for `compute`.
    name : hashable, optional
        Name of the result, where the default does not suit.
    **dims : int
        The same as `orders`, as keywords: ``derivative(f, x=2, y=1)``.

    Returns
    -------
    DataArray
        Called ``d3f_dx2dy`` for orders x=2, y=1; dims, coordinates, chunks and dtype of the data.

    Raises
    ------
    XgradError
        As for `compute`.

    Notes
    -----
    A mixed partial is the product of the one-dimensional stencils, applied in the order of the data's dims with float64 (or
    complex128) between them. On data without missing values the order does not matter but for rounding; next to missing
    values each factor uses the runs of the factor before it.

    Examples
    --------
    >>> x = xr.DataArray([0.0, 1.0, 2.0, 3.0], dims="x")
    >>> f = (x**2 * 1.0).assign_coords(x=x).rename("f")
    >>> derivative(f, x=2).values
    array([2., 2., 2., 2.])
    """
    if not isinstance(array, xr.DataArray):
        raise XgradError(f"derivative works on a DataArray, found a {type(array).__name__}; choose a variable of it")
    if orders is not None and dims:
        raise XgradError(f"orders are given twice, as {orders!r} and as keywords {dims!r}; give them once")
    if orders is not None and not isinstance(orders, Mapping):
        raise XgradError(f"orders={orders!r}: give a mapping {{dim: order of the derivative}}")
    options = _options(order, edge_order, skipna, periodic, spacing, datetime_unit)
    decided = planning.plan_derivative(array, dims if orders is None else orders, options, name)
    units.warn_unusable(*_unit_words(decided))
    (field,) = decided.fields
    ((result_name, variable),) = _derivatives(array, field, options).items()
    return xr.DataArray(variable, coords=array.coords, name=result_name)


def plan(
    obj: xr.DataArray | xr.Dataset,
    dims: Dims = None,
    *,
    n: int = 1,
    order: int | None = None,
    edge_order: int | None = None,
    skipna: bool = True,
    periodic: Periodic = "auto",
    spacing: Mapping[Hashable, Any] | None = None,
    datetime_unit: str = "s",
    names: Mapping[Hashable, Hashable] | None = None,
) -> Plan:
    """Say what `compute` would do with the same arguments; the data are not read.

    Parameters
    ----------
    obj : DataArray or Dataset
        The data.
    dims, n, order, edge_order, skipna, periodic, spacing, datetime_unit, names
        As for `compute`.

    Returns
    -------
    Plan
        For each derivative the kind of its coordinate, its spacings, stencils, halo, boundary, units and name, and what is left
        out and why; shown as a table in text and HTML.

    Raises
    ------
    XgradError
        As for `compute`.
    """
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        raise XgradError(f"a DataArray or a Dataset is needed, found a {type(obj).__name__}")
    options = _options(order, edge_order, skipna, periodic, spacing, datetime_unit)
    return planning.plan_compute(obj, dims, options, n, names)


def _options(
    order: int | None,
    edge_order: int | None,
    skipna: bool,
    periodic: Periodic,
    spacing: Mapping[Hashable, Any] | None,
    datetime_unit: str,
) -> Options:
    """Check the options that all functions share."""
    return Options(
        order=2 if order is None else order,
        edge_order=edge_order,
        skipna=skipna,
        periodic=periodic,
        spacing={} if spacing is None else spacing,
        datetime_unit=datetime_unit,
    )


def _over_nodes(tree: xr.DataTree, dims: Dims, options: dict[str, Any]) -> xr.DataTree:
    """Differentiate every node of a tree that has data."""
    results = {node.path: compute(node.to_dataset(), dims, **options) for node in tree.subtree if node.data_vars}
    if not results:
        raise XgradError("no node of the DataTree has data variables")
    return xr.DataTree.from_dict(results, name=tree.name)


def _derivatives(array: xr.DataArray, field: Field, options: Options) -> dict[Hashable, xr.Variable]:
    """Return the derivatives of one variable."""
    data = array.data
    along = [[(step.axis.units, step.n) for step in output.steps] for output in field.outputs]
    derived = [quantities.derived_unit(data, factors) for factors in along]
    results = _run(quantities.strip(data), field.outputs, options)
    encoding = {key: value for key, value in array.encoding.items() if key == "grid_mapping"}
    variables: dict[Hashable, xr.Variable] = {}
    for output, result, unit in zip(field.outputs, results, derived, strict=True):
        attrs = {key: value for key, value in output.attrs.items() if unit is None or key != "units"}
        variables[output.name] = xr.Variable(array.dims, quantities.restore(result, unit), attrs, encoding)
    return variables


def _run(data: Any, outputs: Sequence[Output], options: Options) -> Sequence[Any]:
    """Return the data of each output: single derivatives in one pass, mixed ones factor by factor."""
    gaps = bool(options.skipna)
    if all(len(output.steps) == 1 for output in outputs):
        return chunks.partials(data, [output.steps[0].partial for output in outputs], gaps=gaps)
    (output,) = outputs
    final = blocks.result_dtype(data)
    between = np.result_type(final, np.float64)
    for step in output.steps:
        (data,) = chunks.partials(data, [step.partial], gaps=gaps, dtype=between)
    return [data.astype(final)]


def _unit_words(decided: Plan) -> list[str]:
    """Return every unit from which the units of the results are formed."""
    found = [field.units for field in decided.fields]
    found += [step.axis.units for field in decided.fields for output in field.outputs for step in output.steps]
    return [word for word in found if word is not None]
