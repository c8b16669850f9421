"""The command line: what it does, says and returns."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

import xgrad
from xgrad import cli, errors, storage, units
from xgrad.cli.commands import command
from xgrad.cli.process import EXIT_CODES, Call


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


def test_options_are_those_of_the_function():
    """The same names and the same defaults; the rest is about files."""
    compute = command.commands["compute"]
    options = {option.name: option for option in compute.params}
    given = compute.make_context("compute", ["in.nc", "-o", "out.nc"], obj=Call(())).params
    files = {"source", "output", "variables", "chunks", "complevel", "overwrite", "strict", "quiet", "debug"}
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(xgrad.compute).parameters.items()
        if name != "obj"
    }
    assert set(options) - files == set(parameters)
    for name, parameter in parameters.items():
        assert given[name] == parameter.default, name
        assert f"--{name.replace('_', '-')}" in options[name].opts


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
        (["nonsense"], 2, "nonsense"),
        ([], 2, "xgrad --help"),
        (["compute", "{folder}/none.nc", "-o", "{out}"], 3, "does not exist"),
        (["compute", "{text}", "-o", "{out}"], 3, "cannot be read as netCDF"),
        (["info", "{folder}"], 3, "cannot be read as Zarr"),
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
