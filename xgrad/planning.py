"""Every decision of a call: what is asked meets what is there, and a plan results; no data are touched."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import xarray as xr

from . import blocks, candidates, chunks, labels, quantities
from .axes import Axis, axis_from_coordinate, axis_from_spacing
from .candidates import Grid, LeftOut, held, listed
from .errors import CoordinateError, XgradError, suggestion
from .geometry import Direction, Frame, Geometry, Site, partial
from .geometry.auto import Auto
from .options import (
    Dims,
    Options,
    check_free,
    check_hashable,
    check_used,
    derivative_order,
    names_of,
    output_names,
)
from .plans import Field, Output, Plan, Step

_log = logging.getLogger("xgrad")

# Of a geometry that leaves a variable as it is; geometry='auto' alone does.
_UNMARKED = (
    "geometry='auto': nothing marks longitudes, latitudes or a projection; coordinates are as they are"
)


def plan_compute(
    obj: Grid, dims: Dims, options: Options, n: int, names: Any, shape: Geometry | None = None
) -> Plan:
    """Decide how each derivative of `compute` is made."""
    known = candidates.known_names(obj)
    wanted = None if dims is None else names_of(dims, known)
    call = _Call(obj, options, _first_only(derivative_order(n), shape), output_names(names), wanted, shape)
    used = known if wanted is None else [*wanted, *(candidates.dim_of(obj, name) for name in wanted)]
    options.check_names(wanted, used, list(obj.dims))
    if isinstance(obj, xr.Dataset):
        return _plan_dataset(obj, call)
    candidates.check_data(obj.name, obj.variable)
    for key in wanted or ():
        call.dim(key)
    frame = call.frame(obj.name, obj.variable)
    keys, left_out = call.keys(obj.name, obj.variable, frame)
    if not keys:
        reasons = listed(left_out) or "there are no dimensions"
        raise CoordinateError(
            f"no dimension of {candidates.called(obj.name)} has a usable coordinate: {reasons}"
        )
    check_used(call.names, _names_of_keys(keys, frame))
    taken = {obj.name, *obj.coords, *obj.dims}
    return Plan(options, (call.field(obj.name, obj.variable, keys, left_out, taken, frame, alone=True),))


def plan_derivative(
    obj: xr.DataArray, orders: Mapping[Hashable, int], options: Options, name: Hashable | None
) -> Plan:
    """Decide how one partial derivative, mixed or not, is made."""
    if not orders:
        raise XgradError("no derivative was asked for: give orders by dimension, as in derivative(x=2, y=1)")
    keys = list(orders)
    options.check_names(keys, [*keys, *(candidates.dim_of(obj, key) for key in keys)], list(obj.dims))
    call = _Call(obj, options, 1, {}, keys)
    found = [call.axis(key) for key in keys]
    if len({axis.dim for axis in found}) < len(found):
        raise XgradError(f"{keys!r} lie on the same dimension: differentiate along each dimension once")
    factors = [(key, derivative_order(orders[key], key)) for key in keys]
    candidates.check_data(obj.name, obj.variable)
    if name is None:
        name = labels.default_name(obj.name, factors)
    check_hashable(name, "name=")
    check_free(name, {obj.name, *obj.coords, *obj.dims}, "choose another with name='...'")
    steps = [call.step(obj.dims, key, n) for key, n in factors]
    output = call.output(name, obj.name, obj.variable, steps)
    applied = tuple(sorted(steps, key=lambda step: step.partial.axis))
    return Plan(options, (_field(obj.name, obj.variable, (replace(output, steps=applied),)),))


def plan_tree(
    tree: xr.DataTree, dims: Dims, options: Options, n: int, names: Any, shape: Geometry | None = None
) -> dict[str, Plan]:
    """Decide how the derivatives in each node of a tree are made; for a node that lacks a name none are."""
    nodes = {path: node.to_dataset() for path, node in tree.subtree_with_keys}
    known = _union(map(candidates.known_names, nodes.values()))
    wanted = None if dims is None else names_of(dims, known)
    for name in wanted or ():
        if name not in known:
            raise CoordinateError(
                f"no dimension or coordinate {name!r} in the DataTree: {suggestion(name, known)}"
            )
    n, names = _first_only(derivative_order(n), shape), output_names(names)
    used = known
    if wanted is not None:
        used = _union([wanted, *([candidates.dim_of(ds, name) for name in wanted] for ds in nodes.values())])
    options.check_names(wanted, used, _union(ds.dims for ds in nodes.values()))
    check_used(names, used if wanted is None else wanted)
    plans = {
        path: _plan_node(path, ds, options, n, names, wanted, shape)
        for path, ds in nodes.items()
        if ds.data_vars
    }
    if not any(plan.fields for plan in plans.values()):
        reasons = listed(merged(options, plans).left_out) or "it holds no data variables"
        raise XgradError(f"nothing in the DataTree can be differentiated{_along(wanted)}: {reasons}")
    return plans


def merged(options: Options, plans: Mapping[str, Plan]) -> Plan:
    """Return the plans of a tree's nodes as one, in which variables are named with their paths."""

    def path(node: str, name: Hashable | None) -> str:
        return f"{name}" if node == "." else f"{node}/{name}"

    fields = [
        replace(item, name=path(node, item.name)) for node, plan in plans.items() for item in plan.fields
    ]
    left_out = [(path(node, name), reason) for node, plan in plans.items() for name, reason in plan.left_out]
    return Plan(options, tuple(fields), tuple(left_out))


def survey(obj: Grid | xr.DataTree) -> Plan:
    """Plan what can be planned with the default options, and say of everything else why not; never raises."""
    options = Options()
    if isinstance(obj, xr.DataTree):
        return merged(options, {path: survey(node.to_dataset()) for path, node in obj.subtree_with_keys})
    call, described = _Call(obj, options, 1, {}, None), candidates.describing(obj)
    fields: list[Field] = []
    left_out: list[tuple[Hashable | None, str]] = []
    whole = isinstance(obj, xr.DataArray)
    for name, variable in _named(obj):
        try:
            reason = None if whole else candidates.unsuited(name, variable, described, ())
            if reason is None:
                candidates.check_data(name, variable)
                fields.append(_surveyed(name, variable, call))
        except Exception as error:
            reason = _reason(error)
        if reason is not None:
            left_out.append(("f" if name is None else name, reason))
    return Plan(options, tuple(fields), tuple(left_out))


class _Call:
    """One call: what it asks for, and the axes of its object, of which each is read and decided once."""

    def __init__(
        self,
        obj: Grid,
        options: Options,
        n: int,
        names: Mapping[Hashable, Hashable],
        wanted: Sequence[Hashable] | None,
        shape: Geometry | None = None,
    ) -> None:
        self.options, self.n, self.names, self.wanted, self.shape = options, n, names, wanted, shape
        self.obj, self._coords = obj, obj.coords.variables
        self._axes: dict[tuple[Any, ...], Axis] = {}
        self._steps: dict[tuple[Any, ...], Step] = {}
        self._useless: dict[Hashable, str | None] = {}
        self._frames: dict[tuple[Any, ...], Frame | None] = {}

    def dim(self, name: Hashable) -> Hashable:
        """Return the dimension of what the call names, which need not have a coordinate in a geometry."""
        if self.shape is not None and name in candidates.known_names(self.obj):
            return candidates.dim_of(self.obj, name)
        return self.axis(name).dim

    def frame(self, name: Hashable | None, variable: xr.Variable) -> Frame | None:
        """Bind the geometry to a variable."""
        return None if self.shape is None else self.bound(self.shape, name, variable)

    def bound(self, shape: Geometry, name: Hashable | None, variable: xr.Variable) -> Frame | None:
        """Bind a geometry to a variable; variables on the same grid and of the same parity share it."""
        named = (variable.attrs.get(k, variable.encoding.get(k)) for k in ("grid_mapping", "coordinates"))
        key = (variable.dims, *map(str, named))
        if key not in self._frames:
            obj = self.obj
            array = obj if isinstance(obj, xr.DataArray) else obj[name]
            asked = None if self.wanted is None else tuple(self.wanted)
            frame = shape.bind(Site(array, obj, asked, self.options, self.axis, shape.word))
            if frame is not None:
                self._check_frame(frame)
            self._frames[key] = frame
        frame = self._frames[key]
        if frame is None:
            return None
        sign = frame.parity_of(name, variable)
        if (*key, sign) not in self._frames:
            self._frames[*key, sign] = frame.of_parity(sign)
        return self._frames[*key, sign]

    def _check_frame(self, frame: Frame) -> None:
        """Refuse what a geometry cannot be asked for."""
        for axis in frame.axes.values():
            if axis.name in self.options.spacing or axis.dim in self.options.spacing:
                raise XgradError(
                    f"spacing= has {axis.dim!r}, whose spacing the geometry knows; leave it out, or give "
                    "cell sizes with xgrad.Metric"
                )
        if self.wanted is None:
            asked = frame.dims
        else:
            dims = {candidates.dim_of(self.obj, name) for name in self.wanted}
            asked = [dim for dim in frame.dims if dim in dims]
        word = self.shape.word if self.shape else None
        if not asked:
            raise XgradError(
                f"geometry={word!r} is for {frame.dims!r}, but the derivatives are along "
                f"{self.wanted!r}; name the former, or leave geometry out"
            )
        if set(asked) & set(frame.together) and not set(asked) >= set(frame.together):
            raise XgradError(
                f"geometry={word!r} needs all of {list(frame.together)!r}, as each of its directions depends "
                f"on both; found {self.wanted!r}"
            )
        for axis in frame.used(asked):
            candidates.check_points(axis, 1, self.options)

    def keys(
        self, name: Hashable | None, variable: xr.Variable, frame: Frame | None
    ) -> tuple[list[Hashable | Direction], LeftOut]:
        """Return along what a variable is differentiated, and the dimensions that are left out."""
        served = [] if frame is None else frame.dims
        order, left_out = (
            (self.wanted, ()) if self.wanted is not None else self.usable(name, variable, served)
        )
        found: list[Hashable | Direction] = []
        for key in order:
            dim = candidates.dim_of(self.obj, key)
            if frame is None or dim not in served:
                found.append(key)
                continue
            asked = frame.together if dim in frame.together else (dim,)
            found += [d for d in frame.directions if frame.axes[d.dim].dim in asked and d not in found]
        return found, left_out

    def axis(self, name: Hashable, marks: Mapping[Any, Any] = MappingProxyType({})) -> Axis:
        """Decide what one coordinate is; `marks` are attributes that count besides its own."""
        known = (name, *marks.items())
        if known not in self._axes:
            obj, options = self.obj, self.options
            periodic = options.period_of(name, candidates.dim_of(obj, name))
            unit = options.datetime_unit
            if name in options.spacing:
                given = options.spacing[name]
                axis = axis_from_spacing(name, obj.sizes[name], given, periodic=periodic, datetime_unit=unit)
            else:
                if marks:
                    obj = obj.coords.to_dataset().assign_coords({name: obj[name].assign_attrs(marks)})
                axis = axis_from_coordinate(obj, name, periodic=periodic, datetime_unit=unit)
            self._axes[known] = axis
        return self._axes[known]

    def usable(
        self, name: Hashable | None, variable: xr.Variable, served: Sequence[Hashable]
    ) -> tuple[list[Hashable], LeftOut]:
        """Return the dimensions with a coordinate of use or served by a geometry, and why not the others."""
        left_out: list[tuple[Hashable, str]] = []
        for dim in variable.dims:
            if dim in served:
                continue
            if dim not in self._useless:
                self._useless[dim] = candidates.useless(self.obj, dim, self.options)
            reason = self._useless[dim]
            if reason is not None:
                left_out.append((dim, reason))
                _log.info("%s: dimension %s is left out: %s", labels.plain(name), labels.plain(dim), reason)
        without = dict(left_out)
        return [dim for dim in variable.dims if dim not in without], tuple(left_out)

    def step(self, dims: tuple[Hashable, ...], name: Hashable, n: int) -> Step:
        """Return the derivative along one coordinate of an array with these dimensions."""
        axis = self.axis(name)
        place = dims.index(axis.dim)
        if (name, n, place) not in self._steps:
            candidates.check_points(axis, n, self.options)
            self._steps[name, n, place] = Step(axis, partial(axis, dims, n, self.options), n)
        return self._steps[name, n, place]

    def steps(self, dims: tuple[Hashable, ...], direction: Direction, frame: Frame) -> list[Step]:
        """Return the derivatives that make up one in a direction; directions share them."""
        found = []
        for key in direction.along:
            known = (id(frame), key, dims)
            if known not in self._steps:
                self._steps[known] = Step(frame.axes[key], frame.partial(dims, key, self.options), 1)
            found.append(self._steps[known])
        return found

    def field(
        self,
        name: Hashable | None,
        variable: xr.Variable,
        keys: Sequence[Hashable | Direction],
        left_out: LeftOut,
        taken: set[Hashable | None],
        frame: Frame | None = None,
        *,
        alone: bool,
    ) -> Field:
        """Plan the derivatives of one variable, and add their names to those that are taken."""
        outputs, note = [], _UNMARKED if self.shape is not None and frame is None else ""
        for key in keys:
            asked, ending = (key.dim, key.key) if isinstance(key, Direction) else (key, key)
            try:
                if isinstance(key, Direction) and frame is not None:
                    steps = self.steps(variable.dims, key, frame)
                else:
                    steps = [self.step(variable.dims, asked, self.n)]
            except CoordinateError as error:
                if self.wanted is not None:
                    raise
                raise CoordinateError(
                    f"{error}; or name the dimensions that are wanted, dims=[...]"
                ) from error
            output = self._name(asked, frame) or labels.default_name(name, [(ending, self.n)])
            remedy = f"choose another with names={{{asked!r}: '...'}}"
            check_free(output, taken, remedy + ("" if alone else ", one variable a call"))
            taken.add(output)
            if isinstance(key, Direction) and frame is not None:
                outputs.append(self.directed(output, name, variable, steps, key, frame))
            else:
                outputs.append(self.output(output, name, variable, steps, note))
        field = _field(name, variable, tuple(outputs), left_out, frame)
        return replace(field, notes=(note,)) if note else field

    def _name(self, key: Hashable, frame: Frame | None) -> Hashable | None:
        """Return the name that the user gives to an output, by its coordinate or by its dimension."""
        if frame is not None and key in frame.axes:
            return self.names.get(key, self.names.get(frame.axes[key].dim))
        return self.names.get(key)

    def directed(
        self,
        name: Hashable,
        field: Hashable | None,
        variable: xr.Variable,
        steps: Sequence[Step],
        direction: Direction,
        frame: Frame,
    ) -> Output:
        """Describe a derivative of a variable in a direction."""
        along = labels.Along(direction.key, 1, direction.units, False, {})
        comment = f"{_comment(steps, self.options)}; {direction.word} {', '.join(frame.notes)}"
        attrs = labels.derivative_attrs(
            variable.attrs,
            [along],
            field=field,
            units=_units_of(variable),
            comment=comment,
            word=direction.word,
        )
        data = held(variable)
        if not quantities.is_quantity(data):
            return Output(name, attrs, tuple(steps), direction=direction.key)
        unit = quantities.derived_unit(data, [(direction.key, direction.units, 1)])
        kept = {key: value for key, value in attrs.items() if key != "units"}
        return Output(name, kept, tuple(steps), unit, direction.key)

    def output(
        self,
        name: Hashable,
        field: Hashable | None,
        variable: xr.Variable,
        steps: Sequence[Step],
        note: str = "",
    ) -> Output:
        """Describe one derivative of a variable."""
        along = []
        for step in steps:
            axis = step.axis
            attrs = {} if axis.name in self.options.spacing else self._coords[axis.name].attrs
            along.append(labels.Along(axis.name, step.n, axis.units, axis.time, attrs))
        units, comment = _units_of(variable), _comment(steps, self.options)
        if note and not any(step.axis.time for step in steps):
            comment += f"; {note}"
        attrs = labels.derivative_attrs(variable.attrs, along, field=field, units=units, comment=comment)
        data = held(variable)
        if not quantities.is_quantity(data):
            return Output(name, attrs, tuple(steps))
        unit = quantities.derived_unit(data, [(step.axis.name, step.axis.units, step.n) for step in steps])
        return Output(
            name, {key: value for key, value in attrs.items() if key != "units"}, tuple(steps), unit
        )


def _plan_dataset(obj: xr.Dataset, call: _Call) -> Plan:
    """Plan the variables of a Dataset; refuse it where there are none."""
    plan = _plan_variables(obj, call)
    if not plan.fields:
        reasons = listed(plan.left_out) or "it has no data variables"
        raise XgradError(f"no variable of the Dataset can be differentiated{_along(call.wanted)}: {reasons}")
    outputs = [output for item in plan.fields for output in item.outputs]
    used = _union(_names_of_step(step) for output in outputs for step in output.steps)
    check_used(call.names, used)
    return plan


def _plan_variables(obj: xr.Dataset, call: _Call) -> Plan:
    """Plan every numeric variable that has all dims; list the others."""
    needed = [call.dim(name) for name in call.wanted or ()]
    described = candidates.describing(obj)
    chosen: list[tuple[Hashable, xr.Variable, Sequence[Hashable | Direction], LeftOut, Frame | None]] = []
    left_out: list[tuple[Hashable, str]] = []
    refused: XgradError | None = None
    for name, variable in _named(obj):
        keys: Sequence[Hashable | Direction] = ()
        dims_left: LeftOut = ()
        frame: Frame | None = None
        reason = candidates.unsuited(name, variable, described, needed)
        if reason is None and call.shape is not None:
            try:
                frame = call.frame(name, variable)
            except XgradError as error:
                refused, reason = refused or error, str(error)
        if reason is None:
            keys, dims_left = call.keys(name, variable, frame)
            if not keys:
                reason = f"no dimension of it has a usable coordinate: {listed(dims_left) or 'it has none'}"
        if reason is None:
            candidates.check_data(name, variable)
            chosen.append((name, variable, keys, dims_left, frame))
        else:
            _log.info("%s is left out: %s", labels.plain(name), reason)
            left_out.append((name, reason))
    if refused is not None and call.wanted is not None and not chosen:
        raise refused
    taken: set[Hashable | None] = {*obj.variables, *obj.dims}
    fields = [
        call.field(name, variable, keys, dims_left, taken, frame, alone=len(chosen) == 1)
        for name, variable, keys, dims_left, frame in chosen
    ]
    return Plan(call.options, tuple(fields), tuple(left_out))


def _plan_node(
    path: str,
    ds: xr.Dataset,
    options: Options,
    n: int,
    names: Mapping[Hashable, Hashable],
    wanted: Sequence[Hashable] | None,
    shape: Geometry | None,
) -> Plan:
    """Plan the variables of a tree's node; a node that lacks a name is left out."""
    known = candidates.known_names(ds)
    missing = [name for name in wanted or () if name not in known]
    if missing:
        reason = f"its node has no dimension or coordinate {missing[0]!r}"
        for name in ds.data_vars:
            _log.info("%s/%s is left out: %s", labels.plain(path), labels.plain(name), reason)
        return Plan(options, (), tuple((name, reason) for name in ds.data_vars))
    own = {key: name for key, name in names.items() if key in known}
    try:
        return _plan_variables(ds, _Call(ds, options, n, own, wanted, shape))
    except XgradError as error:
        raise type(error)(f"node {path!r}: {error}") from error


def _named(obj: Grid) -> list[tuple[Any, xr.Variable]]:
    """Return what may be differentiated, each with its name: plans need no DataArrays, which cost time."""
    if isinstance(obj, xr.DataArray):
        return [(obj.name, obj.variable)]
    variables = obj.variables
    return [(name, variables[name]) for name in obj.data_vars]


def _surveyed(name: Hashable | None, variable: xr.Variable, call: _Call) -> Field:
    """Plan the derivatives of a variable along its dimensions, each on its own."""
    outputs: list[Output] = []
    reasons: list[tuple[Hashable, str]] = []
    for dim in variable.dims:
        try:
            step = call.step(variable.dims, dim, 1)
            outputs.append(call.output(labels.default_name(name, [(dim, 1)]), name, variable, [step]))
        except Exception as error:
            reasons.append((dim, _reason(error)))
    field = _field(name, variable, tuple(outputs), tuple(reasons))
    return replace(field, notes=_of_earth(name, variable, call))


def _of_earth(name: Hashable | None, variable: xr.Variable, call: _Call) -> tuple[str, ...]:
    """Say which geometry the metadata of a variable ask for, if any."""
    try:
        frame = call.bound(Auto(), name, variable)
    except Exception as error:
        return (_reason(error),)
    return (
        () if frame is None else tuple(f"geometry='auto': {note}" for note in (*frame.notes, *frame.reasons))
    )


def _reason(error: Exception) -> str:
    """Return what an error says; what was not foreseen is called by its name."""
    return str(error) if isinstance(error, XgradError) else f"{type(error).__name__}: {error}"


def _first_only(n: int, shape: Geometry | None) -> int:
    """Refuse higher derivatives in a geometry."""
    if n > 1 and shape is not None:
        raise XgradError(
            f"n={n} with geometry={shape.word!r}: only first derivatives have a direction; n=1 works"
        )
    return n


def _names_of_keys(keys: Sequence[Hashable | Direction], frame: Frame | None) -> list[Hashable]:
    """Return what `names` may have as keys."""
    found: list[Hashable] = []
    for key in keys:
        if isinstance(key, Direction):
            found += [key.dim, *([frame.axes[key.dim].dim] if frame and key.dim in frame.axes else [])]
        else:
            found.append(key)
    return found


def _names_of_step(step: Step) -> list[Hashable]:
    """Return what `names` may have as keys."""
    return [step.axis.name, step.axis.dim]


def _field(
    name: Hashable | None,
    variable: xr.Variable,
    outputs: tuple[Output, ...],
    left_out: LeftOut = (),
    frame: Frame | None = None,
) -> Field:
    """Describe a variable."""
    data = quantities.strip(held(variable))
    return Field(
        name=name,
        units=_units_of(variable),
        dims=variable.dims,
        shape=variable.shape,
        chunks=data.chunks if chunks.is_chunked(data) else None,
        dtype=variable.dtype,
        result_dtype=blocks.result_dtype(data),
        outputs=outputs,
        left_out=left_out,
        frame=frame,
        notes=() if frame is None else (*frame.notes, *frame.reasons),
    )


def _units_of(variable: xr.Variable) -> str | None:
    """Return the unit of a variable's values: of its quantity, s for times, else its `units` attribute."""
    if getattr(variable.dtype, "kind", None) in ("m", "M"):
        return "s"
    return quantities.units_of(held(variable)) or variable.attrs.get("units")


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


def _along(wanted: Sequence[Hashable] | None) -> str:
    """Return the names that were given, in words."""
    return "" if wanted is None else f" along {list(wanted)!r}"


def _union(groups: Iterable[Iterable[Hashable]]) -> list[Hashable]:
    """Return all names of several groups, each once, in order."""
    return list(dict.fromkeys(name for group in groups for name in group))
