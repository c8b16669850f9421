"""The command `ci/faults`."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from . import changed, children, clusters, disk, kills, processes, raw, resume, truncation
from .outcomes import Outcome, report

# What each is called with in a full and in a short run: how many trials.
CAMPAIGNS: dict[str, tuple[Callable[[int, int], Iterable[Outcome]], int, int]] = {
    "kills": (kills.run, 330, 15),
    "resume": (resume.run, 110, 2),
    "processes": (processes.run, 30, 1),
    "clusters": (clusters.run, 30, 3),
    "disk": (disk.run, 12, 1),
    "truncation": (truncation.run, 300, 5),
    "changed": (changed.run, 40, 5),
    "links": (changed.links, 1, 1),
    "raw": (raw.run, 1000, 3),
}
PACKAGES = ("xgrad", "numpy", "xarray", "dask", "netCDF4", "h5netcdf", "h5py", "zarr", "numba")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run campaigns, print what came out, and fail if anything was wrong."""
    names = ", ".join(CAMPAIGNS)
    parser = argparse.ArgumentParser(prog="ci/faults", description="Disturb many runs, and see what is left.")
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=f"of {names}; by default all")
    parser.add_argument("--short", action="store_true", help="a few trials of each")
    parser.add_argument("--trials", type=int, metavar="N", help="so many trials of each")
    parser.add_argument("--seed", type=int, default=0, help="the same gives the same trials, by default 0")
    options = parser.parse_args(arguments)
    unknown = set(options.campaigns) - set(CAMPAIGNS)
    if unknown:
        parser.error(f"no campaign {', '.join(sorted(unknown))}; there are {names}")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & has it ignored, also by children
    print(_machine(), flush=True)
    children.warm()
    failed = []
    for name, (run, full, short) in CAMPAIGNS.items():
        if name in (options.campaigns or CAMPAIGNS):
            print(f"\n{name}, seed {options.seed}", flush=True)
            began = time.monotonic()
            problems = report(run(options.trials or (short if options.short else full), options.seed))
            for problem in problems:
                print(f"  {problem}")
            verdict = f"FAILED, {len(problems)} problems" if problems else "passed"
            print(f"{name}: {verdict}, in {time.monotonic() - began:.0f} s", flush=True)
            failed += [name] if problems else []
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _machine() -> str:
    """Say on what the campaigns are run."""
    cpus = Path("/proc/cpuinfo")
    models = [line for line in cpus.read_text().splitlines() if "model name" in line] if cpus.exists() else []
    cpu = models[0].partition(":")[2].strip() if models else platform.processor()
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} processors {cpu}, load {load}; {platform.platform()}, "
        f"Python {platform.python_version()}; {packages}"
    )
