"""Derivatives of chunked arrays: the only module that builds Dask graphs.

Each chunk is cut once into the thin slabs that its neighbours read (one task), and each chunk with its
neighbours' slabs gives all derivatives at once (one task). Chunks thinner than a stencil are served by
slabs of further neighbours. Rows around a pole, which are read on the far side of the earth, are joined to a
whole circle (one task a pole). The chunks of the result are those of the input, and nothing is rechunked.
"""

from __future__ import annotations

import itertools
import math
import operator
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import blocks
from .errors import caller_level
from .halos import (
    Across,
    Circle,
    Link,
    NoEast,
    Partial,
    Piece,
    PoleLink,
    cap_pieces,
    exchange,
    links,
    pole_links,
)

_MANY_CHUNKS = 100_000
# Bytes of a chunk that is large against the cost of its tasks, and of one that leaves memory for others.
_ENOUGH, _MOST = 16 * 2**20, 128 * 2**20

Array = Any


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """A result that is a sum of derivatives, each with a factor at every point.

    Attributes
    ----------
    terms : tuple of (int, array or None)
        Which derivative; its factor, with as many dimensions as the data, of size 1 where it is constant.
        None where it has none.
    """

    terms: tuple[tuple[int, Array | None], ...]


class _Task(NamedTuple):
    """What all chunks have in common."""

    dtype: Any
    gaps: bool
    sums: tuple[tuple[tuple[int, int], ...], ...]
    circle: Circle | None


class _Here(NamedTuple):
    """One chunk: its place, its links, its rows on poles by derivative, its columns on the circle."""

    place: tuple[int, ...]
    links: tuple[Link, ...]
    poles: tuple[tuple[int, PoleLink | NoEast], ...]
    columns: tuple[int, int]


def is_chunked(data: Array) -> bool:
    """Whether the data are a Dask array; tells it without importing Dask."""
    return hasattr(data, "__dask_graph__") and hasattr(data, "chunks")


def partials(
    data: Array,
    wanted: Sequence[Partial],
    *,
    gaps: bool,
    dtype: Any = None,
    components: Sequence[Component] = (),
) -> tuple[Array, ...]:
    """Return one derivative for each wanted partial, or the components made of them, in one pass.

    Parameters
    ----------
    data : array
        NumPy, Dask or other Array API array. Dask arrays are not computed and keep their chunks.
    wanted : sequence of Partial
        Of any axes; two may lie on one.
    gaps : bool
        Whether points next to missing values get the stencils of their run.
    dtype : dtype, optional
        Dtype of the results, by default that of the data for floating dtypes and float64 for all else.
    components : sequence of Component, optional
        Sums of the derivatives that are the results, rounded once. By default the derivatives themselves.

    Returns
    -------
    tuple of arrays
        Shaped and chunked like the data.
    """
    dtype = blocks.result_dtype(data) if dtype is None else dtype
    given = {id(factor): factor for each in components for _, factor in each.terms if factor is not None}
    factors, places = list(given.values()), {id(None): -1}
    places |= {id(factor): place for place, factor in enumerate(factors)}
    sums = tuple(tuple((index, places[id(factor)]) for index, factor in c.terms) for c in components)
    polar = next(
        (p for one in wanted if (p := one if one.circle else one.poles and one.poles.meridian)), None
    )
    circle = None if polar is None else polar.circle
    if is_chunked(data):
        task = _Task(dtype, gaps and _may_have_gaps(data), sums, circle)
        return _lazy(data, tuple(wanted), factors, task, polar)
    task = _Task(dtype, gaps, sums, circle)
    own = tuple(links(partial, (partial.size,), gaps)[0] for partial in wanted)
    poles = _poles(wanted, {p.poles.meridian.axis: (p.poles.meridian.size,) for p in wanted if p.poles}, gaps)
    columns = (0, 0 if circle is None else data.shape[circle.axis])
    here = _Here((0,) * data.ndim, own, poles(here=0), columns)
    caps = {}
    if polar is not None:
        for side in _sides(here):
            (piece,) = cap_pieces(polar, side, (polar.size,), gaps)
            caps[side] = _cut(data, polar.axis, piece)
    return _evaluate(data, here, task, caps, {}, factors, parallel=True)


def pointwise(
    function: Callable[..., Array],
    *arrays: Array,
    lead: int = 0,
    drop: int = 0,
    around: int = 0,
    dtype: Any = np.float64,
) -> Array:
    """Apply a function of bare blocks; lazily on Dask.

    Parameters
    ----------
    function : callable
        Takes one block of each array and returns one array.
    *arrays : array
        Of equal shapes but for leading dimensions that are not chunked; Dask arrays are chunked alike.
    lead : int
        Size of the first dimension of the result, which replaces that of the arrays; 0 where it does not.
    drop : int
        1 where the first dimension of the arrays is not one of the result.
    around : int
        Neighbouring points that blocks of a single array are given along all dimensions but the first.
    dtype : dtype
        Dtype of the result.

    Returns
    -------
    array
        Chunked like the arrays.
    """
    first = arrays[0]
    if not any(map(is_chunked, arrays)):
        if around:
            return function(first)
        inner = first.shape[bool(drop or lead) :]
        return blocks.piecewise(function, arrays, (lead, *inner) if lead else inner, dtype)
    import dask.array as da

    if around:
        depth = {axis: around if axis else 0 for axis in range(first.ndim)}
        wide = da.overlap.overlap(first, depth, dict.fromkeys(depth, "none"))
        made = wide.map_blocks(function, dtype=dtype, meta=np.empty((0,) * first.ndim, dtype))
        narrow = da.overlap.trim_internal(made, depth, dict.fromkeys(depth, "none"))
        return narrow.rechunk(first.chunks)
    inner = first.chunks[bool(drop or lead) :]
    return da.map_blocks(
        function,
        *arrays,
        dtype=dtype,
        drop_axis=[0] if drop and not lead else [],
        chunks=((lead,), *inner) if lead else inner,
        meta=np.empty((0,) * (len(inner) + bool(lead)), dtype),
    )


def gridded(
    function: Callable[..., Array],
    rows: NDArray[Any],
    columns: NDArray[Any],
    chunks: Sequence[tuple[int, ...]] | None,
) -> Array:
    """Return the two values of a function on a grid, shape (2, ny, nx); lazily if chunked."""
    if chunks is None:
        return function(rows, columns)
    import dask.array as da

    parts = [da.from_array(one, chunks=(along,)) for one, along in zip((rows, columns), chunks, strict=True)]
    return da.blockwise(
        function,
        "pyx",
        parts[0],
        "y",
        parts[1],
        "x",
        new_axes={"p": 2},
        align_arrays=False,
        dtype=np.float64,
        meta=np.empty((0, 0, 0)),
    )


def broadcast(array: Array, shape: Sequence[int], chunks: Sequence[tuple[int, ...]] | None) -> Array:
    """Return an array with more points along dimensions in which it is constant."""
    if chunks is None:
        return np.broadcast_to(array, shape)
    import dask.array as da

    return da.broadcast_to(array, shape, chunks=tuple(chunks))


def stacked(arrays: Sequence[Array]) -> Array:
    """Join arrays along a new first dimension, which is not chunked."""
    if not any(map(is_chunked, arrays)):
        return np.stack(arrays)
    import dask.array as da

    return da.stack(arrays).rechunk({0: -1})


def warn_of_many(
    chunks: Sequence[Sequence[int]], itemsize: int, dims: Sequence[Hashable] | None = None
) -> None:
    """Warn of more chunks than Dask can be expected to plan, and name sizes that would do.

    Parameters
    ----------
    chunks : sequence of sequence of int
        The lengths of the chunks along each axis.
    itemsize : int
        Bytes of a value.
    dims : sequence of hashable, optional
        The names of the axes.
    """
    count = math.prod(map(len, chunks))
    if count <= _MANY_CHUNKS:
        return
    import dask.array as da

    sizes = larger(chunks, itemsize, _MANY_CHUNKS)
    if sizes is None:
        advice = f"{_MOST >> 20} MiB a chunk would be too many still: differentiate them in parts"
    else:
        fewer, names = _counts(chunks, sizes), range(len(chunks)) if dims is None else dims
        given = {names[i]: size for i, size in enumerate(sizes) if fewer[i] < len(chunks[i])}
        advice = f"chunks={given} would make {math.prod(fewer)} of them"
        if dims is not None:
            option = ",".join(f"{dim}:{size}" for dim, size in given.items())
            advice += f" (on the command line --chunks {option}, or --memory)"
    warnings.warn(
        f"the data have {count} chunks, for each of which Dask makes and schedules tasks; {advice}",
        da.PerformanceWarning,
        stacklevel=caller_level(),
    )


def larger(chunks: Sequence[Sequence[int]], itemsize: int, most: int) -> tuple[int, ...] | None:
    """Find sizes of chunks of which there are not so many.

    Parameters
    ----------
    chunks : sequence of sequence of int
        The lengths of the chunks that there are, along each axis.
    itemsize : int
        Bytes of a value.
    most : int
        How many chunks there may be.

    Returns
    -------
    tuple of int or None
        A size for each axis, of several chunks that there are; 16 MiB a chunk or more, unless the data are
        smaller. None if 128 MiB a chunk are not enough.

    Examples
    --------
    >>> larger([(1,) * 200_000, (100,), (200,)], 4, 100_000)
    (256, 100, 200)
    """
    sizes = [max(*along, 1) for along in chunks]
    while True:
        counts = _counts(chunks, sizes)
        count, nbytes = math.prod(counts), math.prod(sizes) * itemsize
        if count <= 1 or 2 * nbytes > _MOST or (count <= most and nbytes >= _ENOUGH):
            return tuple(sizes) if count <= most else None
        axis = counts.index(max(counts))
        sizes[axis] = min(2 * sizes[axis], sum(chunks[axis]))


def _counts(chunks: Sequence[Sequence[int]], sizes: Sequence[int]) -> list[int]:
    """Return how many chunks of some sizes there are along each axis."""
    return [math.ceil(sum(along) / size) for along, size in zip(chunks, sizes, strict=True)]


def like(array: Array, chunks: Sequence[tuple[int, ...]] | None) -> Array:
    """Return an array chunked as asked (size-1 dimensions in one), or in memory where that is None."""
    if chunks is None:
        return np.asarray(array)
    import dask.array as da

    fitting = tuple((1,) if size == 1 else along for size, along in zip(array.shape, chunks, strict=True))
    return array.rechunk(fitting) if is_chunked(array) else da.from_array(np.asarray(array), chunks=fitting)


def in_memory(arrays: Sequence[Array]) -> list[NDArray[np.float64]]:
    """Read small arrays; what those of Dask have in common is computed once."""
    if any(map(is_chunked, arrays)):
        from dask.base import compute

        arrays = compute(*arrays)
    return [np.asarray(array, np.float64) for array in arrays]


def without(data: Array, invalid: Array) -> Array:
    """Return data that are missing where there are no coordinates; both have the same dimensions."""
    if not is_chunked(data):
        return _without(data, invalid)
    import dask.array as da

    meta = np.ma.array(data._meta) if isinstance(data._meta, np.ndarray) else data._meta
    return da.map_blocks(_without, data, like(invalid, data.chunks), dtype=data.dtype, meta=meta)


def _without(block: Array, invalid: Array) -> Array:
    """Mask a block: of NumPy arrays of any dtype, what is masked already stays so."""
    if isinstance(block, np.ndarray):
        return np.ma.array(block, mask=np.ma.getmaskarray(block) | invalid)
    xp = block.__array_namespace__()
    dtype = blocks.result_dtype(block)
    return xp.where(xp.asarray(invalid), xp.asarray(xp.nan, dtype=dtype), xp.astype(block, dtype))


def _may_have_gaps(data: Array) -> bool:
    """Whether values of a Dask array can be missing at all; wide halos are fetched only then."""
    return data.dtype.kind in "fcmM" or isinstance(data._meta, np.ma.MaskedArray)


def _poles(
    wanted: Sequence[Partial], chunks: Mapping[int, tuple[int, ...]], gaps: bool
) -> Callable[..., tuple[tuple[int, PoleLink | NoEast], ...]]:
    """Return a function that finds the rows on poles of a chunk along the latitudes."""
    found = [
        (index, pole_links(partial.poles, chunks[partial.poles.meridian.axis], gaps))
        for index, partial in enumerate(wanted)
        if partial.poles is not None
    ]
    return lambda here: tuple((index, pole) for index, each in found for pole in each[here].values())


def _sides(here: _Here) -> list[int]:
    """Find the poles whose caps a chunk reads."""
    sides = {pole.here.side for _, pole in here.poles if isinstance(pole, PoleLink)}
    return sorted(sides.union(*(link.sides for link in here.links)))


def _cut(block: Array, axis: int, piece: Piece) -> Array:
    """Return a view of a piece of a block."""
    return block[(*(slice(None),) * axis, slice(piece.first, piece.stop), ...)]


def _lazy(
    data: Array, wanted: tuple[Partial, ...], factors: Sequence[Array], task: _Task, polar: Partial | None
) -> tuple[Array, ...]:
    """Build the graph: slabs for neighbours, all results of a chunk, one array for each result."""
    import dask.array as da
    from dask._task_spec import Task, TaskRef
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    factors = [like(factor, data.chunks) for factor in factors]
    token = tokenize(data.name, wanted, task, [factor.name for factor in factors])
    name, slabs = f"xgrad-partials-{token}", f"xgrad-halo-{token}"
    along = [links(partial, data.chunks[partial.axis], task.gaps) for partial in wanted]
    axes = {axis: exchange(axis, along) for axis in sorted({partial.axis for partial in wanted})}
    poles = _poles(wanted, dict(enumerate(data.chunks)), task.gaps)
    caps = None if polar is None else _Caps(polar, data.chunks, task.gaps, f"xgrad-cap-{token}")
    places = list(itertools.product(*map(range, data.numblocks)))
    halos = {place: TaskRef((slabs, *place)) for place in places}
    ends = {end: TaskRef((slabs, *end)) for each in axes.values() for some in each.ends for end in some}
    tasks: dict[Any, Any] = {}
    for ref in ends.values():
        key: Any = ref.key
        tasks[*key, "source"] = Task((*key, "source"), dict)
        tasks[key] = _shared(key, dict, TaskRef((*key, "source")))
    results = len(task.sums) or len(wanted)
    shared = _shared if results > 1 else Task
    for place in places:
        source = TaskRef((data.name, *place))
        near = [(axis, each, place[axis]) for axis, each in axes.items()]
        own = tuple(each[place[partial.axis]] for partial, each in zip(wanted, along, strict=True))
        here = _Here(place, own, poles(here=place[polar.axis]) if polar else (), (0, 0))
        cuts = tuple(cut for _, each, chunk in near for cut in each.lent[chunk])
        rings: dict[int, Any] = {}
        if caps is not None:
            here = here._replace(columns=caps.columns(place))
            cuts = tuple(dict.fromkeys((*cuts, *caps.lent(place))))
            for side in _sides(here):
                rings[side] = caps.ring(place, side, halos, tasks)
        if cuts:
            tasks[slabs, *place] = Task((slabs, *place), _export, source, cuts)
        read = [
            halos[*place[:axis], other, *place[axis + 1 :]]
            for axis, each, chunk in near
            for other in each.near[chunk]
        ]
        read += [ends[end] for _, each, chunk in near for end in each.ends[chunk]]
        given = [TaskRef((factor.name, *_place(factor, place))) for factor in factors]
        tasks[name, *place] = shared(
            (name, *place), _chunk, source, here, task, tuple(rings), *rings.values(), *given, *read
        )
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[data, *factors])
    meta = _meta(data, task.dtype)
    if results == 1:
        return (da.Array(graph, name, data.chunks, dtype=task.dtype, meta=meta),)
    arrays = []
    for index in range(results):
        part = f"xgrad-pick-{token}-{index}"
        pick: dict[Any, Any] = {
            (part, *place): Task((part, *place), operator.getitem, TaskRef((name, *place)), index)
            for place in places
        }
        layers = HighLevelGraph({**graph.layers, part: pick}, {**graph.dependencies, part: {name}})
        arrays.append(da.Array(layers, part, data.chunks, dtype=task.dtype, meta=meta))
    return tuple(arrays)


def _place(factor: Array, place: tuple[int, ...]) -> tuple[int, ...]:
    """Find the chunk of a factor that belongs to a chunk of the data."""
    return tuple(0 if size == 1 else index for size, index in zip(factor.shape, place, strict=True))


def _meta(data: Array, dtype: Any) -> Array:
    """Return an empty array of the kind that blocks of the result are."""
    meta = data._meta
    if isinstance(meta, np.ndarray):
        return np.empty((0,) * data.ndim, dtype)
    return meta.astype(dtype)


class _Caps:
    """The rows around both poles, joined to whole circles for the chunks that read them."""

    def __init__(self, polar: Partial, chunks: Sequence[tuple[int, ...]], gaps: bool, name: str) -> None:
        assert polar.circle is not None
        self._lat, self._lon, self._name = polar.axis, polar.circle.axis, name
        self._columns = np.cumsum((0, *chunks[self._lon]))
        self._pieces = [cap_pieces(polar, side, chunks[polar.axis], gaps) for side in (0, 1)]

    def columns(self, place: tuple[int, ...]) -> tuple[int, int]:
        """Return the columns of a chunk on the circle."""
        first, stop = self._columns[place[self._lon] : place[self._lon] + 2]
        return int(first), int(stop)

    def lent(self, place: tuple[int, ...]) -> list[tuple[int, Piece]]:
        """Return the pieces of a chunk that lie around poles."""
        return [(self._lat, p) for pieces in self._pieces for p in pieces if p.chunk == place[self._lat]]

    def ring(self, place: tuple[int, ...], side: int, halos: Mapping[Any, Any], tasks: dict[Any, Any]) -> Any:
        """Return the task that joins a cap, which is made when it is first asked for."""
        from dask._task_spec import Task, TaskRef

        others = tuple(index for axis, index in enumerate(place) if axis not in (self._lat, self._lon))
        key: Any = (self._name, side, *others)
        if key not in tasks:
            found = []
            for piece in self._pieces[side]:
                for column in range(len(self._columns) - 1):
                    at = {self._lat: piece.chunk, self._lon: column}
                    found.append(halos[tuple(at.get(axis, index) for axis, index in enumerate(place))])
            tasks[key] = Task(key, _join, self._lat, self._lon, self._pieces[side], *found)
        return TaskRef(key)


def _join(lat: int, lon: int, pieces: Sequence[Piece], *lent: Any) -> Array:
    """Join pieces of all chunks around a pole."""
    columns = len(lent) // len(pieces)
    rows = []
    for number, piece in enumerate(pieces):
        found = [slabs[lat, piece] for slabs in lent[number * columns : (number + 1) * columns]]
        rows.append(_concat(found, lon))
    return _concat(rows, lat)


def _concat(arrays: Sequence[Array], axis: int) -> Array:
    """Join arrays of any kind."""
    if len(arrays) == 1:
        return arrays[0]
    if isinstance(arrays[0], np.ma.MaskedArray):
        return np.ma.concatenate(arrays, axis=axis)
    return arrays[0].__array_namespace__().concat(arrays, axis=axis)


def _export(block: Array, cuts: Sequence[tuple[int, Piece]]) -> dict[tuple[int, Piece], Array]:
    """Copy the slabs of a block that its neighbours read, so that they do not keep the block in memory."""
    return {(axis, piece): _cut(block, axis, piece).copy() for axis, piece in cuts}


def _chunk(
    block: Array, here: _Here, task: _Task, sides: tuple[int, ...], *given: Any
) -> Array | tuple[Array, ...]:
    """Compute all results of a chunk from it, caps around poles, factors and its neighbours' slabs."""
    count = 1 + max((place for each in task.sums for _, place in each), default=-1)
    caps = dict(zip(sides, given[: len(sides)], strict=True))
    factors, slabs = given[len(sides) :][:count], given[len(sides) + count :]
    lent = {cut: slab for found in slabs for cut, slab in found.items()}
    results = _evaluate(block, here, task, caps, lent, factors)
    return results[0] if len(results) == 1 else results


def _evaluate(
    block: Array,
    here: _Here,
    task: _Task,
    caps: Mapping[int, Array],
    lent: Mapping[tuple[int, Piece], Array],
    factors: Sequence[Array],
    *,
    parallel: bool = False,
) -> tuple[Array, ...]:
    """Compute all results of a block once everything that it reads is there."""

    def found(link: Link, piece: Piece | Across) -> Array:
        if isinstance(piece, Across):
            rows = _across(caps[piece.side], link.axis, piece, task.circle, here.columns)
            return blocks.negative(rows, task.dtype) if piece.sign < 0 else rows
        if piece.chunk == here.place[link.axis]:
            return _cut(block, link.axis, piece)
        return lent[link.axis, piece]

    halos = [
        ([found(link, piece) for piece in link.before], [found(link, piece) for piece in link.after])
        for link in here.links
    ]
    polar = [
        blocks.Replaced(index, pole.axis, pole.row, None)
        if isinstance(pole, NoEast)
        else _pole(index, pole, task, caps, here.columns)
        for index, pole in here.poles
    ]
    return blocks.run(
        block,
        [link.section() for link in here.links],
        halos,
        dtype=task.dtype,
        gaps=task.gaps,
        parallel=parallel,
        sums=task.sums,
        factors=factors,
        replaced=polar,
    )


def _across(cap: Array, axis: int, piece: Across, circle: Circle | None, columns: tuple[int, int]) -> Array:
    """Return rows of a pole's cap, some columns further east."""
    assert circle is not None
    return _taken(_taken(cap, piece.rows, axis), circle.columns(*columns, piece.turn), circle.axis)


def _taken(array: Array, places: Any, axis: int) -> Array:
    """Return the given places of an array of any kind along an axis."""
    if isinstance(array, np.ndarray):
        return array.take(places, axis=axis)
    xp = array.__array_namespace__()
    return xp.take(array, xp.asarray(list(places)), axis=axis)


def _pole(
    index: int, pole: PoleLink, task: _Task, caps: Mapping[int, Array], columns: tuple[int, int]
) -> blocks.Replaced:
    """Return eastward derivatives on a pole, from the northward ones of the whole circle."""
    circle, link, cap = task.circle, pole.link, caps[pole.here.side]
    assert circle is not None
    whole = (0, circle.size + circle.overlap)
    sides = [
        [_across(cap, link.axis, piece, circle, whole) for piece in side if isinstance(piece, Across)]
        for side in (link.before, link.after)
    ]
    row = _across(cap, link.axis, pole.here, circle, whole)
    dtype = blocks.working_dtype(row, task.dtype)
    (north,) = blocks.run(row, [link.section()], [(sides[0], sides[1])], dtype=dtype, gaps=task.gaps)
    if pole.longitudes is None:
        east = _taken(north, circle.columns(*columns, pole.turn), circle.axis)
    else:
        north = _taken(north, circle.eastward, circle.axis)
        east = blocks.fitted_east(north, circle.axis, pole.longitudes, at_north_pole=bool(pole.here.side))
        east = _taken(east, circle.places(*columns), circle.axis)
    here = _taken(row, np.arange(*columns), circle.axis)
    return blocks.Replaced(index, link.axis, pole.row, blocks.missing_where(here, east))


@cache
def _shared_task() -> Any:
    """Make the class of tasks that Dask does not fuse with those that read it.

    Several results that are optimized one by one would else each carry the task, and compute it again.
    """
    from dask._task_spec import Task

    class Shared(Task):
        __slots__ = ()
        block_fusion = True

        def __reduce__(self) -> tuple[Any, ...]:
            return _shared, (self.key, self.func, *self.args)

    return Shared


def _shared(key: Any, *what: Any) -> Any:
    """Make a task that Dask does not fuse with those that read it."""
    return _shared_task()(key, *what)
