"""Kills of processes of their own, whose moments reach into imports, as a shell would send them."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from .jobs import KINDS, Job, expected_of, make_source
from .kills import SIGNALS, STOP


def run(kills: int, seed: int) -> list[str]:
    """Kill processes; print a line.

    Parameters
    ----------
    kills : int
        How many.
    seed : int
        The same seed gives the same kinds, signals and moments.

    Returns
    -------
    list of str
        What was wrong.
    """
    rng, problems = random.Random(seed), list[str]()
    ends: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as place:
        aside = Path(place)
        make_source(aside / "in.nc")
        for at in range(kills):
            kind = list(KINDS)[at % len(KINDS)]
            number = SIGNALS[at // len(KINDS) % len(SIGNALS)]
            expected = aside / f"expected {kind}{KINDS[kind][0]}"
            job = Job(kind, aside / "here", aside)
            if not expected.exists():
                expected_of(job)
            job.reset()
            before = job.left()
            command = [sys.executable, "-m", "xgrad", *job.arguments()]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(rng.uniform(0, 4.5))
                started, began = bool(job.left()), time.monotonic()
                alive = process.poll() is None
                process.send_signal(number)
                _, said = process.communicate()
            seconds, code = time.monotonic() - began, process.returncode
            slowest = max(slowest, seconds)
            target = job.target_is(expected)
            ends[f"{number.name}: " + (f"code {code}" if alive else "done before")] += 1
            # While it imports there is no one to catch a signal: it ends by it, as a shell expects.
            right = {128 + number, -number} if number != 9 and not started else {128 + number, -9}
            wrong = []
            if target not in ("absent", "new"):
                wrong.append(target)
            if alive and code not in right | ({0, -number} if target == "new" else set()):
                wrong.append(f"exit code {code}, {said}")
            if alive and seconds > STOP:
                wrong.append(f"stopped after {seconds:.2f} s")
            if number != 9 and job.left() != before:
                wrong.append(f"left behind: {job.left()}")
            problems += [f"{kind}, {number.name}, kill {at}: {each}" for each in wrong]
    said = ", ".join(f"{end} {count}" for end, count in sorted(ends.items()))
    print(f"{kills} processes: {len(problems)} problems; {said}; stopped within {slowest:.2f} s", flush=True)
    return problems
