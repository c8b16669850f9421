"""Finite difference schemes as data: positions along a line -> the stencil of every row.

A *line* is one axis in ascending order; its rows are its points. A `Scheme` is a line with its positions, a
`Part` of it some consecutive rows with the positions that their stencils read. Stencils are made from a part
when they are needed: a graph carries positions, not weights. Weights are Fornberg's on local offsets, so a
row's weights depend on nothing but its own taps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .errors import CoordinateError, XgradError
from .kernels.stencils import Gaps, Rows, Stencil
from .kernels.weights import Floats, fornberg

ORDERS = (2, 4, 6, 8)
DERIVATIVES = (1, 2, 3, 4)
_ROWS_AT_ONCE = 1 << 14  # 13 ns a row at order 2; a quarter of it takes 19
_KEPT_ROWS = 1 << 12  # stencils of at most so many rows are kept; 70 MB at the very worst


@dataclass(frozen=True, slots=True)
class Open:
    """The axis ends here: stencils become one-sided."""


@dataclass(frozen=True, slots=True)
class Wrap:
    """The axis is a ring: beyond its end it goes on from the other end, one `period` further."""

    period: float


@dataclass(frozen=True, slots=True)
class Mirror:
    """The axis crosses a pole `gap` behind its last point, and comes back along another meridian."""

    gap: float


Boundary = Open | Wrap | Mirror


class Line(NamedTuple):
    """What the stencils of all rows of a line have in common.

    Attributes
    ----------
    n, order, edge_order : int
        Derivative order; orders of accuracy inside and at open ends.
    size : int
        Rows of the line; on a ring, its points without a duplicate.
    step : float or None
        Spacing of a uniform line.
    low, high : Boundary
        What lies beyond the two ends; lengths in the unit of the positions.
    scale : float
        Units of the positions in one unit of the result.
    """

    n: int
    order: int
    edge_order: int
    size: int
    step: float | None
    low: Boundary
    high: Boundary
    scale: float

    @property
    def period(self) -> float:
        """Length of a ring, 0 for any other line."""
        return self.low.period if isinstance(self.low, Wrap) else 0.0

    @property
    def half(self) -> int:
        """Half width of the centred stencil."""
        return interior_width(self.n, self.order, self.step is not None) // 2

    @property
    def edge(self) -> int:
        """Width of the one-sided stencils."""
        return edge_width(self.n, self.edge_order)

    @property
    def reach(self) -> int:
        """Points to each side that can change a result where values are missing."""
        return max(self.half, self.edge - 1)

    def inside(self, low: int, high: int) -> tuple[int, int]:
        """Keep of rows `low` to `high - 1` those that there are: beyond open ends there are none."""
        if isinstance(self.low, Open):
            low = max(low, 0)
        return low, min(high, self.size) if isinstance(self.high, Open) else high

    def home(self, row: int) -> int:
        """Find the row of the line that stands for a row beyond its ends."""
        if row < 0 and isinstance(self.low, Mirror):
            return -row - (self.low.gap > 0.0)
        if row >= self.size and isinstance(self.high, Mirror):
            return 2 * (self.size - 1) + (self.high.gap > 0.0) - row
        return row % self.size

    def spans(self, first: int, stop: int) -> list[tuple[int, int, int, int]]:
        """Cut rows into spans of one stencil shape: first row, last row + 1, first tap, number of taps."""
        half, edge, size = self.half, self.edge, self.size
        low = min(half, size) if isinstance(self.low, Open) else first
        high = max(half, size - half) if isinstance(self.high, Open) else stop
        spans = []
        for row in (*range(first, min(stop, low)), *range(max(first, high), stop)):
            start = min(max(row - (edge - 1) // 2, 0), size - edge) - row
            spans.append((row, row + 1, start, edge))
        if max(first, low) < min(stop, high):
            spans.append((max(first, low), min(stop, high), -half, 2 * half + 1))
        return sorted(spans)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Consecutive rows of a line, and what makes their stencils; light enough to be sent with each chunk.

    Attributes
    ----------
    line : Line
        The line.
    first, stop : int
        The rows: `first` to `stop - 1`; a ring counts on beyond its end.
    low, high : int
        The rows that they read.
    points : ndarray, shape (2, high - low), float64, or None
        Positions of rows `low` to `high - 1` as whole part and remainder; None where the line is uniform.
    """

    line: Line
    first: int
    stop: int
    low: int
    high: int
    points: Floats | None

    def rows(self) -> Rows:
        """Make the stencils; few rows are made once in a process, as many chunks may share them."""
        if self.high - self.low > _KEPT_ROWS:
            return _rows(self.line, self.first, self.stop, self.low, self.high, self.points)
        points = None if self.points is None else self.points.tobytes()
        return _kept_rows(self.line, self.first, self.stop, self.low, self.high, points)


@dataclass(frozen=True, slots=True, eq=False)
class Scheme:
    """All stencils of one line.

    Attributes
    ----------
    line : Line
        What they have in common.
    points : ndarray, shape (2, size), float64, or None
        Ascending positions as whole part and remainder; None where the line is uniform.
    """

    line: Line
    points: Floats | None

    @property
    def size(self) -> int:
        """Rows of the line; on a ring, its points without a duplicate."""
        return self.line.size

    @property
    def half(self) -> int:
        """Half width of the centred stencil."""
        return self.line.half

    @property
    def interior(self) -> Stencil | None:
        """Centred stencil: one column if uniform, else one for each row from `half` on (ring: from 0)."""
        return next((stencil for _, stencil in self._stencils(centred=True)), None)

    @property
    def edges(self) -> dict[int, Stencil]:
        """Stencils of the rows near open ends."""
        return dict(self._stencils(centred=False))

    def reads(self, first: int, stop: int, gaps: bool) -> tuple[int, int]:
        """Rows that the results of rows `first` to `stop - 1` read, as (first, stop); a ring counts on."""
        line, low, high = self.line, first, stop
        if gaps:
            return line.inside(first - line.reach, stop + line.reach)
        for a, b, start, taps in line.spans(first, stop):
            low, high = min(low, a + start), max(high, b - 1 + start + taps)
        return low, high

    def part(self, first: int, stop: int, low: int, high: int) -> Part:
        """Rows `first` to `stop - 1`, for input that holds rows `low` to `high - 1`."""
        points = self.points
        if points is not None:
            inside = low >= 0 and high <= self.size
            points = points[:, low:high] if inside else _beyond(self.line, points, low, high)
        return Part(self.line, first, stop, low, high, points)

    def rows(self, first: int, stop: int, low: int, high: int) -> Rows:
        """Stencils of rows `first` to `stop - 1`, for input that holds rows `low` to `high - 1`."""
        return self.part(first, stop, low, high).rows()

    def _stencils(self, centred: bool) -> Iterator[tuple[int, Stencil]]:
        """Make the stencils of all rows, and find those that are centred or those that are not."""
        rows = self.rows(0, self.size, *self.reads(0, self.size, gaps=False))
        for first, _, stencil in rows.segments:
            if centred == ((stencil.start, stencil.stop) == (-self.half, self.half + 1)):
                yield first, stencil


def _beyond(line: Line, points: Floats, low: int, high: int) -> Floats:
    """Positions of rows `low` to `high - 1`, mirrored beyond a pole; on a ring those of the first turn."""
    rows = np.arange(low, high)
    homes = rows % line.size
    for beyond in (rows < 0, rows >= line.size):
        homes[beyond] = [line.home(int(row)) for row in rows[beyond]]
    found = points[:, homes]
    for end, where, place in ((line.low, rows < 0, 0), (line.high, rows >= line.size, -1)):
        if isinstance(end, Mirror) and where.any():
            last = points[:, place, np.newaxis]
            twice = np.array([[2.0 * end.gap if place else -2.0 * end.gap], [0.0]])
            found[:, where] = last + (twice + (last - found[:, where]))
    return found


def interior_width(n: int, order: int, uniform: bool) -> int:
    """Points of the centred stencil: symmetric stencils gain an order for free on uniform lines."""
    if uniform or n == 1:
        return order + 2 * ((n + 1) // 2) - 1
    return (order + n) | 1


def edge_width(n: int, edge_order: int) -> int:
    """Points of a one-sided stencil, and of the shortest open line that has one."""
    return edge_order + n


def points_needed(
    n: int, order: int, edge_order: int, uniform: bool, boundary: tuple[Boundary, Boundary]
) -> int:
    """Fewest points of a line with which the scheme works."""
    needed = [edge_width(n, edge_order)] if any(not isinstance(end, Wrap) for end in boundary) else []
    if any(not isinstance(end, Open) for end in boundary):
        needed.append(interior_width(n, order, uniform))
    return max(needed)


def scheme(
    points: Floats,
    *,
    step: float | None,
    boundary: tuple[Boundary, Boundary] = (Open(), Open()),
    scale: float = 1.0,
    n: int = 1,
    order: int = 2,
    edge_order: int | None = None,
) -> Scheme:
    """Make the stencils of a line.

    Parameters
    ----------
    points : ndarray, shape (2, size), float64
        Ascending positions as whole part and remainder.
    step : float or None
        The spacing of a uniform line, None for any other.
    boundary : pair of Boundary
        What lies beyond the low and the high end.
    scale : float
        Base units of `points` in one unit of the result; weights are multiplied by ``scale**n``.
    n, order, edge_order : int
        Derivative order 1 to 4; order of accuracy 2, 4, 6 or 8; order at open ends (default: `order`).

    Returns
    -------
    Scheme
        Error C h^order f^(order + n) inside, C h^edge_order f^(edge_order + n) at open ends.

    Raises
    ------
    XgradError
        If the line has fewer points than `points_needed`.
    CoordinateError
        If a weight is not finite.
    """
    edge_order = order if edge_order is None else edge_order
    size = points.shape[1]
    needed = points_needed(n, order, edge_order, step is not None, boundary)
    if size < needed:
        raise XgradError(f"a stencil of {needed} points was asked for on a line of {size}")
    if step is None:
        # In units of about one step, an exact power of two: products of offsets stay within float64.
        _, exponent = np.frexp(((points[0, -1] - points[0, 0]) + (points[1, -1] - points[1, 0])) / (size - 1))
        points, scale = np.ldexp(points, -exponent), float(np.ldexp(scale, -exponent))
        boundary = (_rescaled(boundary[0], -exponent), _rescaled(boundary[1], -exponent))
    made = Scheme(Line(n, order, edge_order, size, step, *boundary, scale), points if step is None else None)
    at_once = _ROWS_AT_ONCE if step is None else size
    for first in range(0, size, at_once):
        stop = min(first + at_once, size)
        made.rows(first, stop, *made.reads(first, stop, gaps=False))  # raises where they cannot be made
    return made


def _rescaled(end: Boundary, exponent: int) -> Boundary:
    """Multiply the length in a boundary by a power of two."""
    if isinstance(end, Wrap):
        return Wrap(float(np.ldexp(end.period, exponent)))
    return Mirror(float(np.ldexp(end.gap, exponent))) if isinstance(end, Mirror) else end


@lru_cache(maxsize=128)
def _kept_rows(line: Line, first: int, stop: int, low: int, high: int, points: bytes | None) -> Rows:
    """Make stencils once for all who ask for the same."""
    known = None if points is None else np.frombuffer(points).reshape(2, -1)
    rows = _rows(line, first, stop, low, high, known)
    for _, _, stencil in rows.segments:
        stencil.weights.setflags(write=False)
    return rows


def _rows(line: Line, first: int, stop: int, low: int, high: int, points: Floats | None) -> Rows:
    """Make the stencils of a part of a line."""
    gaps = _even_gaps(line) if points is None else _gaps(line, low, points)
    segments = []
    for a, b, start, taps in line.spans(first, stop):
        if points is None:
            stencil = _even_stencil(line, start, taps)
        else:
            stencil = Stencil(start, _weights(gaps, a - low, b - low, start, taps))
        if not np.isfinite(stencil.weights).all():
            raise CoordinateError("spacings differ too much: in float64 some points cannot be told apart")
        segments.append((a - first, b - first, stencil))
    return Rows(first - low, stop - first, high - stop, tuple(segments), gaps)


def _power(step: float, n: int, scale: float = 1.0) -> float:
    """Return step**n / scale**n, which float64 must be able to hold."""
    with np.errstate(all="ignore"):
        power = float(np.float64(step) ** n / np.float64(scale) ** n)
    if not np.finfo(np.float64).tiny <= power < np.inf:
        raise CoordinateError(f"float64 cannot hold the spacings to the power {n}")
    return power


@lru_cache(maxsize=4096)
def _even(n: int, width: int, below: int, step: float, scale: float) -> Floats:
    """Weights on even spacing with `below` taps under the point."""
    unit = fornberg(np.arange(-below, width - below, dtype=np.float64)[:, None], below, n)
    weights: Floats = unit / _power(step, n, scale)
    weights.setflags(write=False)
    return weights


def _even_stencil(line: Line, start: int, taps: int) -> Stencil:
    """Make a stencil of a uniform line; of a centred one both halves are the same numbers."""
    assert line.step is not None
    weights = _even(line.n, taps, -start, line.step, line.scale)
    if start != -line.half or taps != 2 * line.half + 1:
        return Stencil(start, weights)
    parity = -1 if line.n % 2 else 1
    return Stencil(start, (weights + parity * weights[::-1]) / 2, parity)


@lru_cache(maxsize=256)
def _even_gaps(line: Line) -> Gaps:
    """Make the gap rule of a uniform line: weights of all that a run can ask for, as `Gaps.variants`."""
    assert line.step is not None
    columns = []
    for width in range(line.n + 1, line.edge + 1):
        for below in range(width):
            column = np.zeros((line.edge, 1))
            column[:width] = _even(line.n, width, below, line.step, line.scale)
            columns.append(column)
    return Gaps(line.n, line.half, line.edge, np.stack(columns), None, line.period, 1.0)


def _gaps(line: Line, low: int, points: Floats) -> Gaps:
    """Make the gap rule of a part of any other line; beyond the seam of a ring positions are a turn on."""
    turns = np.arange(low, low + points.shape[1]) // line.size if line.period else np.zeros(points.shape[1])
    places = np.stack([*points, turns])
    return Gaps(line.n, line.half, line.edge, None, places, line.period, _power(line.scale, line.n))


def _weights(gaps: Gaps, first: int, stop: int, start: int, taps: int) -> Floats:
    """Weights of rows `first` to `stop - 1` from the positions of their own taps."""
    assert gaps.points is not None
    whole, rest, turns = gaps.points
    weights = np.empty((taps, stop - first))
    with np.errstate(all="ignore"):
        for low in range(first, stop, _ROWS_AT_ONCE):
            high = min(low + _ROWS_AT_ONCE, stop)
            offsets = _differences(whole, low, high, start, taps) + _differences(rest, low, high, start, taps)
            if gaps.period:
                offsets += _differences(turns, low, high, start, taps) * gaps.period
            weights[:, low - first : high - first] = fornberg(offsets, -start, gaps.n) * gaps.factor
    return weights


def _differences(values: Floats, first: int, stop: int, start: int, taps: int) -> Floats:
    """Differences of the values at the taps of some rows to those at the rows: one column a row."""
    return (
        sliding_window_view(values[first + start : stop + start + taps - 1], stop - first)
        - values[first:stop]
    )
