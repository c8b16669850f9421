"""The value that planning, schemes and labels use."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..schemes import Boundary, Wrap


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """
    One axis along which to differentiate; every decision about it was taken on its ascending copy.

    Attributes
    ----------
    name : Hashable
        The coordinate; it names the output.
    dim : Hashable
        The dimension of the data on which it lies.
    points : numpy.ndarray
        Shape (2, m), float64, read-only, ascending: rows `hi` and `lo` in base units, up to a common origin.
        The distance from i to k is ``(hi[k] - hi[i]) + (lo[k] - lo[i])``. They are the stored positions even
        where the axis was found uniform: there the distance is ``(k - i) * step``.
    step : float or None
        The step of a uniform axis in base units, None where spacings differ.
    scale : float
        Base units in one of `units`. Dates and durations have seconds as base unit, all others their own.
    descending : bool
        Whether the stored coordinate descends.
    boundary : tuple of Boundary
        What lies beyond the low and the high end of the ascending axis.
    overlap : int
        How many points a ring repeats at its end (ascending), one period on; `points` leaves them out.
    units : str or None
        The unit in which the derivative is expressed, None where it is unknown.
    time : bool
        Whether the axis measures time: dates, durations, and numbers "since" some date.
    notes : tuple of str
        What was decided and deserves to be said.
    """

    name: Hashable
    dim: Hashable
    points: NDArray[np.float64]
    step: float | None
    scale: float
    descending: bool
    boundary: tuple[Boundary, Boundary]
    overlap: int
    units: str | None
    time: bool
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[0] != 2 or self.points.shape[1] < 1:
            raise ValueError(f"points must have the shape (2, m), not {self.points.shape!r}")
        if not self.scale > 0.0 or not (self.step is None or self.step > 0.0):
            raise ValueError(f"scale and step must be positive, not {self.scale!r} and {self.step!r}")
        self.points.setflags(write=False)

    @property
    def size(self) -> int:
        """Number of points as stored."""
        return int(self.points.shape[1]) + self.overlap

    @property
    def ring(self) -> bool:
        """Whether the axis closes on itself."""
        return isinstance(self.boundary[0], Wrap)

    @property
    def kind(self) -> str:
        """Either "uniform" or "stretched"."""
        return "stretched" if self.step is None else "uniform"

    @property
    def spacing(self) -> tuple[float, float]:
        """The smallest and the largest spacing in `units`, that at the seam of a ring included."""
        if self.step is not None:
            return self.step / self.scale, self.step / self.scale
        steps = np.diff(self.points[0]) + np.diff(self.points[1])
        if isinstance(self.boundary[0], Wrap):
            ends = self.points[:, -1] - self.points[:, 0]
            steps = np.append(steps, self.boundary[0].period - float(ends[0] + ends[1]))
        return float(steps.min()) / self.scale, float(steps.max()) / self.scale
