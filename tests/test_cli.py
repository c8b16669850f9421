"""The command line: what it does, says and returns."""

from __future__ import annotations

import ctypes
import inspect
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from contextlib import ExitStack, suppress
from pathlib import Path

import dask
import netCDF4
import numpy as np
import pytest
import xarray as xr

import xgrad
from xgrad import cli, errors, storage, units
from xgrad.cli.commands import command
from xgrad.cli.options import Size
from xgrad.cli.process import EXIT_CODES, Call
from xgrad.storage import progress
from xgrad.storage.progress import Bar, Lines, Progress


@pytest.fixture
def source(tmp_path):
    """A small packed file with bounds, a grid mapping, an unlimited dimension, and a unit unknown to all."""
    shape = (6, 4, 5)
    values = np.random.default_rng(7).normal(280, 10, shape).astype("f4")
    ds = xr.Dataset(
        {
            "t": (("time", "lat", "lon"), values, {"units": "degC"}),
            "odd": (("time", "lat", "lon"), values, {"units": "furlongs per wink"}),
            "label": (("lat",), np.array(["a", "b", "c", "d"])),
        },
        {
            "time": xr.date_range("2001-01-01", periods=6, freq="D"),
            "lat": ("lat", [10.0, 20.0, 30.0, 40.0], {"units": "degrees_north", "bounds": "lat_bnds"}),
            "lat_bnds": (("lat", "bnds"), [[5.0, 15.0], [15.0, 25.0], [25.0, 35.0], [35.0, 45.0]]),
            "lon": ("lon", np.arange(5.0), {"units": "degrees_east"}),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
        },
        {"history": "made for a test"},
    )
    ds["t"].encoding = {"grid_mapping": "crs", "dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0}
    ds["t"].encoding["_FillValue"] = -32768
    ds.to_netcdf(tmp_path / "in.nc", unlimited_dims=["time"])
    return tmp_path / "in.nc"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.nc"


def run(*args):
    return cli.run([str(arg) for arg in args])


def said(capsys):
    """What was said on stderr, after making sure that stdout is empty."""
    out, err = capsys.readouterr()
    assert out == ""
    return err


# compute


def test_file_equals_function(source, target, capsys):
    assert run("compute", source, "-o", target, "-v", "t", "-d", "lon,lat,time") == 0
    assert said(capsys) == ""
    with storage.open(source) as ds, storage.open(target) as found:
        expected = xgrad.compute(ds[["t"]], ["lon", "lat", "time"])
        assert list(found.data_vars) == ["dt_dlon", "dt_dlat", "dt_dtime"]
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], strict=True)
            assert found[name].attrs == expected[name].attrs
        assert found["dt_dtime"].attrs["units"] == "K s-1"


def test_file_keeps_its_context(source, target):
    assert run("compute", source, "-o", target, "-v", "t", "-d", "lat") == 0
    with netCDF4.Dataset(target) as file:
        assert set(file.variables) == {"dt_dlat", "time", "lat", "lat_bnds", "lon", "crs"}
        assert file["dt_dlat"].grid_mapping == "crs"
        assert file["dt_dlat"].dtype == np.float64  # not the int16 of the source
        assert "scale_factor" not in file["dt_dlat"].ncattrs()
        assert file["lat"].bounds == "lat_bnds"
        assert file.dimensions["time"].isunlimited()
        assert file.Conventions.startswith("CF-")
        newest, oldest = file.history.split("\n")
        assert newest.endswith(f": xgrad compute {source} -o {target} -v t -d lat")
        assert oldest == "made for a test"


def test_chunks_do_not_matter(source, target, tmp_path):
    assert run("compute", source, "-o", target, "-v", "t", "-d", "lat,time") == 0
    other = tmp_path / "other.nc"
    assert run("compute", source, "-o", other, "-v", "t", "-d", "lat,time", "--chunks", "lat:1,time:4") == 0
    with xr.open_dataset(target) as one, xr.open_dataset(other) as two:
        xr.testing.assert_equal(one, two)


def test_every_option_arrives(source, target, monkeypatch):
    seen = {}
    monkeypatch.setattr(xgrad, "compute", lambda ds, **options: seen.update(options) or ds[[]])
    arguments = (
        *("-d", "lon,lat", "--n", "2", "--order", "4", "--edge-order", "2", "--no-skipna"),
        *("--periodic", "lon:360", "--spacing", "lat:0.5,a:b:-2", "--datetime-unit", "D", "--names", "lon:u"),
        *("--geometry", "ellipsoid:a=6378137,f=1/298.257223563,lon=x"),
    )
    assert run("compute", source, "-o", target, *arguments) == 0
    assert seen == {
        "dims": ["lon", "lat"],
        "n": 2,
        "order": 4,
        "edge_order": 2,
        "skipna": False,
        "periodic": {"lon": 360.0},
        "geometry": xgrad.Ellipsoid(6378137.0, 1 / 298.257223563, lon="x"),
        "spacing": {"lat": 0.5, "a:b": -2.0},
        "datetime_unit": "D",
        "names": {"lon": "u"},
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [("auto", "auto"), ("yes", True), ("no", False), ("lon,x", ["lon", "x"]), ("x:2.5", {"x": 2.5})],
)
def test_periodic(source, target, monkeypatch, text, value):
    seen = {}
    monkeypatch.setattr(xgrad, "compute", lambda ds, **options: seen.update(options) or ds[[]])
    assert run("compute", source, "-o", target, "--periodic", text) == 0
    assert seen["periodic"] == value


def test_options_are_those_of_the_functions():
    """The same names and the same defaults as in Python; the rest is what only a command has."""
    compute = command.commands["compute"]
    options = {option.name: option for option in compute.params}
    given = compute.make_context("compute", ["in.nc", "-o", "out.nc"], obj=Call(())).params
    only = {"sources", "output", "variables", "memory", "workers", "scheduler", "strict", "plan"}
    only |= {"json", "quiet", "debug"}
    parameters = {}
    for function in (xgrad.compute, xgrad.open, xgrad.write):
        parameters |= inspect.signature(function).parameters
    for name in ("obj", "ds", "path", "paths", "inputs", "history", "progress", "chunk_bytes"):
        del parameters[name]  # what the command finds out by itself
    assert set(options) - only == set(parameters)
    for name, parameter in parameters.items():
        assert given[name] == parameter.default, name
        assert f"--{name.replace('_', '-')}" in options[name].opts


def test_every_option_of_writing_arrives(source, target, monkeypatch):
    seen = {}
    monkeypatch.setattr(storage, "write", lambda ds, path, **options: seen.update(options, path=path))
    arguments = (
        *("--engine", "h5netcdf", "--codec", "zlib", "--complevel", "3", "--dtype", "float32"),
        *("--zarr-format", "2", "--overwrite", "--resume"),
    )
    assert run("compute", source, "-o", target, "-v", "t", "-d", "lat", *arguments) == 0
    assert seen.pop("history").startswith(f"xgrad {xgrad.__version__}: xgrad compute")
    assert isinstance(seen.pop("progress"), progress.Lines)
    assert seen == {
        "path": str(target),
        "inputs": (str(source),),
        "engine": "h5netcdf",
        "codec": "zlib",
        "complevel": 3,
        "dtype": "float32",
        "zarr_format": 2,
        "overwrite": True,
        "resume": True,
    }


def test_workers_are_threads(source, target, monkeypatch):
    seen = []
    monkeypatch.setattr(storage, "write", lambda *_, **__: seen.append(dask.config.get("num_workers")))
    assert run("compute", source, "-o", target, "-v", "t", "-d", "lat", "--workers", "3") == 0
    assert seen == [3]
    assert dask.config.get("num_workers", None) is None


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_several_inputs_are_one_series(source, tmp_path, suffix, capsys):
    with xr.open_dataset(source) as ds:
        parts = [ds.isel(time=slice(None, 2)), ds.isel(time=slice(2, None))]
        for number, part in enumerate(parts):
            part = part.drop_vars("label").drop_encoding()
            path = tmp_path / f"{number}{suffix}"
            part.to_netcdf(path) if suffix == ".nc" else part.to_zarr(path, consolidated=False)
    inputs = [tmp_path / f"{number}{suffix}" for number in (1, 0)]  # their order does not matter
    assert run("compute", *inputs, "-o", tmp_path / "series.nc", "-v", "t", "-d", "time") == 0
    assert run("compute", source, "-o", tmp_path / "one.nc", "-v", "t", "-d", "time") == 0
    with xr.open_dataset(tmp_path / "series.nc") as series, xr.open_dataset(tmp_path / "one.nc") as one:
        xr.testing.assert_equal(series["dt_dtime"], one["dt_dtime"])
    assert run("info", *inputs) == 0
    assert "time: 6" in capsys.readouterr().out


# What would be done


@pytest.fixture
def large(tmp_path):
    """Some 20 MB, in chunks on disk that the netCDF library reads by itself, and one that is read raw."""
    ds = xr.Dataset(
        {
            "t": (("time", "lat", "lon"), np.zeros((200, 120, 200), "f4"), {"units": "K"}),
            "small": (("lat", "lon"), np.zeros((120, 200), "f4")),
        },
        {"time": np.arange(200.0), "lat": np.linspace(-60, 59, 120), "lon": np.linspace(0, 199, 200)},
    )
    encoding = {"t": {"zlib": True, "complevel": 1, "chunksizes": (10, 120, 200)}, "small": {"zlib": False}}
    ds.to_netcdf(tmp_path / "large.nc", encoding=encoding)
    return tmp_path / "large.nc"


def planned(capsys, *arguments):
    assert run("compute", *arguments, "--plan", "--json") == 0
    return json.loads(said_as_data(capsys), parse_constant=pytest.fail)


def said_as_data(capsys):
    """What was said on stdout, after making sure that it is all."""
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_plan_is_what_then_happens(large, tmp_path, capsys, suffix):
    target = tmp_path / f"out{suffix}"
    arguments = (large, "-o", target, "-v", "t", "-d", "lat,lon", "--chunks", "time:40", "--complevel", "2")
    plan = planned(capsys, *arguments)
    assert not target.exists()
    (read,) = plan["reads"]
    assert (read["path"], read["format"], read["nbytes"]) == (str(large), "netCDF-4", large.stat().st_size)
    assert read["ways"] == {"t": "raw chunks"}
    assert plan["blocks"] == {"sizes": {"time": 40, "lat": 120, "lon": 200}, "count": 10}
    assert [each["name"] for each in plan["computes"]["variables"][0]["derivatives"]] == [
        "dt_dlat",
        "dt_dlon",
    ]
    assert run("compute", *arguments) == 0
    with xr.open_dataset(
        target, **({"engine": "zarr", "consolidated": False} if suffix == ".zarr" else {})
    ) as found:
        for each in plan["writes"]["variables"]:
            array = found[each["name"]]
            assert each["dims"] == dict(array.sizes)
            assert each["dtype"] == str(array.dtype)
            key = "chunks" if suffix == ".zarr" else "chunksizes"
            assert tuple(each["chunks"]) == tuple(array.encoding[key])
        assert plan["writes"]["nbytes"] == found.nbytes
    if suffix == ".nc":
        with netCDF4.Dataset(target) as file:
            filters = file["dt_dlat"].filters()
        assert (filters["complevel"], plan["writes"]["codec"]) == (2, "isal")


def test_plan_says_why_something_is_not_read_raw(large, target, capsys):
    plan = planned(capsys, large, "-o", target, "-d", "lat")
    assert plan["reads"][0]["ways"] == {"t": "raw chunks", "small": "by netcdf4, as it is contiguous"}
    with xr.open_dataset(large) as ds:
        ds.to_netcdf(large.with_name("classic.nc"), format="NETCDF3_64BIT", encoding={"t": {"zlib": False}})
    plan = planned(capsys, large.with_name("classic.nc"), "-o", target, "-d", "lat")
    assert plan["reads"][0]["format"] == "netCDF-3"
    assert plan["reads"][0]["ways"]["t"] == "by netcdf4, as its file is not netCDF-4"


def test_plan_in_words(large, target, capsys):
    before = sorted(large.parent.iterdir())
    assert run("compute", large, "-o", target, "-v", "t", "-d", "lat,lon", "--plan", "--workers", "3") == 0
    text = said_as_data(capsys)
    for words in (
        *("reads\n", "netCDF-4", "(t: raw chunks)", "dt_dlat", "dt_dlon", f"writes {target}"),
        *("(netCDF-4 by netcdf4, not compressed)", "without compression", "on 3 threads", "400 MB + 8 x ("),
    ):
        assert words in text
    assert sorted(large.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-o", "{text}"], 5),
        (["-o", "{out}", "-v", "t", "--resume"], 2),
        (["-o", "{out}", "-v", "none"], 2),
        (["-o", "{folder}/none/out.nc"], 6),
    ],
)
def test_plan_refuses_what_the_run_would(source, target, capsys, arguments, code):
    text = source.parent / "text.nc"
    text.write_text("old")
    places = {"out": target, "folder": source.parent, "text": text}
    arguments = [argument.format_map(places) for argument in arguments]
    assert run("compute", source, "-d", "lat", *arguments, "--plan") == code
    assert run("compute", source, "-d", "lat", *arguments) == code


# Memory


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("500MB", 500_000_000), ("2GB", 2_000_000_000), ("1.5GiB", 3 * 2**29), ("2g", 2_000_000_000)),
        *(
            ("3 kB", 3000),
            ("0.5TB", 500_000_000_000),
            ("400000000", 400_000_000),
            ("64kib", 65536),
            (".5m", 500_000),
        ),
    ],
)
def test_sizes(text, size):
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "2XB", "-2GB", "nan", "0GB", "2iB", "1e3", "2GBs", "2,5GB", "٢GB"]
)
def test_what_is_no_size(source, target, capsys, text):
    assert run("compute", source, "-o", target, "--memory", text) == 2
    assert "is no size such as 500MB" in said(capsys)


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_chunks_fit_into_the_memory(large, target, capsys, workers):
    options = ("-v", "t", "-d", "lat,lon,time", "--workers", workers)
    sizes = []
    for limit in (550, 700, 1000):
        plan = planned(capsys, large, "-o", target, *options, "--memory", f"{limit}MB")
        parts, block = plan["memory"], plan["blocks"]["sizes"]
        points = block["time"] * block["lat"] * block["lon"]
        assert parts["read"] == 4 * points
        assert parts["results"] == 3 * 4 * points
        assert parts["total"] == 400e6 + 2 * (workers + 1) * (parts["block"])
        assert parts["block"] >= parts["read"] + parts["results"]
        assert parts["total"] <= limit * 1e6
        sizes.append(points)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] or workers == 1


def test_memory_that_is_too_little_is_refused_with_the_least_that_is_not(large, target, capsys):
    options = ("-v", "t", "-d", "lat,lon", "--workers", "2", "--plan")
    assert run("compute", large, "-o", target, *options, "--memory", "300MB") == 2
    line = said(capsys)
    (least,) = re.findall(r"at least (\d+ MB)", line)
    assert "300 MB of memory are too little: with 2 threads" in line
    assert run("compute", large, "-o", target, *options, "--memory", least) == 0
    assert run("compute", large, "-o", target, *options, "--memory", f"{int(least[:-3]) - 1} MB") == 2


def test_memory_and_chunks_exclude_one_another(source, target, capsys):
    assert run("compute", source, "-o", target, "--memory", "2GB", "--chunks", "time:2") == 2
    assert "exclude one another" in said(capsys)


# Machines


def events(text):
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def test_events_of_a_run(source, target, capsys):
    assert run("compute", source, "-o", target, "-v", "t", "-d", "lat", "--chunks", "time:1", "--json") == 0
    first, *middle, last = events(said_as_data(capsys))
    assert first == {
        "event": "started",
        "version": xgrad.__version__,
        "inputs": [str(source)],
        "output": str(target),
    }
    assert {each["event"] for each in middle} == {"progress"}
    assert (middle[0]["written"], middle[-1]["written"], middle[-1]["blocks"]) == (0, 7, 7)  # one of bounds
    assert middle[-1]["seconds_left"] == 0
    assert middle[-1]["bytes_per_second"] > 0
    assert (last["event"], last["nbytes"]) == ("finished", target.stat().st_size)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["compute", "{in}", "-o", "{in}", "--json"], 5),
        (["compute", "{in}", "--json"], 2),
        (["compute", "{in}.none", "-o", "{out}", "--json", "--plan"], 3),
        (["info", "{in}.none", "--json"], 3),
    ],
)
def test_event_of_a_failure(source, target, capsys, arguments, code):
    assert run(*(argument.format_map({"in": source, "out": target}) for argument in arguments)) == code
    out, err = capsys.readouterr()
    (event,) = events(out)
    assert event["event"] == "failed"
    assert event["exit_code"] == code
    assert err == f"xgrad: error: {event['message']}\n"


def test_events_that_nobody_reads_do_not_end_the_run(source, target):
    reader, writer = os.pipe()
    os.close(reader)
    arguments = ["compute", source, "-o", target, "-v", "t", "-d", "lat", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "xgrad", *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    with xr.open_dataset(target) as found:
        assert "dt_dlat" in found


def test_info_as_json(source, capsys):
    with netCDF4.Dataset(source, "a") as file:
        file["t"].long_name = "\x1b[2J\u202e"
    assert run("info", source, "--json") == 0
    text = said_as_data(capsys)
    assert text.isascii()
    assert text[:-1].isprintable()
    found = json.loads(text, parse_constant=pytest.fail)
    (t,) = [each for each in found["variables"] if each["name"] == "t"]
    assert (t["units"], t["dtype"]) == ("degC", "float64")
    assert t["dims"] == {"time": 6, "lat": 4, "lon": 5}
    along = {each["name"]: each["along"][0] for each in t["derivatives"]}
    assert {name: (each["kind"], each["time"], each["spacing"]) for name, each in along.items()} == {
        "dt_dtime": ("uniform", True, [86400.0, 86400.0]),
        "dt_dlat": ("uniform", False, [10.0, 10.0]),
        "dt_dlon": ("uniform", False, [1.0, 1.0]),
    }
    assert any("sphere" in note for note in t["notes"])
    assert found["left_out"]["label"].startswith("it has dtype")
    assert run("info", source, "--json", "--geometry", "sphere", "-q") == 0
    found = json.loads(said_as_data(capsys))
    assert "on the sphere" in found["variables"][0]["geometry"][0]


# Clusters


@pytest.fixture
def stranger():
    """A function that has something answer whoever calls, in these bytes, and returns its address."""
    with ExitStack() as sockets:

        def answer(server, text):
            with suppress(OSError):  # the test is over
                while True:
                    sockets.enter_context(server.accept()[0]).sendall(text)

        def listen(text):
            server = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
            sockets.callback(server.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=answer, args=(server, text), daemon=True).start()
            return f"tcp://127.0.0.1:{server.getsockname()[1]}"

        yield listen


def test_scheduler_that_is_not_there(source, target, capsys, monkeypatch, stranger):
    monkeypatch.setattr("xgrad.cli.computing._PATIENCE", 0.5)
    for address in ("tcp://127.0.0.1:9", stranger(b"")):  # nobody, and somebody who is silent
        began = time.monotonic()
        assert run("compute", source, "-o", target, "--scheduler", address) == 6
        assert time.monotonic() - began < 5
        assert f"{address!r} cannot be reached: nothing answered in 0.5 s; is it running" in said(capsys)
    assert run("compute", source, "-o", target, "--scheduler", "tcp://127.0.0.1:9", "--workers", "2") == 2
    assert "--workers is for threads" in said(capsys)


def test_what_is_no_scheduler(source, target, tmp_path, capsys, stranger):
    for name, text in {"list": "[1]", "other": "{}", "inproc": '{"address": "inproc://1"}'}.items():
        (tmp_path / name).write_text(text)
    for given, reason in {
        "nonsense": "it has no port, and there is no such file",
        tmp_path: "it cannot be read (Is a directory)",
        source: "no scheduler has written this file",
        tmp_path / "list": "no scheduler has written this file",
        tmp_path / "other": "no scheduler has written this file",
        tmp_path / "inproc": "not enough values",
        "nothing://127.0.0.1:9": "unknown address scheme 'nothing'",
        "tls://127.0.0.1:9": "TLS expects",
        stranger(b"SSH-2.0-OpenSSH_9.2p1"): "Unable to allocate",
    }.items():
        assert run("compute", source, "-o", target, "--scheduler", given) == 2
        message = said(capsys)
        assert message.startswith(f"xgrad: error: --scheduler {str(given)!r} leads to no scheduler: {reason}")
        assert message.endswith(
            "; give an address such as tcp://host:8786, or the file that a scheduler has written\n"
        )


def test_scheduler_without_distributed(source, target, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert run("compute", source, "-o", target, "--scheduler", "tcp://127.0.0.1:9") == 2
    assert "xgrad[distributed]" in said(capsys)


# Progress


def told(kind, progresses, seconds, monkeypatch, columns=None):
    """What a report writes of some progresses, so many seconds after it began."""
    clock = iter(seconds)
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    if columns is not None:
        monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.StringIO()
    report = kind(stream, began=0.0)
    for each in progresses:
        report(each)
    report.close()
    return stream.getvalue()


def test_bar_knows_rate_and_time_left(monkeypatch):
    text = told(Bar, [Progress(0, 200, 10**9), Progress(50, 200, 10**9)], [0.0, 30.0], monkeypatch, 100)
    assert text.endswith("[#######                       ]  25 %, 50 of 200 blocks, 8.33 MB/s, 1:30 left\n")


def test_bar_of_a_resumed_run_counts_what_it_did(monkeypatch):
    text = told(Bar, [Progress(100, 200, 10**9), Progress(150, 200, 10**9)], [0.0, 30.0], monkeypatch, 100)
    assert "75 %, 150 of 200 blocks, 8.33 MB/s, 0:30 left" in text


@pytest.mark.parametrize("columns", [1, 5, 10, 20, 30, 40, 60, 80, 200])
def test_bar_fits_its_terminal(monkeypatch, columns):
    progresses = [Progress(done, 12345, 10**12) for done in (0, 1, 77, 6000, 12345)]
    text = told(Bar, progresses, [0.0, 3.0, 100.0, 5000.0, 9999.0], monkeypatch, columns)
    lines = text.removesuffix("\n").split("\r")
    assert max(map(len, lines)) < max(columns, 2)
    assert text.replace("\r", "").replace("\n", "").isprintable()  # terminals without escape codes do too
    if columns >= 20:
        assert "left" in text
    if columns >= 40:
        assert "[###" in text


def test_shorter_bar_covers_the_longer_one(monkeypatch):
    """What is on the line after it was drawn over is the last text only."""
    text = told(Bar, [Progress(1, 9, 900), Progress(9, 9, 900)], [1000.0, 1001.0], monkeypatch, 100)
    screen = [" "] * 100
    for drawn in text.removesuffix("\n").split("\r"):
        screen[: len(drawn)] = drawn
    assert "".join(screen).rstrip().endswith("in all")


def test_messages_go_above_the_bar(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setenv("COLUMNS", "60")
    bar = Bar(stream)
    bar(Progress(1, 4, 400))
    call = Call((), bar=bar)
    call.note("a warning")
    bar(Progress(2, 4, 400))
    bar.close()
    first, second = stream.getvalue().removesuffix("\n").split("\n")
    assert first.split("\r")[-1] == "xgrad: a warning"
    assert first.split("\r")[-2].isspace()  # what was drawn there is wiped out
    assert "50 %" in second


def test_lines_are_one_a_minute(monkeypatch):
    progresses = [Progress(done, 10, 1000) for done in range(10)]
    text = told(Lines, progresses, [20.0 * each for each in range(10)], monkeypatch)
    assert text.splitlines() == [
        f"xgrad: {10 * done:3d} %, {done} of 10 blocks, 5 B/s, {left} left"
        for done, left in ((3, "2:20"), (6, "1:20"), (9, "0:20"))
    ]


def test_short_runs_say_nothing_in_a_log(monkeypatch):
    assert told(Lines, [Progress(0, 1, 8), Progress(1, 1, 8)], [0.0, 59.0], monkeypatch) == ""


@pytest.mark.filterwarnings("default")
def test_strict_refuses_units_that_nobody_knows(source, target, capsys, monkeypatch):
    monkeypatch.setattr(units, "_warned", set())  # it is said once a process
    assert run("compute", source, "-o", target, "-v", "odd", "-d", "lat", "--strict") == 4
    assert "furlongs" in said(capsys)
    assert not target.exists()


@pytest.mark.filterwarnings("default")
def test_unknown_units_are_one_warning(source, target, capsys, monkeypatch):
    monkeypatch.setattr(units, "_warned", set())
    assert run("compute", source, "-o", target, "-v", "odd", "-d", "lat") == 0
    line = said(capsys)
    assert line.startswith("xgrad: warning: units 'furlongs per wink'")
    assert line.count("\n") == 1
    with xr.open_dataset(target) as found:
        assert "units" not in found["dodd_dlat"].attrs


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (True, True), (False, False)])
def test_bar_is_for_terminals(source, target, capsys, monkeypatch, terminal, quiet):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert run("compute", source, "-o", target, "-v", "t", "-d", "lat", *(["-q"] if quiet else [])) == 0
    assert ("100 %" in said(capsys)) == (terminal and not quiet)


# Errors


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["compute", "{in}"], 2, "--output"),
        (["compute", "{in}", "-o", "{out}", "--oder", "4"], 2, "--order"),
        (["compute", "{in}", "-o", "{out}", "--chunks", "lat"], 2, "dim:n"),
        (["compute", "{in}", "-o", "{out}", "--chunks", "lat:x"], 2, "not a number"),
        (["compute", "{in}", "-o", "{out}", "--chunks", "la:2"], 2, "'la'"),
        (["compute", "{in}", "-o", "{out}", "--spacing", "lat:1,lat:2"], 2, "each dim once"),
        (["compute", "{in}", "-o", "{out}", "-d", "lat,,lon"], 2, "empty or a repeated name"),
        (["compute", "{in}", "-o", "{out}", "-d", "lat,lat"], 2, "empty or a repeated name"),
        (["compute", "{in}", "-o", "{out}", "--complevel", "10"], 2, "10"),
        (["compute", "{in}", "-o", "{out}", "--order", "3"], 2, "3"),
        (["compute", "{in}", "-o", "{out}", "-v", "temp"], 2, "no data variable 'temp'"),
        (["compute", "{in}", "-o", "{out}", "-v", "od"], 2, "did you mean 'odd'"),
        (["compute", "{in}", "-o", "{folder}/out.grib"], 2, "not supported"),
        (["compute", "{in}", "-o", "{out}", "--geometry", "shpere"], 2, "--geometry"),
        (["compute", "{in}", "-o", "s3://bucket/out.zarr"], 2, "not on a file system"),
        (["compute", "{in}", "-o", "{out}", "--zarr-format", "4"], 2, "--zarr-format"),
        (["compute", "{in}", "-o", "{out}", "--codec", "zstd"], 2, "--codec"),
        (["compute", "{in}", "-o", "{out}", "--workers", "0"], 2, "--workers"),
        (["compute", "{in}", "-o", "{out}", "--resume", "-v", "t"], 2, "only Zarr"),
        (["compute", "-o", "{out}"], 2, "IN..."),
        (["completion", "tcsh"], 2, "tcsh"),
        (["nonsense"], 2, "nonsense"),
        ([], 2, "xgrad --help"),
        (["compute", "{folder}/none.nc", "-o", "{out}"], 3, "does not exist"),
        (["compute", "{text}", "-o", "{out}"], 3, "cannot be read as netCDF"),
        (["info", "{folder}"], 3, "cannot be read as Zarr"),
        (["compute", "{in}", "{in}.none", "-o", "{out}"], 3, "in.nc.none' does not exist"),
        (["compute", "{in}", "-o", "{out}", "-v", "t", "-d", "lat", "--order", "8"], 4, "order=2 would work"),
        (["compute", "{in}", "-o", "{text}"], 5, "exists"),
        (["compute", "{in}", "-o", "{in}", "--overwrite"], 5, "is the input"),
        (["compute", "{in}", "-o", "{folder}/none/out.nc"], 6, "does not exist"),
    ],
)
def test_error_is_one_line_and_a_code(source, target, capsys, arguments, code, words):
    text = source.parent / "text.nc"
    text.write_text("this is no netCDF")
    places = {"in": source, "out": target, "folder": source.parent, "text": text}
    before = sorted(source.parent.iterdir())
    assert run(*(argument.format_map(places) for argument in arguments)) == code
    line = said(capsys)
    assert line.startswith("xgrad: error: ")
    assert line.count("\n") == 1
    assert words in line
    assert sorted(source.parent.iterdir()) == before


def test_input_that_changes_meanwhile(source, target, capsys, monkeypatch):
    compute = xgrad.compute

    def meddle(block):
        os.utime(source, ns=(1, 1))
        return block

    def slowly(ds, **options):
        made = compute(ds, **options)
        return made.map(lambda array: array.copy(data=array.data.map_blocks(meddle, meta=array.data._meta)))

    monkeypatch.setattr(xgrad, "compute", slowly)
    assert run("compute", source, "-o", target, "-v", "t", "-d", "lat") == 7
    assert f"the input {str(source)!r} changed while it was read" in said(capsys)
    assert not target.exists()


def test_variables_that_are_left_out_are_said(source, target, capsys):
    with xr.open_dataset(source, decode_coords="all") as ds:
        ds.drop_vars("odd").to_netcdf(source.with_name("all.nc"))
    assert run("compute", source.with_name("all.nc"), "-o", target, "-d", "lon") == 0
    line = said(capsys)
    assert line.startswith("xgrad: label is left out: ")
    assert line.count("\n") == 1
    assert run("compute", source.with_name("all.nc"), "-o", target, "-d", "lon", "--overwrite", "-q") == 0
    assert said(capsys) == ""


def test_named_variables_are_not_left_out(source, target, capsys):
    assert run("compute", source, "-o", target, "-v", "t,label", "-d", "lat") == 2
    assert "label: " in said(capsys)
    assert not target.exists()


def test_dimension_that_is_not_there(source, target, capsys):
    assert run("compute", source, "-o", target, "-d", "longitud") in (2, 4)
    assert "'longitud'" in said(capsys)
    assert not target.exists()


@pytest.mark.parametrize("error", [kind for kind, _ in EXIT_CODES] + [ZeroDivisionError, KeyError])
def test_every_error_has_its_code(source, target, capsys, monkeypatch, error):
    def fail(ds, **options):
        raise error("of the test", "x") if error is errors.MissingExtraError else error("of the test")

    codes = {errors.InputError: 3, errors.CoordinateError: 4, errors.TargetError: 5, errors.StorageError: 6}
    codes |= {errors.ChangedInputError: 7, errors.XgradError: 2, errors.MissingExtraError: 2}
    codes |= {OSError: 6, MemoryError: 6, ZeroDivisionError: 1, KeyError: 1}
    monkeypatch.setattr(xgrad, "compute", fail)
    assert run("compute", source, "-o", target) == codes[error]
    line = said(capsys)
    assert line.count("\n") == 1
    assert "of the test" in line
    assert ("bug" in line) == (codes[error] == 1)
    assert run("compute", source, "-o", target, "--debug") == codes[error]
    assert "Traceback" in said(capsys)


@pytest.mark.filterwarnings("default")
def test_text_from_files_cannot_steer_the_terminal(source, target, capsys):
    with netCDF4.Dataset(source, "a") as file:
        file["t"].units = file["t"].long_name = file["lat"].units = "K\x1b[31m\u202eb"
        file.history = "made \x1b[2J"
    assert run("compute", source, "-o", target, "-v", "t", "-d", "lat") == 0
    assert run("compute", source, "-o", target, "-v", "c\x1b[2J", "--overwrite") == 2
    assert run("info", source) == 0
    out, err = capsys.readouterr()
    for sign in "\x1b\u202e":
        assert sign not in out
        assert sign not in err


# The other commands


def test_info_tells_of_every_variable(source, capsys):
    assert run("info", source) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name in ("dt_dlat", "dodd_dtime", "label"):
        assert name in out


def test_versions(capsys):
    assert run("show-versions") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"xarray {xr.__version__}\n" in out
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in out


@pytest.mark.parametrize("argument", ["--version", "--help", "-h"])
def test_help_is_no_error(capsys, argument):
    assert run(argument) == 0
    out, err = capsys.readouterr()
    assert "xgrad" in out
    assert err == ""


def test_demo(tmp_path, capsys):
    folder = tmp_path / "made"
    for _ in range(2):  # a second run replaces what the first made
        assert run("demo", "--output", folder) == 0
    out, err = capsys.readouterr()
    assert "running: xgrad compute" in err
    assert "dair_temperature_dlatitude:units = K degree-1" in out
    assert (folder / "A1B_gradient.png").read_bytes().startswith(b"\x89PNG")
    with storage.open(folder / "A1B_gradient.nc") as found:
        assert set(found.data_vars) >= {"dair_temperature_dlongitude", "dair_temperature_dlatitude"}
        assert found["dair_temperature_dlatitude"].shape == (240, 37, 49)
    assert sorted(path.name for path in folder.iterdir()) == ["A1B_gradient.nc", "A1B_gradient.png"]


def test_demo_without_its_data_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "iris_sample_data", None)
    assert run("demo", "--output", tmp_path / "made") == 2
    assert "xgrad[demo]" in said(capsys)


# Processes

SLOW = """
import sys, time, numpy as np, xarray as xr, dask.array, xgrad
from xgrad.cli import main

def slowly(block):
    time.sleep(0.3)
    return block

def compute(ds, **options):
    data = dask.array.zeros((1000, 10), chunks=(1, 10)).map_blocks(slowly, meta=np.empty((0, 0)))
    return xr.Dataset({"slow": (("x", "y"), data)})

xgrad.compute = compute
main()
"""


def environment():
    path = os.pathsep.join([str(Path(xgrad.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path}


@pytest.mark.parametrize("old", [None, "precious"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_leaves_nothing_behind(source, target, number, code, old):
    if old is not None:
        target.write_text(old)
    before = sorted(source.parent.iterdir())
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, "compute", source, "-o", target, "--overwrite"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        while process.poll() is None and not any(source.parent.glob(".out.nc.xgrad-*/out.nc")):
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert (out, err) == ("", f"xgrad: stopped by {number.name}\n")
    assert sorted(source.parent.iterdir()) == before
    assert old is None or target.read_text() == old


def test_reader_that_has_enough_is_no_error(source):
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "xgrad", "info", source],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        check=False,
    )
    os.close(writer)
    assert process.returncode == 128 + signal.SIGPIPE
    assert process.stderr == ""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="of the GNU C library")
def test_threads_of_the_command_share_their_memory(tmp_path):
    """Each place that memory comes from is a heap in what the C library tells of itself."""
    code = f"""
import ctypes, sys, threading
if "shared" in sys.argv:
    from xgrad.cli.process import share_memory
    share_memory()
library = ctypes.CDLL(None)
library.malloc.restype = library.fopen.restype = ctypes.c_void_p
together = threading.Barrier(4)
def work():
    together.wait()
    library.malloc(1000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for each in threads: each.start()
for each in threads: each.join()
file = library.fopen({os.fspath(tmp_path / "heaps").encode()!r}, b"w")
library.malloc_info(0, ctypes.c_void_p(file))
library.fclose(ctypes.c_void_p(file))
"""
    heaps = {}
    for way in ("shared", "apart"):
        subprocess.run([sys.executable, "-c", code, way], check=True)
        heaps[way] = (tmp_path / "heaps").read_text().count("<heap nr=")
    assert heaps["shared"] == 1 < heaps["apart"]
