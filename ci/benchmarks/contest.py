"""A contest: callables that take turns, and what each of them cost."""

from __future__ import annotations

import gc
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

SIZES = ("toy", "small", "full")
SECONDS, MEMORY = "s", "MiB"  # the usual metrics

Metrics = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Contestants at one size.

    Attributes
    ----------
    work : str
        What is computed, on how much data.
    measures : mapping
        For each contestant a call that does the work once and returns what it cost.
    disagreements : callable
        Returns the contestants that compute something else than the reference, and what: they are left out.
    reference : str
        The contestant that the others are compared with.
    warm : bool
        Whether a first round is run and dropped.
    """

    work: str
    measures: Mapping[str, Callable[[], Metrics]]
    disagreements: Callable[[], Mapping[str, str]] = dict
    reference: str = "xgrad"
    warm: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """What the contestants of a case cost: for each contestant and metric one value a round."""

    group: str
    case: str
    work: str
    reference: str
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def metrics(self) -> list[str]:
        """List what was measured."""
        return list(dict.fromkeys(metric for measured in self.values.values() for metric in measured))

    def ratio(self, metric: str, of: str, over: str) -> float:
        """Return the median of the ratios within each round."""
        rounds = zip(self.values[of][metric], self.values[over][metric], strict=True)
        return statistics.median(one / other for one, other in rounds)


@dataclass(frozen=True, slots=True)
class Case:
    """A contest by name; `make` gets the size and an empty folder that lives as long as the contest."""

    group: str
    name: str
    make: Callable[[str, Path], Contest]

    def run(self, size: str, repeats: int) -> Result:
        """Check the contestants against each other, then let them take turns."""
        gc.freeze()  # what is there already: looking for garbage in it takes longer than many a contestant
        try:
            with tempfile.TemporaryDirectory() as folder:
                return self._run(self.make(size, Path(folder)), repeats)
        finally:
            gc.unfreeze()

    def _run(self, contest: Contest, repeats: int) -> Result:
        """Run rounds."""
        left_out = dict(contest.disagreements())
        measures = {name: call for name, call in contest.measures.items() if name not in left_out}
        values: dict[str, dict[str, list[float]]] = {name: {} for name in measures}
        for number in range(-1 if contest.warm else 0, repeats):
            # There and back again, so that nobody always follows the same one.
            for name in sorted(measures, key=list(measures).index, reverse=number % 2 == 1):
                for metric, value in measures[name]().items():
                    if number >= 0:
                        values[name].setdefault(metric, []).append(value)
        return Result(self.group, self.name, contest.work, contest.reference, values, left_out)


def timed(calls: Mapping[str, Callable[[], Any]], loops: int = 1) -> dict[str, Callable[[], Metrics]]:
    """Measure the time of calls in this process, each as the mean of some loops."""

    def measure(call: Callable[[], Any]) -> Metrics:
        gc.collect()
        gc.disable()
        try:
            started = time.perf_counter()
            for _ in range(loops):
                result = call()
            seconds = time.perf_counter() - started
            del result  # only now: giving memory back is not the contestant's time
        finally:
            gc.enable()
        return {SECONDS: seconds / loops}

    return {name: partial(measure, call) for name, call in calls.items()}


def alone(function: Callable[..., Metrics], *args: Any) -> Metrics:
    """Call a function of a module in a process of its own, and return what it returns."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":  # children begin with the imports done, so that they need no seconds for them
        context.set_forkserver_preload(["dask.array", "psutil", "xgrad.kernels.compiled", "zarr"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args).result()


def cost(work: Callable[..., Any], size: str, *args: Any) -> Metrics:
    """Measure the time of ``work(size, *args)`` and the most memory that it took."""
    work("toy", *args)  # imports, kernels
    memory, over = psutil.Process().memory_info, threading.Event()
    gc.collect()
    held = [memory().rss]

    def watch() -> None:
        while not over.wait(0.002):
            held.append(memory().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    work(size, *args)
    seconds = time.perf_counter() - started
    over.set()
    watcher.join()
    page = 4096  # toys may get by with memory that they had already
    return {SECONDS: seconds, MEMORY: max(max(held) - held[0], page) / 2**20}


def disagreements(
    results: Mapping[str, Callable[[], Iterable[Any]]], truth: str, *, margin: int, tolerance: float
) -> dict[str, str]:
    """Compare arrays of all contestants with those of one, and say of each that differs how.

    Compared are points at least `margin` from every end where both results are finite, and at least half of
    all must be; `tolerance` is relative to the largest value.
    """
    expected = [np.asarray(array) for array in results[truth]()]
    wrong = {}
    for name, call in results.items():
        if name != truth:
            found = [np.asarray(array) for array in call()]
            if [array.shape for array in found] != [array.shape for array in expected]:
                wrong[name] = "shapes differ"
                continue
            errors = [_error(*pair, margin) for pair in zip(found, expected, strict=True)]
            if not max(errors) <= tolerance:  # NaN is not
                wrong[name] = f"relative difference from {truth}: {max(errors):.1e}"
    return wrong


def _error(found: Any, expected: Any, margin: int) -> float:
    """Return the largest difference over the largest value; NaN where too few points can be compared."""
    inside = (slice(margin, -margin or None),) * expected.ndim
    worst, largest, compared = 0.0, 0.0, 0
    for one, other in zip(found[inside], expected[inside], strict=True):  # bounds the temporaries
        both = np.isfinite(one) & np.isfinite(other)
        compared += int(both.sum())
        worst = max(worst, float(np.abs(one - other).max(where=both, initial=0)))
        largest = max(largest, float(np.abs(other).max(where=both, initial=0)))
    return worst / largest if 2 * compared >= expected[inside].size and largest else float("nan")
