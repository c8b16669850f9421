"""Every decision of a call and every check of what the user asked for; the data are not touched."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr

from . import chunks, display, labels, quantities, schemes
from .axes import Axis, axis_from_coordinate, axis_from_spacing
from .errors import CoordinateError, XgradError

Periodic = Literal["auto"] | bool | str | Sequence[Hashable] | Mapping[Any, Any]
Dims = Hashable | Iterable[Hashable] | None

_log = logging.getLogger("xgrad")


@dataclass(frozen=True, slots=True)
class Options:
    """The options that all methods share, checked."""

    order: int = 2
    edge_order: int | None = None
    skipna: bool = True
    periodic: Periodic = "auto"
    spacing: Mapping[Hashable, Any] = field(default_factory=dict)
    datetime_unit: str = "s"

    def __post_init__(self) -> None:
        if isinstance(self.order, bool) or self.order not in schemes.ORDERS:
            raise XgradError(f"order={self.order!r} is not available; choose one of {schemes.ORDERS}")
        highest = max(schemes.ORDERS)
        if self.edge_order is not None and (
            isinstance(self.edge_order, bool) or self.edge_order not in range(1, highest + 1)
        ):
            raise XgradError(f"edge_order={self.edge_order!r} is not available; choose 1 to {highest}")
        if not isinstance(self.skipna, bool | np.bool_):
            raise XgradError(f"skipna={self.skipna!r}: choose True or False")
        if not isinstance(self.spacing, Mapping):
            raise XgradError(f"spacing={self.spacing!r}: give a mapping {{dim: step or positions}}")

    @property
    def at_edges(self) -> int:
        """Order of accuracy at open ends."""
        return self.order if self.edge_order is None else self.edge_order

    def period_of(self, name: Hashable, dim: Hashable) -> Any:
        """What `periodic` says of one coordinate."""
        if isinstance(self.periodic, bool | np.bool_) or self.periodic == "auto":
            return self.periodic
        if isinstance(self.periodic, Mapping):
            return self.periodic.get(name, self.periodic.get(dim, False))
        return name in _names(self.periodic) or dim in _names(self.periodic)


@dataclass(frozen=True, slots=True)
class Step:
    """One derivative along one axis: the coordinate, the stencils, and the order of the derivative."""

    axis: Axis
    partial: chunks.Partial
    n: int


@dataclass(frozen=True, slots=True)
class Output:
    """A derivative that will be made: one step, or the steps of a mixed partial in the order in which they are applied."""

    name: Hashable
    attrs: dict[Any, Any]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One variable and its derivatives."""

    name: Hashable | None
    units: str | None
    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]
    chunks: tuple[tuple[int, ...], ...] | None
    dtype: Any
    outputs: tuple[Output, ...]
    left_out: tuple[tuple[Hashable, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call will do: for each variable its derivatives, how they are made, and what is left out and why."""

    options: Options
    fields: tuple[Field, ...]
    left_out: tuple[tuple[Hashable, str], ...] = ()

    def __repr__(self) -> str:
        return display.text(_tables(self), self.left_out)

    def _repr_html_(self) -> str:
        return display.html(_tables(self), self.left_out)


def plan_compute(
    obj: xr.DataArray | xr.Dataset, dims: Dims, options: Options, n: int, names: Mapping[Hashable, Hashable] | None
) -> Plan:
    """Decide how each derivative of `compute` is made."""
    _check_n(n)
    names = {} if names is None else names
    if not isinstance(names, Mapping):
        raise XgradError(f"names={names!r}: give a mapping {{dim: name of the output}}")
    wanted = None if dims is None else _names(dims)
    if isinstance(obj, xr.Dataset):
        return _plan_dataset(obj, wanted, options, n, names)
    _check_options(options, obj, wanted)
    taken = {obj.name, *obj.coords, *obj.dims}
    return Plan(options, (_plan_field(obj, wanted, options, n, names, taken, _Axes(obj, options)),))


def plan_derivative(obj: xr.DataArray, orders: Mapping[Hashable, int], options: Options, name: Hashable | None) -> Plan:
    """Decide how one partial derivative, mixed or not, is made."""
    if not orders:
        raise XgradError("no derivative was asked for: give orders by dimension, as in derivative(x=2, y=1)")
    for n in orders.values():
        _check_n(n)
    _check_options(options, obj, list(orders))
    _check_data(obj)
    axes = _Axes(obj, options)
    steps = [axes.step(obj, key, n) for key, n in orders.items()]
    if len({step.axis.dim for step in steps}) < len(steps):
        raise XgradError(f"{list(orders)!r} lie on the same dimension: differentiate along each dimension once")
    name = labels.default_name(obj.name, list(orders.items())) if name is None else name
    _check_name(name, {obj.name, *obj.coords, *obj.dims}, "name='...'")
    attrs = _attrs(obj, steps, options)
    steps.sort(key=lambda step: step.partial.axis)
    return Plan(options, (_field(obj, (Output(name, attrs, tuple(steps)),)),))


def survey(obj: xr.DataArray | xr.Dataset) -> Plan:
    """Plan what can be planned with the default options, and say of everything else why not."""
    options = Options()
    fields, left_out = [], []
    for name, array in obj.data_vars.items() if isinstance(obj, xr.Dataset) else [(obj.name, obj)]:
        axes, outputs, reasons = _Axes(obj, options), [], []
        try:
            _check_data(array)
            for dim in array.dims:
                try:
                    step = axes.step(array, dim, 1)
                    output = labels.default_name(array.name, [(dim, 1)])
                    outputs.append(Output(output, _attrs(array, [step], options), (step,)))
                except XgradError as error:
                    reasons.append((dim, str(error)))
            fields.append(_field(array, tuple(outputs), tuple(reasons)))
        except XgradError as error:
            left_out.append((name, str(error)))
    return Plan(options, tuple(fields), tuple(left_out))


class _Axes:
    """The axes of one call: each coordinate is read and decided once."""

    def __init__(self, obj: xr.DataArray | xr.Dataset, options: Options) -> None:
        self._obj, self._options = obj, options
        self._axes: dict[Hashable, Axis] = {}
        self._schemes: dict[tuple[Hashable, int], schemes.Scheme] = {}

    def step(self, array: xr.DataArray, name: Hashable, n: int) -> Step:
        """Return the derivative of an array along one coordinate."""
        if name not in self._axes:
            self._axes[name] = self._read(name)
        axis, options = self._axes[name], self._options
        if (name, n) not in self._schemes:
            _check_points(axis, n, options)
            self._schemes[name, n] = schemes.scheme(
                axis.points,
                step=axis.step,
                boundary=axis.boundary,
                scale=axis.scale,
                n=n,
                order=options.order,
                edge_order=options.at_edges,
            )
        place = array.dims.index(axis.dim)
        return Step(axis, chunks.Partial(place, self._schemes[name, n], axis.descending, axis.duplicate), n)

    def _read(self, name: Hashable) -> Axis:
        """Decide what one coordinate is."""
        obj, options = self._obj, self._options
        if name in options.spacing:
            return axis_from_spacing(
                name,
                obj.sizes[name],
                options.spacing[name],
                periodic=options.period_of(name, name),
                datetime_unit=options.datetime_unit,
            )
        dims = obj[name].dims if name in obj.coords else ()
        dim = dims[0] if len(dims) == 1 else name
        return axis_from_coordinate(
            obj, name, periodic=options.period_of(name, dim), datetime_unit=options.datetime_unit
        )


def _plan_dataset(
    obj: xr.Dataset, wanted: list[Hashable] | None, options: Options, n: int, names: Mapping[Hashable, Hashable]
) -> Plan:
    """Plan every numeric variable that has all dims; list the others."""
    _check_options(options, obj, wanted)
    axes, taken = _Axes(obj, options), {*obj.variables, *obj.dims}
    needed = {_dim_of(obj, name) for name in wanted or ()}
    supporting = _supporting(obj)
    fields: list[Field] = []
    left_out: list[tuple[Hashable, str]] = []
    for name, array in obj.data_vars.items():
        reason = _unsuited(array, name, supporting, needed)
        if reason is None and wanted is None and not any(_left_out(array, dim, options) is None for dim in array.dims):
            reason = "no dimension has a usable coordinate"
        if reason is not None:
            _log.info("%s is left out: %s", labels.plain(name), reason)
            left_out.append((name, reason))
            continue
        fields.append(_plan_field(array, wanted, options, n, names, taken, axes))
        taken |= {output.name for output in fields[-1].outputs}
    if not fields:
        listed = "; ".join(f"{name!r}: {reason}" for name, reason in left_out) or "it has no data variables"
        raise XgradError(f"no variable of the Dataset can be differentiated along {wanted or 'any dim'!r}: {listed}")
    return Plan(options, tuple(fields), tuple(left_out))


def _plan_field(
    array: xr.DataArray,
    wanted: list[Hashable] | None,
    options: Options,
    n: int,
    names: Mapping[Hashable, Hashable],
    taken: set[Hashable],
    axes: _Axes,
) -> Field:
    """Plan the derivatives of one variable."""
    _check_data(array)
    left_out: list[tuple[Hashable, str]] = []
    if wanted is None:
        reasons = [(dim, _left_out(array, dim, options)) for dim in array.dims]
        left_out = [(dim, reason) for dim, reason in reasons if reason is not None]
        wanted = [dim for dim, reason in reasons if reason is None]
        if not wanted:
            listed = "; ".join(f"{dim!r} {reason}" for dim, reason in left_out) or "there are no dimensions"
            raise CoordinateError(f"no dimension of {_called(array)} has a usable coordinate: {listed}")
    for dim, reason in left_out:
        _log.info("%s: dimension %s is left out: it %s", labels.plain(array.name), labels.plain(dim), reason)
    unused = [key for key in names if key not in wanted]
    if unused:
        raise XgradError(f"names= has {unused!r}, but the derivatives are along {wanted!r}")
    outputs: list[Output] = []
    for key in wanted:
        step = axes.step(array, key, n)
        name = names.get(key, labels.default_name(array.name, [(key, n)]))
        _check_name(name, {*taken, *(output.name for output in outputs)}, f"names={{{key!r}: '...'}}")
        outputs.append(Output(name, _attrs(array, [step], options), (step,)))
    return _field(array, tuple(outputs), tuple(left_out))


def _field(
    array: xr.DataArray, outputs: tuple[Output, ...], left_out: tuple[tuple[Hashable, str], ...] = ()
) -> Field:
    """Describe a variable."""
    return Field(
        array.name, _units_of(array), array.dims, array.shape, array.chunks, array.dtype, outputs, left_out
    )


def _units_of(array: xr.DataArray) -> str | None:
    """Return the unit of a variable's values: that of its quantity, s for times, else its `units` attribute."""
    if array.dtype.kind in "mM":
        return "s"
    return quantities.units_of(array) or array.attrs.get("units")


def _attrs(array: xr.DataArray, steps: Sequence[Step], options: Options) -> dict[Any, Any]:
    """Return the attributes of a derivative."""
    along = []
    for step in steps:
        axis = step.axis
        given = axis.name in options.spacing or axis.name not in array.coords
        attrs = {} if given else array.coords[axis.name].attrs
        along.append(labels.Along(axis.name, step.n, axis.units, axis.time, attrs))
    return labels.derivative_attrs(
        array.attrs, along, field=array.name, units=_units_of(array), comment=_comment(steps, options)
    )


def _comment(steps: Sequence[Step], options: Options) -> str:
    """Return the method in one line."""
    parts = []
    for step in steps:
        axis = step.axis
        edges = "" if axis.ring or options.at_edges == options.order else f" ({options.at_edges} at the ends)"
        notes = "".join(f", {note}" for note in axis.notes)
        parts.append(f"{labels.plain(axis.name)}: order {options.order}{edges}, {axis.kind}{notes}")
    missing = "" if options.skipna else "; missing values spread"
    return f"finite differences along {'; '.join(parts)}{missing}"


def _names(dims: Any) -> list[Hashable]:
    """Return names given as one name or as several."""
    if isinstance(dims, str) or not isinstance(dims, Iterable):
        return [dims]
    return list(dims)


def _dim_of(obj: xr.DataArray | xr.Dataset, name: Hashable) -> Hashable:
    """Return the dimension on which a name lies: itself, or that of a 1-D coordinate."""
    if name in obj.dims or name not in obj.coords:
        return name
    dims = obj.coords[name].dims
    return dims[0] if len(dims) == 1 else name


def _check_n(n: Any) -> None:
    """Refuse derivative orders other than 1 to 4."""
    if isinstance(n, bool) or n not in schemes.DERIVATIVES:
        raise XgradError(f"a derivative of order {n!r} is not available; choose one of {schemes.DERIVATIVES}")


def _check_options(options: Options, obj: xr.DataArray | xr.Dataset, wanted: list[Hashable] | None) -> None:
    """Refuse names that are not there, that are given twice, or that nothing uses."""
    known = [*obj.dims, *(name for name in obj.coords if name not in obj.dims)]
    data_names = obj.data_vars if isinstance(obj, xr.Dataset) else ()
    for name in wanted or ():
        if name not in known and name not in data_names:
            raise CoordinateError(f"no dimension or coordinate {name!r}: {_suggestion(name, known)}")
    if wanted is not None and not wanted:
        raise XgradError("dims is empty: name the dimensions, or leave dims out for all of them")
    if wanted is not None and len(set(wanted)) < len(wanted):
        raise XgradError(f"dims={wanted!r} names a dimension twice")
    used = known if wanted is None else [*wanted, *(_dim_of(obj, name) for name in wanted)]
    for key in options.spacing:
        if key not in obj.dims:
            raise CoordinateError(f"spacing= has {key!r}, which is no dimension: {_suggestion(key, list(obj.dims))}")
        if key not in (wanted or known):
            raise XgradError(f"spacing= has {key!r}, but the derivatives are along {wanted!r}")
    periodic = options.periodic
    if isinstance(periodic, bool | np.bool_) or periodic == "auto":
        return
    for key in periodic if isinstance(periodic, Mapping) else _names(periodic):
        if key not in used:
            raise XgradError(
                f"periodic={periodic!r} names {key!r}, but the derivatives are along {wanted or list(obj.dims)!r}; "
                "give 'auto', True, False, dimensions, or a mapping {dim: period}"
            )


def _suggestion(name: Hashable, known: Sequence[Hashable]) -> str:
    """Return what may have been meant."""
    near = difflib.get_close_matches(str(name), [str(key) for key in known], n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {list(known)!r}"


def _check_name(name: Hashable, taken: set[Hashable], remedy: str) -> None:
    """Refuse a name of an output that something else has."""
    if name in taken:
        raise XgradError(f"the result would be called {name!r}, which exists already; choose its name with {remedy}")


def _check_data(array: xr.DataArray) -> None:
    """Refuse data that have no derivative, or whose chunks are not known."""
    if array.dtype.kind not in "biufcmM":
        raise XgradError(f"{_called(array)} has dtype {array.dtype}; numbers, dates or durations are needed")
    if array.chunks is not None and any(np.isnan(size) for along in array.chunks for size in along):
        raise XgradError(f"{_called(array)} has chunks of unknown size; call .compute_chunk_sizes() on its Dask array")


def _check_points(axis: Axis, n: int, options: Options) -> None:
    """Refuse an axis with fewer points than its stencil, and say with which order it would do."""

    def needed(order: int, edge_order: int) -> int:
        return schemes.points_needed(n, order, edge_order, axis.step is not None, axis.ring)

    there, need = axis.points.shape[1], needed(options.order, options.at_edges)
    if there >= need:
        return
    orders = [order for order in schemes.ORDERS if needed(order, min(order, options.at_edges)) <= there]
    if orders:
        advice = f"order={orders[-1]} would work" + ("" if options.edge_order is None else " with a lower edge_order")
    elif not axis.ring and n + 1 <= there:
        advice = "edge_order=1 would work"
    else:
        advice = f"at least {n + 1} are needed for any order"
    raise CoordinateError(
        f"dimension {axis.dim!r} has {there} points, but {need} are needed for a derivative of order {n} "
        f"with accuracy order {options.order}{' on a ring' if axis.ring else f' and edge order {options.at_edges}'}; "
        f"{advice}"
    )


def _called(array: xr.DataArray) -> str:
    """Return how a message calls an array."""
    return "the array" if array.name is None else repr(array.name)


def _left_out(array: xr.DataArray, dim: Hashable, options: Options) -> str | None:
    """Say why a dimension is left out where none is named."""
    if array.sizes[dim] < 2:
        return f"has size {array.sizes[dim]}"
    if dim in options.spacing:
        return None
    if dim not in array.coords:
        return "has no coordinate"
    if isinstance(array.xindexes.get(dim), xr.indexes.PandasMultiIndex):
        return "has a MultiIndex"
    dtype = array.coords[dim].dtype
    if dtype.kind in "iufmM" or (dtype.kind == "O" and isinstance(array.indexes.get(dim), xr.CFTimeIndex)):
        return None
    return f"has a coordinate of dtype {dtype}"


def _supporting(obj: xr.Dataset) -> set[Hashable]:
    """Return the variables that describe coordinates: bounds, grid mappings, formula terms."""
    found: set[Hashable] = set()
    for variable in obj.variables.values():
        for key in ("bounds", "climatology", "grid_mapping", "formula_terms"):
            text = variable.attrs.get(key, variable.encoding.get(key, ""))
            found |= {word for word in str(text).replace(":", " ").split() if word in obj.variables}
    return found


def supporting_variables(obj: xr.Dataset) -> list[Hashable]:
    """Return the data variables that describe coordinates (bounds, grid mappings) and stay in a result."""
    return [name for name in _supporting(obj) if name in obj.data_vars]


def _unsuited(array: xr.DataArray, name: Hashable, supporting: set[Hashable], needed: set[Hashable]) -> str | None:
    """Say why a variable of a Dataset is not differentiated."""
    missing = [dim for dim in needed if dim not in array.dims]
    checks: list[tuple[bool, Callable[[], str]]] = [
        (name in supporting, lambda: "it describes a coordinate"),
        (any(key.startswith("flag_") for key in map(str, array.attrs)), lambda: "it holds flags"),
        (array.dtype.kind not in "iufcmM", lambda: f"it has dtype {array.dtype}"),
        (bool(missing), lambda: f"it has no dimension {missing[0]!r}"),
    ]
    return next((reason() for failed, reason in checks if failed), None)


def _tables(plan: Plan) -> list[display.Table]:
    """Return the rows that are shown of a plan."""
    return [
        display.Table(
            title=f"{labels.plain(item.name if item.name is not None else 'f')} "
            f"({', '.join(f'{labels.plain(d)}: {size}' for d, size in zip(item.dims, item.shape, strict=True))}) "
            f"{item.dtype}" + (f" [{item.units}]" if item.units else ""),
            rows=[_row(output, step, plan.options) for output in item.outputs for step in output.steps],
            notes=[*_notes(item), *(f"{labels.plain(dim)}: {reason}" for dim, reason in item.left_out)],
        )
        for item in plan.fields
    ]


def _row(output: Output, step: Step, options: Options) -> dict[str, str]:
    """Return one line of the table."""
    axis, scheme = step.axis, step.partial.scheme
    low, high = axis.spacing
    spacing = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
    taps = 0 if scheme.interior is None else scheme.interior.weights.shape[0]
    edges = "" if axis.ring else f", {schemes.edge_width(step.n, options.at_edges)} at ends"
    low_reach, high_reach = scheme.reads(scheme.size // 2, scheme.size // 2 + 1, options.skipna)
    return {
        "result": labels.plain(output.name),
        "units": output.attrs.get("units", "unknown"),
        "along": labels.plain(axis.name),
        "coordinate": ("time, " if axis.time else "") + axis.kind + (", descending" if axis.descending else ""),
        "points": str(axis.size),
        "spacing": f"{spacing} {axis.units or ''}".strip(),
        "stencil": f"{taps or schemes.edge_width(step.n, options.at_edges)} points{edges}",
        "halo": str(max(scheme.size // 2 - low_reach, high_reach - scheme.size // 2 - 1)),
        "boundary": "ring" if axis.ring else "open",
        "notes": "; ".join(axis.notes),
    }


def _notes(item: Field) -> list[str]:
    """Say what the results weigh, and how they are chunked."""
    count = len(item.outputs)
    itemsize = np.dtype(item.dtype).itemsize if item.dtype.kind in "fc" else 8
    size = int(np.prod(item.shape, dtype=np.int64)) * itemsize
    if item.chunks is None:
        return [f"in memory; results {display.size(count * size)}"]
    largest = int(np.prod([max(along) for along in item.chunks], dtype=np.int64)) * itemsize
    number = int(np.prod([len(along) for along in item.chunks], dtype=np.int64))
    return [
        f"lazy, {number} chunks; a chunk with its results about {display.size((count + 1) * largest)}; "
        f"results {display.size(count * size)}"
    ]
