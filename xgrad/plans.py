"""What a call will do, as values: fields, their outputs, the steps to each; and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from . import display, halos, labels, schemes
from .axes import Axis
from .geometry import Frame
from .options import Options


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One derivative along one axis: the coordinate, the stencils, and the order of the derivative."""

    axis: Axis
    partial: halos.Partial
    n: int

    def reach(self, skipna: bool) -> int:
        """Return how many neighbours the widest stencil reads on one side."""
        scheme = self.partial.scheme
        middle = scheme.size // 2
        first, stop = scheme.reads(middle, middle + 1, skipna)
        return int(max(middle - first, stop - middle - 1))


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """A derivative that will be made.

    Attributes
    ----------
    name : Hashable
        What it will be called.
    attrs : dict
        Its attributes.
    steps : tuple of Step
        One step, or those of a mixed partial in the order in which they are applied, or those whose sum is
        the derivative in a direction.
    unit : object
        Of a quantity's derivative: its unit, of the quantity's own registry. None for data without.
    direction : str or None
        The direction of a geometry's frame, None for a derivative along coordinates.
    """

    name: Hashable
    attrs: dict[Any, Any]
    steps: tuple[Step, ...]
    unit: Any = None
    direction: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One variable and its derivatives.

    Attributes
    ----------
    name : Hashable or None
        The variable; within a tree with the path of its node.
    units : str or None
        The unit of its values.
    dims, shape, chunks, dtype : tuples and dtype
        Its layout; chunks are None in memory.
    result_dtype : dtype
        The dtype of the derivatives.
    outputs : tuple of Output
        The derivatives.
    left_out : tuple of (dimension, reason)
        Dimensions along which there will be none, if none were named.
    frame : Frame or None
        The geometry at work on it.
    notes : tuple of str
        What else deserves to be said.
    """

    name: Hashable | None
    units: str | None
    dims: tuple[Hashable, ...]
    shape: tuple[int, ...]
    chunks: tuple[tuple[int, ...], ...] | None
    dtype: Any
    result_dtype: Any
    outputs: tuple[Output, ...]
    left_out: tuple[tuple[Hashable, str], ...] = ()
    frame: Frame | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a call will do: for each variable its derivatives, how they are made, what is left out and why.

    Attributes
    ----------
    options : Options
        The options of the call.
    fields : tuple of Field
        The variables that will be differentiated.
    left_out : tuple of (variable, reason)
        The variables that will not.
    """

    options: Options
    fields: tuple[Field, ...]
    left_out: tuple[tuple[Hashable | None, str], ...] = ()

    def __repr__(self) -> str:
        return display.text(_tables(self), self.left_out)

    def _repr_html_(self) -> str:
        return display.html(_tables(self), self.left_out)

    def to_dict(self) -> dict[str, Any]:
        """Return what the plan shows as numbers, words, lists and dictionaries, for JSON.

        Returns
        -------
        dict
            ``variables``, each with its dimensions, units, chunks, derivatives, and notes, such as which
            geometry was chosen and why; and ``left_out``, with the reasons.
        """
        return {
            "variables": [_described(item, self.options) for item in self.fields],
            "left_out": {str(name): reason for name, reason in self.left_out},
        }


def _tables(plan: Plan) -> list[display.Table]:
    """Return the rows that are shown of a plan."""
    return [
        display.Table(
            title=_title(item),
            rows=[_row(output, step, plan.options) for output in item.outputs for step in output.steps],
            notes=[*_notes(item), *item.notes, *(f"{dim}: {reason}" for dim, reason in item.left_out)],
        )
        for item in plan.fields
    ]


def _title(item: Field) -> str:
    """Return the name of a variable with its dimensions, dtype and unit."""
    sizes = ", ".join(f"{dim}: {size}" for dim, size in zip(item.dims, item.shape, strict=True))
    unit = f" [{item.units}]" if item.units else ""
    return f"{'f' if item.name is None else item.name} ({sizes}) {item.dtype}{unit}"


def _row(output: Output, step: Step, options: Options) -> dict[str, str]:
    """Return one line of the table."""
    axis, facts = step.axis, _facts(step, options)
    low, high = axis.spacing
    spacing = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
    return {
        "result": labels.plain(output.name),
        "units": _unit(output) or "unknown",
        "along": labels.plain(axis.name),
        "coordinate": ", ".join(
            ["time"] * axis.time + [axis.kind] + ["descending"] * axis.descending  # words that apply
        ),
        "points": str(axis.size),
        "spacing": f"{spacing} {axis.units or ''}".strip(),
        "order": _order(axis, options),
        "stencil": f"{facts['stencil']} points" + ("" if axis.ring else f", {facts['edge_stencil']} at ends"),
        "halo": str(facts["halo"]),
        "boundary": facts["boundary"],
        "notes": "; ".join(axis.notes),
    }


def _described(item: Field, options: Options) -> dict[str, Any]:
    """Return what is known of a variable and its derivatives."""
    return {
        "name": None if item.name is None else str(item.name),
        "units": item.units,
        "dtype": str(item.dtype),
        "dims": dict(zip(map(str, item.dims), item.shape, strict=True)),
        "chunks": None if item.chunks is None else [list(along) for along in item.chunks],
        "result_dtype": str(item.result_dtype),
        "geometry": None if item.frame is None else [*item.frame.notes, *item.frame.reasons],
        "derivatives": [
            {
                "name": str(output.name),
                "units": _unit(output),
                "direction": output.direction,
                "along": [_facts(step, options) for step in output.steps],
            }
            for output in item.outputs
        ],
        "left_out": {str(dim): reason for dim, reason in item.left_out},
        "notes": list(item.notes),
    }


def _facts(step: Step, options: Options) -> dict[str, Any]:
    """Return what is known of one derivative along one axis."""
    axis, scheme = step.axis, step.partial.scheme
    low, high = axis.spacing
    middle = scheme.size // 2
    ((_, _, _, inside),) = scheme.line.spans(middle, middle + 1)
    return {
        "name": str(axis.name),
        "dim": str(axis.dim),
        "n": step.n,
        "kind": axis.kind,
        "time": axis.time,
        "descending": axis.descending,
        "points": axis.size,
        "spacing": [low, high],
        "units": axis.units,
        "order": options.order,
        "edge_order": None if axis.ring else options.at_edges,
        "stencil": int(inside),
        "edge_stencil": None if axis.ring else schemes.edge_width(step.n, options.at_edges),
        "halo": step.reach(options.skipna),
        "boundary": "ring" if axis.ring else "pole" if _crosses(axis) else "open",
        "notes": list(axis.notes),
    }


def _unit(output: Output) -> str | None:
    """Return the unit of a result in words, None if it is unknown."""
    return output.attrs.get("units") if output.unit is None else str(output.unit)


def _crosses(axis: Axis) -> bool:
    """Whether stencils go on beyond a pole."""
    return any(isinstance(end, schemes.Mirror) for end in axis.boundary)


def _order(axis: Axis, options: Options) -> str:
    """Return the orders of accuracy in words."""
    same = axis.ring or options.at_edges == options.order
    return str(options.order) if same else f"{options.order}, {options.at_edges} at ends"


def _notes(item: Field) -> list[str]:
    """Say what the results weigh, and how they are chunked."""
    count, results = len(item.outputs), f"results {item.result_dtype}"
    own, each = (getattr(dtype, "itemsize", 8) for dtype in (item.dtype, item.result_dtype))
    total = display.size(count * math.prod(item.shape) * each)
    if item.chunks is None:
        return [f"in memory; {results}, {total}"]
    largest = math.prod(max(along) for along in item.chunks)
    number = math.prod(len(along) for along in item.chunks)
    one = display.size(largest * (own + count * each))
    lazy = f"lazy, {number} {'chunk' if number == 1 else 'chunks'}; one with its results {one}"
    return [f"{lazy}; {results}, {total}"]
