"""What tests share: real data, and how Hypothesis runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("XGRAD_TEST_DATA", ROOT.parent / "shared" / "data"))
NO_DATA = "the folder with real test data is absent"

# In the background of a shell the tests would ignore Ctrl-C, and so would all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The first call of a kernel compiles it, which is no sign of a slow test.
settings.register_profile("xgrad", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("xgrad")


@pytest.fixture(scope="session")
def data_path() -> Callable[[str], Path]:
    """The path of a real data file; without the folder the test is skipped, without the file it fails."""

    def find(name: str) -> Path:
        if not DATA.is_dir():
            pytest.skip(f"{NO_DATA}: {DATA} (set XGRAD_TEST_DATA)")
        path = DATA / name
        if not path.exists():
            pytest.fail(f"{DATA} is there, but {name} is not in it")
        return path

    return find


@pytest.fixture(scope="session")
def a1b_path() -> Path:
    """A1B_north_america.nc, from the package iris-sample-data."""
    import iris_sample_data

    return Path(iris_sample_data.path) / "A1B_north_america.nc"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for want of real data."""
    skipped = [
        report for report in terminalreporter.stats.get("skipped", []) if NO_DATA in str(report.longrepr)
    ]
    terminalreporter.write_line(f"real data in {DATA}: {len(skipped)} tests skipped for want of it")
