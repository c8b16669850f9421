"""Runs that are taken up where they ended: what counts as done, what must be the same, and the result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr

from xgrad import storage
from xgrad.errors import StorageError, TargetError, XgradError
from xgrad.storage import resuming, writing
from xgrad.storage.resuming import Journal

KEPT = ".a.zarr.xgrad-resume"


class Ended(BaseException):
    """What a signal raises."""


def dataset(work=None, **attrs):
    """Two results of five blocks each, made with a function."""
    values = np.random.default_rng(3).normal(size=(10, 4))
    ds = xr.Dataset({"t": (("y", "x"), values, attrs), "u": (("y", "x"), -values)}, {"y": np.arange(10.0)})
    ds = ds.chunk(y=2)
    for name in ("t", "u") if work is not None else ():
        ds[name].data = ds[name].data.map_blocks(work, meta=np.empty((0, 0)), name=f"work-{name}")
    return ds


class Counted:
    """Work that ends the run at a block, and counts what it did before."""

    def __init__(self, last=None):
        self.last, self.count = last, 0

    def __call__(self, block):
        if self.count == self.last:
            raise Ended
        self.count += 1
        return block


def write(path, work=None, **options):
    with dask.config.set(scheduler="synchronous"):
        storage.write(dataset(work), path, resume=True, **options)


def tree(path):
    return {each.relative_to(path): each.read_bytes() for each in path.rglob("*") if each.is_file()}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_is_done_is_not_computed_again(tmp_path, zarr_format):
    target = tmp_path / "a.zarr"
    first, second = Counted(6), Counted()
    with pytest.raises(Ended):
        write(target, first, zarr_format=zarr_format)
    assert os.listdir(tmp_path) == [KEPT]
    done = len(Journal(tmp_path / KEPT).done())
    assert done == first.count == 6
    write(target, second, zarr_format=zarr_format)
    assert os.listdir(tmp_path) == ["a.zarr"]
    assert second.count == 10 - done
    storage.write(dataset(Counted()), tmp_path / "b.zarr", zarr_format=zarr_format)
    assert tree(target) == tree(tmp_path / "b.zarr")


def test_ended_again_and_again(tmp_path):
    target, ends = tmp_path / "a.zarr", 0
    while not target.exists():
        try:
            write(target, Counted(1))
        except Ended:
            ends += 1
        assert ends < 30
    assert ends == 9
    storage.write(dataset(Counted()), tmp_path / "b.zarr")
    assert tree(target) == tree(tmp_path / "b.zarr")


def test_run_without_faults_leaves_nothing(tmp_path):
    write(tmp_path / "a.zarr")
    write(tmp_path / "a.zarr", overwrite=True)
    assert os.listdir(tmp_path) == ["a.zarr"]


@pytest.mark.parametrize("place", ["begin", "settle"])
def test_ended_before_the_store_is_laid_out(tmp_path, monkeypatch, place):
    """What is there does not count: it may lack anything."""

    def end(*_):
        raise Ended

    monkeypatch.setattr(resuming, place, end)
    with pytest.raises(Ended):
        write(tmp_path / "a.zarr")
    monkeypatch.undo()
    store = tmp_path / KEPT / "a.zarr"
    store.mkdir(exist_ok=True)
    (store / "zarr.json").write_text("half")
    (tmp_path / KEPT / "x-1.done").write_text('\n0,0 "t"\n\n0,0 "u"\n')
    write(tmp_path / "a.zarr")
    with storage.open(tmp_path / "a.zarr") as found:
        xr.testing.assert_equal(found.load(), dataset().load())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"complevel": 1}, "the options of writing"),
        ({"zarr_format": 2}, "the options of writing"),
        ({"dtype": "float32"}, "the data or the options of the derivatives"),
        ({"inputs": True}, "the inputs"),
        ({"version": "9.9"}, "the version of xgrad"),
        ({"chunks": 5}, "the chunks"),
        ({"coordinate": 1.0}, "the coordinates"),
        ({"attrs": "K"}, "the attributes"),
        ({"values": 2.0}, "the data or the options of the derivatives"),
    ],
)
def test_another_run_is_refused_and_what_is_done_is_kept(tmp_path, monkeypatch, change, words):
    with pytest.raises(Ended):
        write(tmp_path / "a.zarr", Counted(2))
    before = tree(tmp_path)
    ds, options = dataset(Counted()), {}
    for key, value in change.items():
        if key == "inputs":
            (tmp_path.parent / "input.nc").touch()
            options["inputs"] = [tmp_path.parent / "input.nc"]
        elif key == "version":
            monkeypatch.setattr(writing.metadata, "version", lambda _: "9.9")
        elif key == "chunks":
            ds = ds.chunk(y=5)
        elif key == "coordinate":
            ds = ds.assign_coords(y=ds["y"] + value)
        elif key == "attrs":
            ds["t"].attrs["units"] = value
        elif key == "values":
            ds = ds * value
        else:
            options[key] = value
    with pytest.raises(TargetError, match=rf"is another one: it differs in .*{words}.* remove that folder"):
        storage.write(ds, tmp_path / "a.zarr", resume=True, **options)
    after = tree(tmp_path)
    assert {name: after[name] for name in before if name.name != "lock"} == {
        name: content for name, content in before.items() if name.name != "lock"
    }
    monkeypatch.undo()
    write(tmp_path / "a.zarr", Counted())


def test_other_runs_leave_it_alone_and_say_so(tmp_path, caplog):
    caplog.set_level("INFO", "xgrad")
    with pytest.raises(Ended):
        write(tmp_path / "a.zarr", Counted(2))
    before = tree(tmp_path / KEPT)
    storage.write(dataset(), tmp_path / "a.zarr")
    assert tree(tmp_path / KEPT) == before
    (said,) = caplog.messages
    assert "--resume" in said
    assert KEPT in said
    write(tmp_path / "a.zarr", Counted(), overwrite=True)
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_only_zarr_is_resumed(tmp_path):
    with pytest.raises(XgradError, match="only Zarr"):
        write(tmp_path / "a.nc")


def test_halves_of_killed_writers_are_not_published(tmp_path):
    with pytest.raises(Ended):
        write(tmp_path / "a.zarr", Counted(2))
    (half,) = [tmp_path / KEPT / "a.zarr" / "t" / "c" / "0.0123456789abcdef.partial"]
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"half")
    write(tmp_path / "a.zarr", Counted())
    assert not list(tmp_path.rglob("*.partial"))


def test_disk_that_is_full_for_the_journal_is_no_damaged_input(tmp_path, monkeypatch):
    def fail(self, name, place):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "note", fail)
    with pytest.raises(StorageError, match="No space left"):
        write(tmp_path / "a.zarr")


# The journal


def test_lines_that_were_cut_off_do_not_count(tmp_path):
    """Nor do they spoil those that another process of the same name writes after them."""
    journal = Journal(tmp_path)
    journal.note("größe, 'x' \n", (1, 20))
    journal.note("t", ())
    (file,) = tmp_path.glob("*.done")
    content = file.read_bytes()
    whole = {("größe, 'x' \n", (1, 20)), ("t", ())}
    assert journal.done() == whole
    for cut in range(len(content)):
        file.write_bytes(content[:cut])
        assert journal.done() < whole
        Journal(tmp_path).note("u", (3,))
        assert journal.done() - whole == {("u", (3,))}


def test_what_had_not_reached_the_disk_does_not_count_after_a_power_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(resuming, "_PERIOD", 0)
    journal, synced = Journal(tmp_path), []
    monkeypatch.setattr(resuming, "sync", synced.append)
    journal.note("t", (0,))
    journal.note("t", (1,))
    monkeypatch.setattr(resuming, "_PERIOD", 1e9)
    journal.note("t", (2,))
    assert synced == [tmp_path, tmp_path]
    assert journal.done() == {("t", (0,)), ("t", (1,)), ("t", (2,))}
    monkeypatch.setattr(resuming, "_boot", lambda: "another")
    assert journal.done() == {("t", (0,)), ("t", (1,))}


def test_fingerprint_that_was_cut_off_is_none(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "fingerprint.json").write_text('{"the version of')
    resuming.begin(tmp_path, tmp_path / "a.zarr", {"the version of xgrad": "1"})
    assert not (tmp_path / "a.zarr").exists()


# Processes

SCRIPT = """
import json, sys
from xgrad import cli
from xgrad.storage import resuming

class Ended(BaseException): pass

def begin(folder, made, fingerprint):
    print(json.dumps(fingerprint, sort_keys=True))
    raise Ended

resuming.begin = begin
try: cli.run(sys.argv[1:])
except Ended: pass
"""


@pytest.mark.parametrize(
    ("series", "options"),
    [
        (False, ("-d", "lat,lon,time", "--chunks", "time:2")),
        (True, ("-d", "lat,lon", "--geometry", "sphere:radius=6371229", "--chunks", "time:2")),
        (True, ("-d", "lat,lon", "--geometry", "ellipsoid", "--dtype", "float32", "--complevel", "3")),
        (False, ("-d", "lat", "--order", "4", "--no-skipna", "--zarr-format", "2", "--workers", "1")),
    ],
)
def test_fingerprint_is_the_same_in_every_process(tmp_path, options, series):
    values = np.random.default_rng(0).normal(size=(6, 8, 9)).astype("f4")
    values[:, 2, 3] = np.nan
    ds = xr.Dataset(
        {"t": (("time", "lat", "lon"), values, {"units": "K"})},
        {
            "time": ("time", np.arange(6.0), {"units": "days since 2000-01-01", "calendar": "360_day"}),
            "lat": ("lat", np.linspace(-70, 70, 8), {"units": "degrees_north"}),
            "lon": ("lon", np.arange(9.0), {"units": "degrees_east"}),
        },
    )
    packed = {"t": {"dtype": "i2", "scale_factor": 0.01, "_FillValue": -1, "zlib": True}}
    if series:
        ds.isel(time=slice(3)).to_netcdf(tmp_path / "1.nc", encoding=packed)
        ds.isel(time=slice(3, 6)).to_netcdf(tmp_path / "2.nc", encoding=packed)
    else:
        ds.to_netcdf(tmp_path / "1.nc", encoding=packed)
    inputs = sorted(tmp_path.glob("*.nc"))
    arguments = ["compute", *inputs, "-o", tmp_path / "a.zarr", "--resume", *options]
    found = []
    for seed in ("1", "2"):
        path = os.pathsep.join([str(Path(storage.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
        command = [sys.executable, "-c", SCRIPT, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    assert set(found[0]["the inputs"]) == set(map(str, inputs))
