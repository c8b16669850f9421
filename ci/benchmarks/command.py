"""The command `ci/bench`."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import psutil

from . import eager, earth, files, first, kernel, lazy, report
from .contest import SIZES, Case
from .goals import GOALS, judge

CASES: tuple[Case, ...] = (*eager.CASES, *earth.CASES, *kernel.CASES, *lazy.CASES, *files.CASES, *first.CASES)
GROUPS = tuple(dict.fromkeys(case.group for case in CASES))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run benchmarks, print tables, save every value."""
    parser = argparse.ArgumentParser(
        prog="ci/bench", description="Compare xgrad with its peers and with the memory."
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; by default all")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="rounds, by default 5")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where every value goes, by default bench-output/"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="print the summary of an earlier run's FILE"
    )
    options = parser.parse_args(arguments)
    unknown = set(options.groups) - set(GROUPS)
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    if options.report:
        about, results = report.load(options.report)
        _print(
            report.machine(about),
            report.goals([judge(goal, results) for goal in GOALS]),
            report.summary(results),
        )
        return

    about = describe_machine(options.size, options.repeats)
    path = options.json or Path("bench-output") / f"{about['date'].replace(':', '-')}.json"
    results = []
    for case in CASES:
        if case.group in (options.groups or GROUPS):
            results.append(case.run(options.size, options.repeats))
            _print(report.case(results[-1]))
            verdicts = [judge(goal, results) for goal in GOALS]
            report.save(
                path, about, results, verdicts
            )  # each time, so that nothing is lost with a later case
    _print(["## Goals\n"], report.goals(verdicts), report.machine(about))
    print(f"every value is in {path}")


def describe_machine(size: str, repeats: int) -> dict[str, Any]:
    """Say on what, when and how the benchmarks are run."""
    cpus = Path("/proc/cpuinfo")
    models = [line for line in cpus.read_text().splitlines() if "model name" in line] if cpus.exists() else []
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {each.metadata["Name"].lower(): each.version for each in distributions()},
        "load": psutil.getloadavg(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": size,
        "repeats": repeats,
    }


def _print(*texts: Any) -> None:
    """Print lines."""
    for text in texts:
        print(*text, sep="\n", flush=True)
