"""How the work of a run is cut into portions, and whose an error is."""

from __future__ import annotations

import os
import signal

import dask
import numpy as np
import pytest
import xarray as xr

import xgrad
from xgrad import storage
from xgrad.errors import StorageError
from xgrad.storage import graphs

WAYS = ["threads", "synchronous", "processes"]


@pytest.fixture
def ds():
    rng = np.random.default_rng(1)
    return xr.Dataset(
        {name: (("time", "lat", "lon"), rng.normal(size=(4, 12, 10)), {"units": "K"}) for name in "tu"},
        {
            "time": ("time", np.arange(4.0), {"units": "s"}),
            "lat": ("lat", np.linspace(-60.0, 60.0, 12), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(0.0, 90.0, 10), {"units": "degrees_east"}),
        },
    ).chunk(time=1, lat=4)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def changed(ds, function):
    """The data with a function applied to each chunk of the first variable."""
    data = ds["t"].data.map_blocks(function, dtype="f8", meta=np.empty((0, 0, 0)))
    return ds.assign(t=ds["t"].copy(data=data))


# Portions


def job_of(made):
    arrays = {str(name): var.data for name, var in made.data_vars.items()}
    return graphs.job(arrays, dict.fromkeys(arrays, lambda block, place, region: None))


def read(tasks):
    return {key for task in tasks.values() for key in task.dependencies}


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("options", [{"geometry": "sphere"}, {"dims": ["time", "lat"]}], ids=str)
def test_portions_share_what_they_read(ds, size, options):
    job = job_of(xgrad.compute(ds, **options))
    graph, keys = dict(job.graph), list(job.blocks)
    held, tasks, asked = set(), {}, []
    for portion in graphs.portions(job, size):
        assert not portion.graph.keys() & tasks.keys()
        assert read(portion.graph) - portion.graph.keys() <= held  # all that it needs is there
        assert len(portion.keys) <= size
        held |= set(portion.shared)
        assert set(portion.done_with) <= held
        held -= set(portion.done_with)
        tasks |= portion.graph
        asked += portion.keys
    assert tasks.keys() == graph.keys()
    assert asked == keys
    assert not held
    assert not job.graph


def test_portions_are_slices_across_the_longest_axis(ds):
    """A layer of chunks is held between two of them, and not all that have neighbours in the next slice."""
    source = ds[["t"]].chunk(time=2, lat=2, lon=5)
    job = job_of(xgrad.compute(source, ["time", "lat", "lon"]))
    name = source["t"].data.name
    most = max(sum(key[0] == name for key in each.shared) for each in graphs.portions(job, 4))
    assert most == 2 * 2


def test_cutting_is_linear(ds):
    """Each task is looked for as often as others read it, however many portions there are."""
    job = job_of(xgrad.compute(ds.chunk(lat=1, lon=1), ["time", "lat"]))
    looked = []

    class Counted(dict):
        def pop(self, key):
            looked.append(key)
            return super().pop(key)

        def __contains__(self, key):
            looked.append(key)
            return super().__contains__(key)

    links = sum(len(task.dependencies) for task in job.graph.values())
    most = 2 * len(job.graph) + links
    for _ in graphs.portions(job._replace(graph=Counted(job.graph)), 2):
        pass
    assert len(looked) <= most


# Errors of the user's own report


def failing(error, at=3):
    def report(progress):
        if progress.written >= at:
            raise error

    return report


@pytest.mark.parametrize("error", [OSError(28, "mine"), RuntimeError("NetCDF: mine"), StorageError("mine")])
@pytest.mark.parametrize("target", ["a.nc", "a.zarr"])
@pytest.mark.parametrize("scheduler", WAYS)
def test_an_error_of_the_report_is_the_users_own(ds, tmp_path, scheduler, target, error):
    storage.write(ds[["u"]], tmp_path / target)
    with dask.config.set(scheduler=scheduler, num_workers=2), pytest.raises(type(error)) as caught:
        storage.write(ds, tmp_path / target, overwrite=True, progress=failing(error))
    assert caught.value is error
    assert error.__cause__ is None
    assert names(tmp_path) == [target]
    with storage.open(tmp_path / target) as found:
        assert list(found.data_vars) == ["u"]


def test_an_error_of_the_report_at_its_first_call(ds, tmp_path):
    with pytest.raises(BrokenPipeError, match="mine"):
        storage.write(ds, tmp_path / "a.nc", progress=failing(BrokenPipeError(32, "mine"), at=0))
    assert names(tmp_path) == []


def test_an_error_of_the_report_leaves_what_is_done_to_be_resumed(ds, tmp_path):
    error, said = PermissionError(13, "mine"), []
    with pytest.raises(PermissionError) as caught:
        storage.write(ds, tmp_path / "a.zarr", resume=True, progress=failing(error, at=5))
    assert caught.value is error
    assert names(tmp_path) == [".a.zarr.xgrad-resume"]
    storage.write(ds, tmp_path / "a.zarr", resume=True, progress=said.append)
    assert 5 <= said[0].written < said[-1].written == 24
    assert names(tmp_path) == ["a.zarr"]
    with storage.open(tmp_path / "a.zarr") as found:
        xr.testing.assert_equal(found.load(), ds.load())


# Processes of Dask's own


def die(block):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("target", ["a.nc", "a.zarr"])
def test_a_process_that_is_killed_is_one_line(ds, tmp_path, target):
    with (
        dask.config.set(scheduler="processes", num_workers=1),
        pytest.raises(StorageError, match=r"a process was killed; .* too little memory: take smaller chunks"),
    ):
        storage.write(changed(ds, die), tmp_path / target)
    assert names(tmp_path) == []
