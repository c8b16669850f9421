"""Which stored rows each chunk of an array reads: neighbours, rings, and meridians beyond a pole.

Plans only: no data are seen, and nothing here knows how chunks reach each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import blocks
from .schemes import Mirror, Part, Scheme


@dataclass(frozen=True, slots=True)
class Circle:
    """The columns of a full circle of longitude.

    Attributes
    ----------
    axis : int
        The axis along which they lie.
    size : int
        Columns of the circle.
    descending : bool
        Whether they are stored from east to west.
    overlap : int
        Columns stored once more at the ascending end.
    """

    axis: int
    size: int
    descending: bool
    overlap: int

    def places(self, first: int, stop: int) -> NDArray[np.int64]:
        """Find the places on the circle, counted eastward, of stored columns `first` to `stop - 1`."""
        stored = np.arange(first, stop)
        return (self.size + self.overlap - 1 - stored if self.descending else stored) % self.size

    @property
    def eastward(self) -> NDArray[np.int64]:
        """Stored columns of the circle from west to east."""
        places = np.arange(self.size)
        return self.size + self.overlap - 1 - places if self.descending else places

    def columns(self, first: int, stop: int, turn: int) -> NDArray[np.int64]:
        """Find the stored columns that lie `turn` columns east of stored columns `first` to `stop - 1`."""
        east = (self.places(first, stop) + turn) % self.size
        return self.size + self.overlap - 1 - east if self.descending else east


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
    overlap : int
        How many of the last points (ascending) of a ring repeat its first ones: they get their results.
    circle : Circle or None
        Of latitudes whose circles are closed: the longitudes. A stencil that crosses a pole goes on along the
        meridian half a circle away.
    parity : int
        What the field is multiplied with beyond a pole: 1, or -1 for components of vectors.
    poles : Poles or None
        Of longitudes: the rows of the array that lie on a pole.
    """

    axis: int
    scheme: Scheme
    descending: bool = False
    overlap: int = 0
    circle: Circle | None = None
    parity: int = 1
    poles: Poles | None = None

    @property
    def size(self) -> int:
        """Length of the array along the axis."""
        return self.scheme.size + self.overlap


@dataclass(frozen=True, slots=True, eq=False)
class Poles:
    """Rows on a pole, where the eastward derivative is the northward one along another meridian.

    That is so of scalars. Of components of vectors it has no limit there, and is missing.

    Attributes
    ----------
    meridian : Partial
        The derivative along the latitudes; it has a `circle`, and the parity of the field.
    south, north : bool
        Whether the first and the last latitude (ascending) is a pole.
    longitudes : ndarray or None
        Where no column lies a quarter of the circle away: the longitudes in radians, from west to east. The
        gradient is then fitted to the northward derivatives of the whole row.
    """

    meridian: Partial
    south: bool
    north: bool
    longitudes: NDArray[np.float64] | None


class Piece(NamedTuple):
    """Stored rows `first` to `stop - 1` of the chunk with index `chunk` along an axis."""

    chunk: int
    first: int
    stop: int


class Across(NamedTuple):
    """Rows near a pole, `turn` columns further east; `rows` count the stored rows of the pole's cap.

    They are multiplied with `sign`.
    """

    side: int
    rows: tuple[int, ...]
    turn: int
    sign: int


class Link(NamedTuple):
    """What one chunk needs along one axis: its rows, those of them that are read, the pieces around it."""

    axis: int
    descending: bool
    own: int
    part: Part
    before: tuple[Piece | Across, ...]
    after: tuple[Piece | Across, ...]

    @property
    def sides(self) -> set[int]:
        """The poles beyond which it reads: 0 the southern, 1 the northern one."""
        return {piece.side for piece in (*self.before, *self.after) if isinstance(piece, Across)}

    def section(self) -> blocks.Section:
        """Make the stencils."""
        return blocks.Section(self.axis, self.descending, self.own, self.part.rows())


class PoleLink(NamedTuple):
    """A stored row of a chunk that lies on a pole: where its derivatives towards the east are found."""

    row: int
    here: Across
    link: Link
    turn: int
    longitudes: NDArray[np.float64] | None


class NoEast(NamedTuple):
    """A stored row of a chunk that lies on a pole, along an axis: it has no derivatives towards the east."""

    row: int
    axis: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """For each chunk along an axis: pieces that others read, chunks that it reads, ends in their place."""

    lent: list[tuple[tuple[int, Piece], ...]]
    near: list[tuple[int, ...]]
    ends: list[tuple[tuple[str, int, int, int], ...]]


def links(partial: Partial, chunks: tuple[int, ...], gaps: bool) -> list[Link]:
    """Find, for each chunk along the axis, its rows and where its halo lies."""
    scheme, size = partial.scheme, partial.scheme.size
    ends = _ends(partial, chunks)
    found = []
    for first, stop in itertools.pairwise(int(end) for end in ends):
        own = max(min(stop, size) - first, 0)
        low, high = scheme.reads(first, stop, gaps)
        part = scheme.part(first, stop, low, high)
        before, after = (
            tuple(_around(partial, a, b, ends, gaps)) for a, b in ((low, first), (first + own, high))
        )
        found.append(Link(partial.axis, partial.descending, own, part, before, after))
    return found[::-1] if partial.descending else found


def cap(partial: Partial, side: int, gaps: bool) -> tuple[int, int]:
    """Return the rows (ascending) near a pole that stencils on its other side may read, as (first, stop)."""
    line = partial.scheme.line
    depth = min((line.reach if gaps else max(line.half, line.edge - 1)) + 1, line.size)
    return (line.size - depth, line.size) if side else (0, depth)


def cap_pieces(partial: Partial, side: int, chunks: tuple[int, ...], gaps: bool) -> tuple[Piece, ...]:
    """Find the pieces of chunks that hold the rows near a pole, in stored order."""
    pieces = tuple(_pieces(partial, *cap(partial, side, gaps), _ends(partial, chunks)))
    return pieces[::-1] if partial.descending else pieces


def pole_links(poles: Poles, chunks: tuple[int, ...], gaps: bool) -> list[dict[int, PoleLink | NoEast]]:
    """Find, for each chunk along the latitudes, its rows on poles."""
    meridian = poles.meridian
    scheme, circle = meridian.scheme, meridian.circle
    assert circle is not None
    found: list[dict[int, PoleLink | NoEast]] = [{} for _ in chunks]
    for side, there in enumerate((poles.south, poles.north)):
        if not there:
            continue
        row = scheme.size - 1 if side else 0
        (piece,) = _pieces(meridian, row, row + 1, _ends(meridian, chunks))
        if meridian.parity < 0:
            found[piece.chunk][side] = NoEast(piece.first, meridian.axis)
            continue
        low, high = scheme.reads(row, row + 1, gaps)
        before, after = (
            (_across(meridian, a, b, side, gaps),) if a < b else () for a, b in ((low, row), (row + 1, high))
        )
        link = Link(
            meridian.axis, meridian.descending, 1, scheme.part(row, row + 1, low, high), before, after
        )
        turn = (circle.size // 4) * (-1 if side else 1)
        here = _across(meridian, row, row + 1, side, gaps)
        found[piece.chunk][side] = PoleLink(piece.first, here, link, turn, poles.longitudes)
    return found


def exchange(axis: int, along: Sequence[Sequence[Link]]) -> Exchange:
    """Find out who reads whom along an axis.

    What has fewer neighbours than others, as chunks at the ends have, is given ends instead, which lend
    nothing. Dask derives its order from the number of tasks that each task needs: where all need alike, it
    goes from chunk to neighbouring chunk. Else it does the inner chunks first, and keeps the outer ones,
    which have lent them something, up to the end.
    """
    chosen = [of_chunks for of_chunks in along if of_chunks[0].axis == axis]
    lent: list[dict[tuple[int, Piece], None]] = [{} for _ in chosen[0]]
    sides: list[tuple[dict[int, None], dict[int, None]]] = [({}, {}) for _ in chosen[0]]
    for of_chunks in chosen:
        for chunk, link in enumerate(of_chunks):
            for side, pieces in zip(sides[chunk], (link.before, link.after), strict=True):
                for piece in pieces:
                    if isinstance(piece, Piece) and piece.chunk != chunk:
                        lent[piece.chunk][axis, piece] = None
                        side[piece.chunk] = None
    most = [max(len(both[side]) for both in sides) for side in (0, 1)]
    ends = [
        tuple(("end", axis, side, place) for side in (0, 1) for place in range(len(both[side]), most[side]))
        for both in sides
    ]
    return Exchange([tuple(cuts) for cuts in lent], [tuple(low | high) for low, high in sides], ends)


def _ends(partial: Partial, chunks: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the rows (ascending) at which chunks begin and end."""
    return np.cumsum((0, *(chunks[::-1] if partial.descending else chunks)))


def _around(
    partial: Partial, low: int, high: int, ends: NDArray[np.int64], gaps: bool
) -> Iterator[Piece | Across]:
    """Find where rows `low` to `high - 1` of a line are stored, those beyond a pole among them."""
    line = partial.scheme.line
    if low < 0 and isinstance(line.low, Mirror):
        yield _across(partial, low, min(high, 0), 0, gaps)
        low = min(high, 0)
    beyond = max(low, line.size) if isinstance(line.high, Mirror) else high
    yield from _pieces(partial, low, min(high, beyond), ends)
    if beyond < high:
        yield _across(partial, beyond, high, 1, gaps)


def _across(partial: Partial, low: int, high: int, side: int, gaps: bool) -> Across:
    """Find rows `low` to `high - 1`, all on the line or all beyond a pole, in the cap of that pole."""
    line, (start, stop) = partial.scheme.line, cap(partial, side, gaps)
    assert partial.circle is not None
    rows = [line.home(row) - start for row in range(low, high)]
    if partial.descending:
        rows = [stop - start - 1 - row for row in rows[::-1]]
    if low < 0 or high > line.size:
        return Across(side, tuple(rows), partial.circle.size // 2, partial.parity)
    return Across(side, tuple(rows), 0, 1)


def _pieces(partial: Partial, low: int, high: int, ends: NDArray[np.int64]) -> Iterator[Piece]:
    """Find the stored pieces of chunks that hold rows `low` to `high - 1`; a ring counts on."""
    size = partial.scheme.size
    while low < high:
        row = low % size
        chunk = int(np.searchsorted(ends, row, side="right")) - 1
        start, end = int(ends[chunk]), int(ends[chunk + 1])
        count = min(high - low, end - row, size - row)
        if partial.descending:
            yield Piece(len(ends) - 2 - chunk, end - row - count, end - row)
        else:
            yield Piece(chunk, row - start, row - start + count)
        low += count
