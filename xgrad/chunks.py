"""Derivatives of chunked arrays: the only module that builds Dask graphs.

Each chunk is cut once into the thin slabs that its neighbours read (one task), and each chunk with its
neighbours' slabs gives all derivatives at once (one task). Chunks thinner than a stencil are served by
slabs of further neighbours; the chunks of the result are those of the input, and nothing is rechunked.
"""

from __future__ import annotations

import itertools
import operator
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import blocks
from .schemes import Part, Scheme

_MANY_CHUNKS = 100_000

Array = Any


@dataclass(frozen=True, slots=True)
class Partial:
    """One derivative along one axis of an array.

    Attributes
    ----------
    axis : int
        The axis.
    scheme : Scheme
        The stencils along it, ascending.
    descending : bool
        Whether the array is stored in descending order.
    duplicate : bool
        Whether the last point (ascending) of a ring repeats the first: it gets the first point's result.
    """

    axis: int
    scheme: Scheme
    descending: bool = False
    duplicate: bool = False

    @property
    def size(self) -> int:
        """Length of the array along the axis."""
        return self.scheme.size + self.duplicate


class _Piece(NamedTuple):
    """Stored rows `first` to `stop - 1` of the chunk with index `chunk` along an axis."""

    chunk: int
    first: int
    stop: int


class _Link(NamedTuple):
    """What one chunk needs along one axis: its rows, those of them that are read, the pieces around it."""

    axis: int
    descending: bool
    own: int
    part: Part
    before: tuple[_Piece, ...]
    after: tuple[_Piece, ...]

    def section(self) -> blocks.Section:
        """Make the stencils."""
        return blocks.Section(self.axis, self.descending, self.own, self.part.rows())


@dataclass(frozen=True, slots=True)
class _Exchange:
    """For each chunk along an axis: pieces that others read, chunks that it reads, ends in their place."""

    lent: list[tuple[tuple[int, _Piece], ...]]
    near: list[tuple[int, ...]]
    ends: list[tuple[tuple[str, int, int, int], ...]]


def is_chunked(data: Array) -> bool:
    """Whether the data are a Dask array; tells it without importing Dask."""
    return hasattr(data, "__dask_graph__") and hasattr(data, "chunks")


def partials(data: Array, wanted: Sequence[Partial], *, gaps: bool, dtype: Any = None) -> tuple[Array, ...]:
    """Return one derivative for each wanted partial, in one pass over the data.

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

    Returns
    -------
    tuple of arrays
        Shaped and chunked like the data.
    """
    dtype = blocks.result_dtype(data) if dtype is None else dtype
    if is_chunked(data):
        return _lazy(data, tuple(wanted), gaps and _may_have_gaps(data), dtype)
    links = [_links(partial, (partial.size,), gaps)[0] for partial in wanted]
    halos = []
    for link in links:
        before, after = ([_cut(data, link.axis, p) for p in side] for side in (link.before, link.after))
        halos.append((before, after))
    sections = [link.section() for link in links]
    return blocks.run(data, sections, halos, dtype=dtype, gaps=gaps, parallel=True)


def _may_have_gaps(data: Array) -> bool:
    """Whether values of a Dask array can be missing at all; wide halos are fetched only then."""
    return data.dtype.kind in "fcmM" or isinstance(data._meta, np.ma.MaskedArray)


def _links(partial: Partial, chunks: tuple[int, ...], gaps: bool) -> list[_Link]:
    """Find, for each chunk along the axis, its rows and where its halo lies."""
    scheme, size = partial.scheme, partial.scheme.size
    ascending = chunks[::-1] if partial.descending else chunks
    ends = np.cumsum((0, *ascending))
    links = []
    for first, stop in itertools.pairwise(int(end) for end in ends):
        own = max(min(stop, size) - first, 0)
        low, high = scheme.reads(first, stop, gaps)
        part = scheme.part(first, stop, low, high)
        before, after = (
            tuple(_pieces(a, b, ends, size, partial.descending))
            for a, b in ((low, first), (first + own, high))
        )
        links.append(_Link(partial.axis, partial.descending, own, part, before, after))
    return links[::-1] if partial.descending else links


def _pieces(low: int, high: int, ends: NDArray[Any], size: int, descending: bool) -> Iterator[_Piece]:
    """Find the stored pieces of chunks that hold rows `low` to `high - 1` of a line of `size` points."""
    while low < high:
        row = low % size
        chunk = int(np.searchsorted(ends, row, side="right")) - 1
        start, end = int(ends[chunk]), int(ends[chunk + 1])
        count = min(high - low, end - row, size - row)
        if descending:
            yield _Piece(len(ends) - 2 - chunk, end - row - count, end - row)
        else:
            yield _Piece(chunk, row - start, row - start + count)
        low += count


def _cut(block: Array, axis: int, piece: _Piece) -> Array:
    """Return a view of a piece of a block."""
    return block[(*(slice(None),) * axis, slice(piece.first, piece.stop), ...)]


def _lazy(data: Array, wanted: tuple[Partial, ...], gaps: bool, dtype: Any) -> tuple[Array, ...]:
    """Build the graph: slabs for neighbours, all derivatives of a chunk, one array for each derivative."""
    import dask.array as da
    from dask._task_spec import Task, TaskRef
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    if data.npartitions > _MANY_CHUNKS:
        many = f"the data have {data.npartitions} chunks, for each of which Dask makes and schedules tasks"
        warnings.warn(f"{many}; rechunk to fewer, of 100 MB or so", da.PerformanceWarning, stacklevel=2)
    token = tokenize(data.name, wanted, gaps, str(dtype))
    name, slabs = f"xgrad-partials-{token}", f"xgrad-halo-{token}"
    along = [_links(partial, data.chunks[partial.axis], gaps) for partial in wanted]
    axes = {axis: _exchange(axis, along) for axis in sorted({partial.axis for partial in wanted})}
    places = list(itertools.product(*map(range, data.numblocks)))
    halos = {place: TaskRef((slabs, *place)) for place in places}
    ends = {end: TaskRef((slabs, *end)) for each in axes.values() for some in each.ends for end in some}
    tasks: dict[Any, Any] = {}
    for ref in ends.values():
        key: Any = ref.key
        tasks[*key, "source"] = Task((*key, "source"), dict)
        tasks[key] = _shared(key, dict, TaskRef((*key, "source")))
    shared = _shared if len(wanted) > 1 else Task
    for place in places:
        source = TaskRef((data.name, *place))
        here = [(axis, each, place[axis]) for axis, each in axes.items()]
        cuts = tuple(cut for _, each, chunk in here for cut in each.lent[chunk])
        if cuts:
            tasks[slabs, *place] = Task((slabs, *place), _export, source, cuts)
        read = [
            halos[*place[:axis], other, *place[axis + 1 :]]
            for axis, each, chunk in here
            for other in each.near[chunk]
        ]
        read += [ends[end] for _, each, chunk in here for end in each.ends[chunk]]
        links = tuple(each[place[partial.axis]] for partial, each in zip(wanted, along, strict=True))
        tasks[name, *place] = shared((name, *place), _chunk, source, place, links, dtype, gaps, *read)
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[data])
    meta = _meta(data, dtype)
    if len(wanted) == 1:
        return (da.Array(graph, name, data.chunks, dtype=dtype, meta=meta),)
    arrays = []
    for index in range(len(wanted)):
        part = f"xgrad-pick-{token}-{index}"
        pick: dict[Any, Any] = {
            (part, *place): Task((part, *place), operator.getitem, TaskRef((name, *place)), index)
            for place in places
        }
        layers = HighLevelGraph({**graph.layers, part: pick}, {**graph.dependencies, part: {name}})
        arrays.append(da.Array(layers, part, data.chunks, dtype=dtype, meta=meta))
    return tuple(arrays)


def _meta(data: Array, dtype: Any) -> Array:
    """Return an empty array of the kind that blocks of the result are."""
    meta = data._meta
    if isinstance(meta, np.ndarray):
        return np.empty((0,) * data.ndim, dtype)
    return meta.astype(dtype)


def _exchange(axis: int, along: Sequence[Sequence[_Link]]) -> _Exchange:
    """Find out who reads whom along an axis.

    What has fewer neighbours than others, as chunks at the ends have, is given ends instead, which lend
    nothing. Dask derives its order from the number of tasks that each task needs: where all need alike, it
    goes from chunk to neighbouring chunk. Else it does the inner chunks first, and keeps the outer ones,
    which have lent them something, up to the end.
    """
    chosen = [links for links in along if links[0].axis == axis]
    lent: list[dict[tuple[int, _Piece], None]] = [{} for _ in chosen[0]]
    sides: list[tuple[dict[int, None], dict[int, None]]] = [({}, {}) for _ in chosen[0]]
    for links in chosen:
        for chunk, link in enumerate(links):
            for side, pieces in zip(sides[chunk], (link.before, link.after), strict=True):
                for piece in pieces:
                    if piece.chunk != chunk:
                        lent[piece.chunk][axis, piece] = None
                        side[piece.chunk] = None
    most = [max(len(both[side]) for both in sides) for side in (0, 1)]
    ends = [
        tuple(("end", axis, side, place) for side in (0, 1) for place in range(len(both[side]), most[side]))
        for both in sides
    ]
    return _Exchange([tuple(cuts) for cuts in lent], [tuple(low | high) for low, high in sides], ends)


def _export(block: Array, cuts: Sequence[tuple[int, _Piece]]) -> dict[tuple[int, _Piece], Array]:
    """Copy the slabs of a block that its neighbours read, so that they do not keep the block in memory."""
    return {(axis, piece): _cut(block, axis, piece).copy() for axis, piece in cuts}


def _chunk(
    block: Array, place: tuple[int, ...], links: Sequence[_Link], dtype: Any, gaps: bool, *slabs: Any
) -> Array | tuple[Array, ...]:
    """Compute all derivatives of a chunk from it and its neighbours' slabs."""
    lent = {cut: slab for found in slabs for cut, slab in found.items()}
    halos = []
    for link in links:
        before, after = (
            [
                _cut(block, link.axis, piece) if piece.chunk == place[link.axis] else lent[link.axis, piece]
                for piece in side
            ]
            for side in (link.before, link.after)
        )
        halos.append((before, after))
    results = blocks.run(block, [link.section() for link in links], halos, dtype=dtype, gaps=gaps)
    return results[0] if len(results) == 1 else results


@cache
def _shared_task() -> Any:
    """Make the class of tasks that Dask does not fuse with those that read them.

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
