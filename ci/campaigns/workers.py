"""Several trials at once, each worker a process that forks children of its own."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Trial = TypeVar("Trial")
WORKERS = 2


def at_once(function: Callable[[Trial, int], Any], trials: Sequence[Trial]) -> list[Any]:
    """Call a function with each trial and the number of the worker; return what it returns, in their order.

    This forks, so there must be no threads.
    """
    pipes = []
    for worker in range(WORKERS):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.close(reader)
            _work(function, trials[worker::WORKERS], worker, writer)
        os.close(writer)
        pipes.append(os.fdopen(reader, "rb"))
    found: list[Any] = [None] * len(trials)
    for worker, pipe in enumerate(pipes):
        with pipe:
            results = pickle.load(pipe)
        if isinstance(results, str):
            raise RuntimeError(results)
        found[worker::WORKERS] = results
    for _ in pipes:
        os.wait()
    return found


def _work(function: Callable[[Trial, int], Any], trials: Sequence[Trial], worker: int, writer: int) -> None:
    """Do the trials of one worker, and hand over what came of them."""
    try:
        results: Any = [function(trial, worker) for trial in trials]
    except BaseException:
        results = traceback.format_exc()
    with os.fdopen(writer, "wb") as pipe:
        pickle.dump(results, pipe)
    os._exit(0)
