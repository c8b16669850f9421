"""The derivatives themselves: plan, run, label."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields
from numbers import Integral
from typing import Any, overload

import numpy as np
import xarray as xr

from . import blocks, candidates, chunks, planning, quantities, units
from . import geometry as geometries
from .errors import PrecisionWarning, XgradError, caller_level, suggestion
from .geometry import Frame, Geometry, Layout, Parts, aligned
from .options import Dims, Options, Periodic
from .plans import Field, Output, Plan


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
    geometry: str | Geometry | None = None,
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
    geometry: str | Geometry | None = None,
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
    geometry: str | Geometry | None = None,
    spacing: Mapping[Hashable, Any] | None = None,
    datetime_unit: str = "s",
    names: Mapping[Hashable, Hashable] | None = None,
) -> xr.Dataset | xr.DataTree:
    """Differentiate along named coordinates; Dask data stay lazy, nothing of them is computed by the call.

    Parameters
    ----------
    obj : DataArray, Dataset or DataTree
        The data: numbers, dates or durations. In a Dataset, and in each node of a DataTree, every numeric
        variable that has all the dims is differentiated; the others, bounds, flags and bool are left out, as
        `plan` and the log say.
    dims : hashable or iterable of hashable, optional
        Dimensions, or 1-D coordinates along one; one derivative each, in that order. By default every
        dimension that has a coordinate of numbers, dates or durations and more than one point.
    n : int
        Order of the derivative, 1 to 4.
    order : {2, 4, 6, 8}, optional
        Order of accuracy on uniform and on other coordinates; by default 2.
    edge_order : int, optional
        Order of accuracy at the ends of an axis and next to missing values; by default `order`.
    skipna : bool
        Whether points next to missing values (NaN, masked) get the widest stencil that fits between them, and
        missing values stay missing. With False they spread to all points whose stencil reads them.
    periodic : {"auto", True, False}, sequence of hashable, or mapping
        Which coordinates are rings: "auto" finds global longitudes; a sequence names the dims; a mapping
        gives their periods in the coordinate's unit. Those that are not named are open then.
    geometry : {"auto", "sphere", "ellipsoid", "projected", "curvilinear"} or geometry, optional
        How coordinates lie on the earth: horizontal derivatives are then to the east and to the north, per
        metre, and called ``d{name}_dx`` and ``d{name}_dy``. "auto" asks the CF metadata, and refuses what is
        ambiguous. By default derivatives are with respect to the coordinates themselves.
    spacing : mapping, optional
        Dimension to step or to positions, for a dimension without coordinate or instead of it.
    datetime_unit : {"s", "ms", "us", "ns", "m", "h", "D", "W"}
        Unit of time in which derivatives along dates and durations are expressed.
    names : mapping, optional
        Dimension to name of the derivative, where ``d{name}_d{dim}`` does not suit.

    Returns
    -------
    Dataset or DataTree
        One variable a derivative, with the dims, coordinates and chunks of the data. Floating dtypes are
        kept, all others give float64, dates and durations in seconds. `units` is the data's unit over the
        coordinate's, absent if one of them is unknown; quantities (pint) give quantities.

    Raises
    ------
    CoordinateError
        If a coordinate is missing, not monotonic, not finite, too short, or of no use otherwise.
    XgradError
        If an option is not valid, or the name of a derivative exists already.

    Notes
    -----
    Inside, a derivative of order n is ``sum_k w_k (f_{i+k} - f_i)`` with Fornberg's weights on the
    coordinate's own positions [1]_; its error is C h^order f^(order + n). At the ends of the axis, and of
    each run of valid points, one-sided stencils of `edge_order` serve. Arithmetic is done in float64 at
    least. A constant field gives exactly 0.0, and any chunking gives the same bits.

    References
    ----------
    .. [1] B. Fornberg, Generation of finite difference formulas on arbitrarily spaced grids, Math. Comp. 51
       (1988) 699-706, doi:10.1090/S0025-5718-1988-0935077-0.

    Examples
    --------
    >>> x = xr.DataArray([0.0, 1.0, 3.0], dims="x", attrs={"units": "m"})
    >>> f = xr.DataArray([0.0, 1.0, 9.0], dims="x", coords={"x": x}, name="f", attrs={"units": "K"})
    >>> compute(f, "x").df_dx.values
    array([0., 2., 6.])
    >>> compute(f, "x").df_dx.units
    'K m-1'
    """
    shape, options = _options(geometry, order, edge_order, skipna, periodic, spacing, datetime_unit)
    _check_object(obj, xr.DataArray | xr.Dataset | xr.DataTree)
    if isinstance(obj, xr.DataTree):
        plans = planning.plan_tree(obj, dims, options, n, names, shape)
        _warn(planning.merged(options, plans))
        return _tree(obj, plans)
    decided = planning.plan_compute(obj, dims, options, n, names, shape)
    _warn(decided)
    return _dataset(obj, decided)


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
        The same as `orders`, as keywords: ``derivative(f, x=2, y=1)``. Dimensions that are called like an
        option need the mapping.

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
    A mixed partial is the product of the one-dimensional stencils, applied in the order of the data's dims
    with float64 (or complex128) between them. On data without missing values the order does not matter but
    for rounding; next to missing values each factor uses the runs of the factor before it.

    Examples
    --------
    >>> x = xr.DataArray([0.0, 1.0, 2.0, 3.0], dims="x")
    >>> f = (x**2 * 1.0).assign_coords(x=x).rename("f")
    >>> derivative(f, x=2).values
    array([2., 2., 2., 2.])
    """
    _check_object(array, xr.DataArray)
    _check_keywords(array, dims)
    if orders is not None and dims:
        raise XgradError(f"orders are given twice, as {orders!r} and as keywords {dims!r}; give them once")
    if orders is not None and not isinstance(orders, Mapping):
        raise XgradError(f"orders={orders!r}: give a mapping {{dim: order of the derivative}}")
    options = Options.of(order, edge_order, skipna, periodic, spacing, datetime_unit)
    wanted: Mapping[Hashable, int] = dict(dims.items()) if orders is None else orders
    decided = planning.plan_derivative(array, wanted, options, name)
    _warn(decided)
    ((result_name, variable),) = _derivatives(array, decided.fields[0], options).items()
    return xr.DataArray(variable, coords=array.coords, name=result_name)


def plan(
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    dims: Dims = None,
    *,
    n: int = 1,
    order: int | None = None,
    edge_order: int | None = None,
    skipna: bool = True,
    periodic: Periodic = "auto",
    geometry: str | Geometry | None = None,
    spacing: Mapping[Hashable, Any] | None = None,
    datetime_unit: str = "s",
    names: Mapping[Hashable, Hashable] | None = None,
) -> Plan:
    """Say what `compute` would do with the same arguments; the data are not read.

    Parameters
    ----------
    obj : DataArray, Dataset or DataTree
        The data.
    dims, n, order, edge_order, skipna, periodic, geometry, spacing, datetime_unit, names
        As for `compute`.

    Returns
    -------
    Plan
        For each derivative the kind of its coordinate, its spacings, stencils, halo, boundary, units and
        name, and what is left out and why; shown as a table in text and HTML.

    Raises
    ------
    XgradError
        As for `compute`.
    """
    shape, options = _options(geometry, order, edge_order, skipna, periodic, spacing, datetime_unit)
    _check_object(obj, xr.DataArray | xr.Dataset | xr.DataTree)
    if isinstance(obj, xr.DataTree):
        return planning.merged(options, planning.plan_tree(obj, dims, options, n, names, shape))
    return planning.plan_compute(obj, dims, options, n, names, shape)


def _options(given: Any, order: int | None, *others: Any) -> tuple[Geometry | None, Options]:
    """Check the options; the order of accuracy that is not given is the geometry's."""
    shape = geometries.of(given)
    if order is None and shape is not None:
        order = shape.default_order
    return shape, Options.of(order, *others)


def _check_object(obj: object, needed: Any) -> None:
    """Refuse what is no object of xarray, or not one of the right kind."""
    if not isinstance(obj, needed):
        kinds = " or ".join(kind.__name__ for kind in getattr(needed, "__args__", (needed,)))
        found = f"{type(obj).__module__.partition('.')[0]}.{type(obj).__name__}"
        raise XgradError(f"a {kinds} of xarray is needed, found {found}")


def _check_keywords(array: xr.DataArray, dims: Mapping[str, Any]) -> None:
    """Refuse keywords that are neither options nor orders of derivatives, as Python would."""
    known = candidates.known_names(array)
    for key, value in dims.items():
        if key not in known and (isinstance(value, bool) or not isinstance(value, Integral)):
            options = [option.name for option in fields(Options)]
            near = suggestion(key, [*known, *options, "name"])
            raise TypeError(f"derivative() got an unexpected keyword argument {key!r}: {near}")


def _dataset(obj: xr.DataArray | xr.Dataset, decided: Plan) -> xr.Dataset:
    """Return a Dataset of all derivatives, with what describes the coordinates."""
    variables: dict[Hashable, Any] = {}
    grids: dict[Any, Parts] = {}
    for field in decided.fields:
        array = obj if isinstance(obj, xr.DataArray) else obj[field.name]
        variables |= _derivatives(array, field, decided.options, grids)
    if isinstance(obj, xr.DataArray):
        return xr.Dataset(variables, coords=obj.coords)
    kept = {name: obj.variables[name] for name in candidates.describing(obj, measures=True)}
    result = xr.Dataset(variables | kept, coords=obj.coords, attrs=obj.attrs)
    # The second is how storage knows which files, in which state, the data are from.
    kept_encoding = ("unlimited_dims", "xgrad_opened")
    result.encoding = {key: value for key, value in obj.encoding.items() if key in kept_encoding}
    return result


def _tree(tree: xr.DataTree, plans: Mapping[str, Plan]) -> xr.DataTree:
    """Return a tree of the same nodes with all derivatives."""
    nodes = {}
    for path, node in tree.subtree_with_keys:
        nodes[path] = _dataset(node.to_dataset(), plans.get(path, Plan(Options(), ())))
    return xr.DataTree.from_dict(nodes, name=tree.name)


def _derivatives(
    array: xr.DataArray, field: Field, options: Options, known: dict[Any, Parts] | None = None
) -> dict[Hashable, xr.Variable]:
    """Return the derivatives of one variable; `known` holds the factors of grids that others had."""
    data = quantities.strip(array.data)
    if field.frame is None:
        results = _run(data, field.outputs, options.skipna)
    else:
        results = _directed(data, field, field.frame, options, {} if known is None else known)
    encoding = {key: value for key, value in array.encoding.items() if key == "grid_mapping"}
    return {
        output.name: xr.Variable(array.dims, quantities.restore(result, output.unit), output.attrs, encoding)
        for output, result in zip(field.outputs, results, strict=True)
    }


def _directed(
    data: Any, field: Field, frame: Frame, options: Options, known: dict[Any, Parts]
) -> Sequence[Any]:
    """Return the data of each output of a geometry, and of those along other dimensions."""
    chunked = chunks.is_chunked(data)
    sizes = dict(zip(field.dims, data.chunks, strict=True)) if chunked else None
    key = (id(frame.parts), None if sizes is None else tuple(sizes.items()))
    if key not in known:
        known[key] = frame.parts(Layout(sizes, options))
    factors, nowhere = known[key]
    if nowhere is not None:
        data = chunks.without(data, aligned(nowhere, field.dims))
    wanted = list({id(step): step for output in field.outputs for step in output.steps}.values())
    places = {id(step): place for place, step in enumerate(wanted)}
    fitted = {which: aligned(factor, field.dims) for which, factor in factors.items() if not _is_one(factor)}
    components = []
    for output in field.outputs:
        terms = tuple(
            (places[id(step)], fitted.get((output.direction or "", step.axis.name))) for step in output.steps
        )
        components.append(chunks.Component(terms))
    return chunks.partials(
        data, [step.partial for step in wanted], gaps=options.skipna, components=components
    )


def _is_one(factor: xr.Variable) -> bool:
    """Whether a factor is the number 1."""
    return not factor.dims and float(factor.values) == 1.0


def _run(data: Any, outputs: Sequence[Output], gaps: bool) -> Sequence[Any]:
    """Return the data of each output: single derivatives of all axes in one pass, mixed ones by factors."""
    if len(outputs) == 1 and len(outputs[0].steps) > 1:
        return [_mixed(data, outputs[0], gaps)]
    return chunks.partials(data, [output.steps[0].partial for output in outputs], gaps=gaps)


def _mixed(data: Any, output: Output, gaps: bool) -> Any:
    """Return a mixed partial; between its factors nothing is rounded to single precision."""
    final = blocks.result_dtype(data)
    between = blocks.working_dtype(data, final)
    for step in output.steps:
        (data,) = chunks.partials(data, [step.partial], gaps=gaps, dtype=between)
    return (
        data.astype(final) if isinstance(final, np.dtype) else data.__array_namespace__().astype(data, final)
    )


def _warn(decided: Plan) -> None:
    """Warn of what limits accuracy, of too many chunks, and of units with which none can be formed."""
    for text in dict.fromkeys(f.frame.warning for f in decided.fields if f.frame is not None):
        if text is not None:
            warnings.warn(text, PrecisionWarning, stacklevel=caller_level())
    found: list[str | None] = []
    for field in decided.fields:
        if field.chunks is not None:
            chunks.warn_of_many(field.chunks, getattr(field.dtype, "itemsize", 8), field.dims)
        outputs = [output for output in field.outputs if output.unit is None]  # quantities know theirs
        if outputs:
            found.append(field.units)
        found += [step.axis.units for output in outputs if not output.direction for step in output.steps]
    units.warn_unusable(*(word for word in found if word is not None))
