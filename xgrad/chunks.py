"""Derivatives of chunked arrays: the only module that builds Dask graphs.

Each chunk is cut once into the thin slabs that its neighbours read (one task), and each chunk with its
neighbours' slabs gives all derivatives at once (one task). Chunks thinner than a stencil are served by
slabs of further neighbours; the chunks of the result are those of the input, and nothing is rechunked.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import blocks
from .schemes import Scheme

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


@dataclass(frozen=True, slots=True)
class _Piece:
    """Stored rows `first` to `stop - 1` of the chunk with index `chunk` along an axis."""

    chunk: int
    first: int
    stop: int


@dataclass(frozen=True, slots=True, eq=False)
class _Link:
    """What one chunk needs along one axis: its section and the pieces around it, in ascending order."""

    section: blocks.Section
    before: tuple[_Piece, ...]
    after: tuple[_Piece, ...]


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
        before, after = (
            [_cut(data, link.section.axis, p) for p in side] for side in (link.before, link.after)
        )
        halos.append((before, after))
    return blocks.run(data, [link.section for link in links], halos, dtype=dtype, gaps=gaps, parallel=True)


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
        rows = scheme.rows(first, stop, low, high)
        before, after = (
            tuple(_pieces(a, b, ends, size, partial.descending))
            for a, b in ((low, first), (first + own, high))
        )
        links.append(_Link(blocks.Section(partial.axis, partial.descending, own, rows), before, after))
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

    token = tokenize(data.name, wanted, gaps, str(dtype))
    name, slabs = f"xgrad-partials-{token}", f"xgrad-halo-{token}"
    links = [_links(partial, data.chunks[partial.axis], gaps) for partial in wanted]
    exports = [_exports(along) for along in links]
    tasks: dict[Any, Any] = {}
    for place in itertools.product(*map(range, data.numblocks)):
        here = [along[place[partial.axis]] for partial, along in zip(wanted, links, strict=True)]
        cuts = tuple(
            (partial.axis, piece)
            for partial, along in zip(wanted, exports, strict=True)
            for piece in along[place[partial.axis]]
        )
        if cuts:
            tasks[slabs, *place] = Task((slabs, *place), _export, TaskRef((data.name, *place)), cuts)
        sources: dict[Any, None] = {
            (slabs, *place[: link.section.axis], piece.chunk, *place[link.section.axis + 1 :]): None
            for link in here
            for piece in (*link.before, *link.after)
            if piece.chunk != place[link.section.axis]
        }
        tasks[name, *place] = Task(
            (name, *place),
            _chunk,
            TaskRef((data.name, *place)),
            place,
            tuple(here),
            dtype,
            gaps,
            *(TaskRef(key) for key in sources),
        )
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[data])
    meta = _meta(data, dtype)
    if len(wanted) == 1:
        return (da.Array(graph, name, data.chunks, dtype=dtype, meta=meta),)
    arrays = []
    for index, partial in enumerate(wanted):
        part = f"xgrad-{index}-axis-{partial.axis}-{token}"
        pick: dict[Any, Any] = {
            (part, *place): Task((part, *place), operator.getitem, TaskRef((name, *place)), index)
            for place in itertools.product(*map(range, data.numblocks))
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


def _exports(links: Sequence[_Link]) -> list[list[_Piece]]:
    """List, for each chunk along an axis, the pieces of it that other chunks read."""
    wanted: list[dict[_Piece, None]] = [{} for _ in links]
    for chunk, link in enumerate(links):
        for piece in (*link.before, *link.after):
            if piece.chunk != chunk:
                wanted[piece.chunk][piece] = None
    return [list(pieces) for pieces in wanted]


def _export(block: Array, cuts: Sequence[tuple[int, _Piece]]) -> dict[tuple[int, _Piece], Array]:
    """Copy the slabs of a block that its neighbours read, so that they do not keep the block in memory."""
    return {(axis, piece): _cut(block, axis, piece).copy() for axis, piece in cuts}


def _chunk(
    block: Array, place: tuple[int, ...], links: Sequence[_Link], dtype: Any, gaps: bool, *slabs: Any
) -> Array | tuple[Array, ...]:
    """Compute all derivatives of a chunk from it and its neighbours' slabs."""
    found = iter(slabs)
    near: dict[tuple[int, int], Any] = {}
    halos = []
    for link in links:
        axis = link.section.axis
        sides: tuple[list[Array], list[Array]] = ([], [])
        for side, pieces in zip(sides, (link.before, link.after), strict=True):
            for piece in pieces:
                if piece.chunk == place[axis]:
                    side.append(_cut(block, axis, piece))
                    continue
                if (axis, piece.chunk) not in near:
                    near[axis, piece.chunk] = next(found)
                side.append(near[axis, piece.chunk][axis, piece])
        halos.append(sides)
    results = blocks.run(block, [link.section for link in links], halos, dtype=dtype, gaps=gaps)
    return results[0] if len(results) == 1 else results
