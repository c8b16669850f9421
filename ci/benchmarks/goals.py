"""The goals, as data, and whether they are met."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .contest import MEMORY, SECONDS, Result


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on the ratio of two contestants, or on one.

    Attributes
    ----------
    text : str
        What is to be reached, in words.
    group : str
        The group of cases.
    cases, of : str
        Patterns of the names of cases and contestants; the worst one counts.
    over : str or None
        The contestant that `of` is divided by.
    sign : {"≥", "≤"}
        Whether more is better.
    bound : float
        The number to be reached.
    metric : str
        What is bounded.
    """

    text: str
    group: str
    cases: str
    of: str
    over: str | None
    sign: str
    bound: float
    metric: str = SECONDS


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a goal: `margin` is how many times better than needed it is; below 1 it is missed."""

    text: str
    bound: str
    measured: float | None = None
    margin: float | None = None
    where: str = ""

    @property
    def word(self) -> str:
        """Say it."""
        if self.margin is None:
            return "not measured"
        return "met" if self.margin >= 1 else f"missed by {1 / self.margin - 1:.0%}"


def judge(goal: Goal, results: Iterable[Result]) -> Verdict:
    """Hold one goal against the results of a run."""
    bound, verdicts = f"{goal.sign} {goal.bound:g}", []
    for result in results:
        if result.group == goal.group and fnmatchcase(result.case, goal.cases):
            for name in result.values:
                if fnmatchcase(name, goal.of) and (goal.over is None or goal.over in result.values):
                    measured = _measured(goal, result, name)
                    margin = measured / goal.bound if goal.sign == "≥" else goal.bound / measured
                    verdicts.append(Verdict(goal.text, bound, measured, margin, f"{result.case}: {name}"))
    return min(verdicts, key=lambda each: each.margin or 0.0, default=Verdict(goal.text, bound))


def _measured(goal: Goal, result: Result, name: str) -> float:
    """Return the number that the goal bounds."""
    if goal.over is None:
        return statistics.median(result.values[name][goal.metric])
    return result.ratio(goal.metric, name, goal.over)


_PLAIN = "[23]-D {}, uniform, order 2"
_PEER = "dask.array.gradient"
_FILES, _TWO, _ONE = "out_of_core", "copy to two variables", "copy of one variable"

GOALS = (
    Goal("memory, float64: xarray / xgrad", "eager", _PLAIN.format("float64"), "xarray", "xgrad", "≥", 5),
    Goal("memory, float32: xarray / xgrad", "eager", _PLAIN.format("float32"), "xarray", "xgrad", "≥", 10),
    Goal("memory: np.gradient / xgrad", "eager", _PLAIN.format("*"), "np.gradient", "xgrad", "≥", 7),
    Goal("kernel, order 2 / floor", "kernel", "*, order 2", "uniform", "floor", "≤", 1.5),
    Goal("kernel, order 4 / floor", "kernel", "*, order 4", "uniform", "floor", "≤", 2.0),
    Goal("kernel, order 6 / floor", "kernel", "*, order 6", "uniform", "floor", "≤", 2.5),
    Goal("kernel, stretched / uniform", "kernel", "*", "stretched", "uniform", "≤", 1.15),
    Goal("kernel, gaps possible / uniform", "kernel", "*", "gaps possible", "uniform", "≤", 1.1),
    Goal("kernel, 20 % missing / uniform", "kernel", "*", "20 % missing", "uniform", "≤", 1.5),
    Goal("transposed / C order", "eager", "*, memory order", "transposed", "C order", "≤", 1.2),
    Goal("Fortran order / C order", "eager", "*, memory order", "Fortran order", "C order", "≤", 1.2),
    Goal("sphere / plain", "geometry", "*", "sphere", "plain", "≤", 1.3),
    Goal("curvilinear / plain, 24 maps", "geometry", "24 maps*", "curvilinear", "plain", "≤", 2.0),
    Goal(f"3 axes, time: {_PEER} / xgrad", "dask", "threads, 3 axes", _PEER, "xgrad", "≥", 3.5),
    Goal(f"3 axes, memory: xgrad / {_PEER}", "dask", "threads, 3 axes", "xgrad", _PEER, "≤", 0.6, MEMORY),
    Goal("tasks per chunk, 1 axis", "dask", "graph, 1 axis", "xgrad*", None, "≤", 3, "tasks per chunk"),
    Goal("tasks per chunk, 2 axes", "dask", "graph, 2 axes", "xgrad*", None, "≤", 4, "tasks per chunk"),
    Goal("tasks per chunk, 3 axes", "dask", "graph, 3 axes", "xgrad*", None, "≤", 5, "tasks per chunk"),
    Goal("graph, ms per chunk", "dask", "graph, *", "xgrad*", None, "≤", 0.5, "ms per chunk"),
    Goal(
        "bytes moved / bytes read", "distributed", "*", "xgrad, skipna=False", None, "≤", 0.3, "moved / read"
    ),
    *(
        Goal(f"netCDF{how}: xgrad / copy to two variables", _FILES, f"netCDF{how}", "xgrad", _TWO, "≤", 1.2)
        for how in ("", ", cold")
    ),
    *(
        Goal(
            f"netCDF, deflated{how}: xarray / xgrad",
            _FILES,
            f"netCDF, deflated{how}",
            "xarray",
            "xgrad",
            "≥",
            7,
        )
        for how in ("", ", cold")
    ),
    *(
        Goal(
            f"netCDF, deflated{how}: copy / xgrad", _FILES, f"netCDF, deflated{how}", _ONE, "xgrad", "≥", 2.5
        )
        for how in ("", ", cold")
    ),
    Goal("netCDF, packed: copy / xgrad", _FILES, "netCDF, packed", _ONE, "xgrad", "≥", 1.7),
    Goal(
        "netCDF, size: xgrad / zlib 4", _FILES, "netCDF, deflated", "xgrad", "xarray", "≤", 1.06, "file, MB"
    ),
    Goal("netCDF, memory: xgrad / xarray", _FILES, "netCDF", "xgrad", "xarray", "≤", 0.6, MEMORY),
    Goal("netCDF, 16 MiB chunks, two threads, MiB", _FILES, "netCDF", "xgrad", None, "≤", 438, MEMORY),
    Goal("file up to 8 times as large, memory", "growing", "*", "[248] times", "1 times", "≤", 1.05, MEMORY),
    Goal("40 × 60, two dims: xgrad / xarray", "small", "*", "xgrad", "xarray", "≤", 1.5),
    Goal("first call, kernels cached, s", "first", "*", "first call, kernels cached", None, "≤", 0.7),
)
