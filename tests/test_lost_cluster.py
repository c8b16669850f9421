"""A scheduler that is killed: an error that says so, soon, and nothing left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import distributed
import numpy as np
import pytest
import xarray as xr

from xgrad import errors, storage

# Workers import this file.
PATH = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
ENVIRONMENT = os.environ | {"PYTHONPATH": PATH}


def slow(block):
    time.sleep(0.1)
    return block


@pytest.fixture
def scheduler(tmp_path):
    """The process of a scheduler; another one has a worker, and the client is the active one."""
    file = tmp_path / "scheduler.json"
    where = ("--scheduler-file", file, "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
    with ExitStack() as stack:
        started = []
        for name, *options in (("scheduler", "--port", "0"), ("worker", "--no-nanny", "--nthreads", "1")):
            command = [sys.executable, "-m", "dask", name, *where, *options]
            process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
            started.append(stack.enter_context(process))
            stack.callback(process.kill)
        while not file.exists():
            assert started[0].poll() is None
            time.sleep(0.05)
        with distributed.Client(json.loads(file.read_text())["address"]) as client:
            client.wait_for_workers(1, timeout=60)
            yield started[0]


@pytest.mark.parametrize(("target", "written"), [("a.nc", 0), ("a.zarr", 0), ("a.nc", 2), ("a.zarr", 2)])
def test_lost_scheduler_is_an_error_soon(scheduler, tmp_path, target, written):
    ones = xr.DataArray(np.ones((20, 3)), dims=("y", "x")).chunk(y=1)
    ds = xr.Dataset({"t": ones.copy(data=ones.data.map_blocks(slow, dtype=float))})
    killed = []

    def report(progress):
        if progress.written >= written and not killed:
            scheduler.kill()
            killed.append(time.monotonic())
            time.sleep(0.5)

    (tmp_path / "here").mkdir()
    with pytest.raises(errors.StorageError, match="the cluster was lost"):
        storage.write(ds, tmp_path / "here" / target, progress=report)
    assert time.monotonic() - killed[0] < 5
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_scheduler_that_was_lost_before_is_one_too(scheduler, tmp_path, engine):
    """For a file that it makes, xarray would ask the cluster for a lock."""
    ds = xr.Dataset({"t": xr.DataArray(np.ones((20, 3)), dims=("y", "x")).chunk(y=1)})
    scheduler.kill()
    scheduler.wait()
    (tmp_path / "here").mkdir()
    began = time.monotonic()
    with pytest.raises(errors.StorageError, match="the cluster was lost"):
        storage.write(ds, tmp_path / "here" / "a.nc", engine=engine)
    assert time.monotonic() - began < 5
    assert list((tmp_path / "here").iterdir()) == []
