"""Signals: the command stops within two seconds, whatever it is doing, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xgrad
from xgrad import cli
from xgrad.cli.process import GRACE, SIGNALS

STOP = 2.0
PATH = os.pathsep.join([str(Path(xgrad.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
ENVIRONMENT = os.environ | {"PYTHONPATH": PATH}
SCRIPT = """
import gc, hashlib, os, signal, sys, time, weakref
import dask.array, numpy as np, xarray as xr, zarr.storage, xgrad
from xgrad.cli import main

what = sys.argv.pop(1)

def in_c():  # without a look at signals, and without the lock of Python
    hashlib.pbkdf2_hmac("sha256", b"", b"", 50_000_000)

def tell():
    os.write(1, b"ready\\n")  # at once, as two threads tell it

def work(block):
    tell()
    if what == "sleep":
        time.sleep(30)
    elif what == "C":
        in_c()
    elif what == "Python":
        while True:
            pass
    return block

class Swallowing:
    def __del__(self):
        tell()
        time.sleep(30)

def compute(ds, **options):
    if what == "main in C":
        tell()
        in_c()
    elif what == "swallowed":
        Swallowing()
        gc.collect()
        while True:
            pass
    ones = dask.array.ones((20, 10), chunks=(1, 10)).map_blocks(work, meta=np.empty((0, 0)))
    return xr.Dataset({"slow": (("x", "y"), ones)})

xgrad.compute = compute
if what == "cluster":
    import distributed
    what = "sleep"
    cluster = distributed.LocalCluster(n_workers=2, processes=False, dashboard_address="127.0.0.1:0")
    client = cluster.get_client()
main()
"""


@pytest.fixture
def source(tmp_path):
    ds = xr.Dataset({"t": ("x", np.arange(5.0))}, {"x": np.arange(5.0)})
    ds.to_netcdf(tmp_path / "in.nc")
    (tmp_path / "here").mkdir()
    return tmp_path / "in.nc"


@contextmanager
def running(what, source, target, *options, **how):
    """The command at work, which has told that it is."""
    command = [sys.executable, "-c", SCRIPT, what, "compute", source, "-o", target, *options]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        **how,
    ) as process:
        overdue = threading.Timer(120, process.kill)  # no test waits for ever
        overdue.start()
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            overdue.cancel()
            process.kill()


def ended(process, number):
    """Send a signal, and return what came of it and the seconds until then."""
    began = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    return process.returncode, said, time.monotonic() - began


@pytest.mark.parametrize(("number", "suffix"), [*zip(SIGNALS, (".nc", ".zarr", ".nc"), strict=True)])
@pytest.mark.parametrize("what", ["sleep", "C", "Python", "main in C", "swallowed", "cluster"])
def test_stops_whatever_it_does(source, what, number, suffix):
    with running(what, source, source.parent / "here" / f"a{suffix}") as process:
        code, said, seconds = ended(process, number)
    assert code == 128 + number
    assert said == f"xgrad: stopped by {number.name}\n"
    assert seconds < STOP + 1  # the machine may have other work
    assert os.listdir(source.parent / "here") == []


def test_grace_leaves_time_to_clean_up():
    assert GRACE <= STOP - 0.5


def test_second_signal_does_not_disturb(source):
    with running("sleep", source, source.parent / "here" / "a.nc") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        code, said, _ = ended(process, signal.SIGTERM)
    assert code == 130
    assert said == "xgrad: stopped by SIGINT\n"
    assert os.listdir(source.parent / "here") == []


def test_resumable_run_keeps_its_folder(source):
    with running("sleep", source, source.parent / "here" / "a.zarr", "--resume") as process:
        code, _, _ = ended(process, signal.SIGTERM)
    assert code == 143
    assert os.listdir(source.parent / "here") == [".a.zarr.xgrad-resume"]


def test_full_pipe_does_not_keep_it(source):
    """Nobody reads what it says."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writer, True)
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        "sleep",
        "compute",
        source,
        "-o",
        source.parent / "here" / "a.nc",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=writer, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 143
    os.close(reader)
    os.close(writer)
    assert os.listdir(source.parent / "here") == []


def test_signals_that_are_to_be_ignored_are(source):
    """Those of nohup, and of a shell that runs it in the background."""

    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    with running("sleep", source, source.parent / "here" / "a.nc", preexec_fn=ignore) as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        time.sleep(STOP)
        assert process.poll() is None
        code, _, _ = ended(process, signal.SIGTERM)
    assert code == 143


def test_signal_is_an_exit_code_also_within_a_process(source, monkeypatch):
    """`run` leaves the process and its handlers as they were."""
    before = {each: signal.getsignal(each) for each in SIGNALS}

    def stop(ds, **options):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(xgrad, "compute", stop)
    assert cli.run(["compute", str(source), "-o", str(source.parent / "here" / "a.nc")]) == 143
    assert {each: signal.getsignal(each) for each in SIGNALS} == before


def test_stdout_on_a_full_disk_is_an_error(source):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "xgrad", "info", source],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            check=False,
        )
    assert done.returncode == 6
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr
