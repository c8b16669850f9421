"""What a kernel is told: stencils and gap rules of consecutive rows, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .weights import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Stencil:
    """Taps `start`, `start + 1`, ... relative to the point, and their weights.

    Attributes
    ----------
    start : int
        First tap relative to the point.
    weights : ndarray, shape (taps, rows) or (taps, 1), float64
        One column a row, or one column for all rows.
    parity : int
        -1 where ``w_k == -w_-k`` exactly, 1 where ``w_k == w_-k`` exactly, else 0.
    """

    start: int
    weights: Floats
    parity: int = 0

    @property
    def stop(self) -> int:
        """One past the last tap, relative to the point."""
        return self.start + len(self.weights)

    def cut(self, first: int, stop: int) -> Stencil:
        """Keep rows `first` to `stop - 1`."""
        if self.weights.shape[1] == 1:
            return self
        return Stencil(self.start, self.weights[:, first:stop], self.parity)


@dataclass(frozen=True, slots=True, eq=False)
class Gaps:
    """What stencils inside a run of valid points need, for a block of rows and its halo.

    A point with at least `half` valid neighbours on each side keeps its centred stencil. Else the run is an
    axis of its own: `edge` points shifted inwards (or the whole run, if shorter; at least n + 1), of which
    `left` lie below the point if they can.

    Attributes
    ----------
    n, half, edge : int
        Derivative order, half width of the centred stencil, width of the edge stencil.
    weights : ndarray, shape (variants, edge, 1), or None
        Uniform lines: the weights by variant (`variant(width, below)`), the same for all rows.
    points : ndarray, shape (3, rows + halo), or None
        Other lines: whole part, remainder and turns of each position; an offset is
        ``((whole_k - whole_i) + (rest_k - rest_i)) + (turns_k - turns_i) * period``.
    period, factor : float
        Length of the ring (0 for none); what weights in base units are multiplied with.
    """

    n: int
    half: int
    edge: int
    weights: Floats | None
    points: Floats | None
    period: float
    factor: float

    @property
    def left(self) -> int:
        """Taps below the point in an edge stencil that is free to choose."""
        return (self.edge - 1) // 2

    @property
    def reach(self) -> int:
        """Points to each side that can change the result."""
        return max(self.half, self.edge - 1)

    @property
    def variants(self) -> tuple[tuple[int, int], ...]:
        """Every (width, points below) that a run can ask for, in the order of their index."""
        return tuple((w, below) for w in range(self.n + 1, self.edge + 1) for below in range(w))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The stencils of consecutive rows, and the halo of input rows around them.

    Attributes
    ----------
    before, size, after : int
        Input rows in front of the first result, results, input rows behind the last result.
    segments : tuple of (first row, last row + 1, Stencil)
        Which stencil serves which rows, counted from the first result; together they cover all.
    gaps : Gaps
        The rule next to missing values; its `points` hold the rows of the halo too.
    """

    before: int
    size: int
    after: int
    segments: tuple[tuple[int, int, Stencil], ...]
    gaps: Gaps

    def cut(self, first: int, stop: int, reach: int) -> Rows:
        """Keep rows `first` to `stop - 1` and at most `reach` rows of input around them."""
        before, after = min(first + self.before, reach), min(self.size - stop + self.after, reach)
        segments = tuple(
            (max(a, first) - first, min(b, stop) - first, stencil.cut(max(first - a, 0), min(stop, b) - a))
            for a, b, stencil in self.segments
            if a < stop and first < b
        )
        gaps = self.gaps
        if gaps.points is not None:
            low = self.before + first - before
            gaps = replace(gaps, points=gaps.points[:, low : low + before + stop - first + after])
        return Rows(before, stop - first, after, segments, gaps)
