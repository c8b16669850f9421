"""Writing with a cluster of several processes: the same bits, whatever happens to a worker."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import dask
import dask.array
import distributed
import numpy as np
import pytest
import xarray as xr
from distributed.protocol import serialize, to_serialize

import xgrad
from xgrad import cli, errors, storage
from xgrad.cli.process import EXIT_CODES
from xgrad.storage import graphs, running

WORKERS = 4


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A cluster whose workers are at work in another directory than this process."""
    elsewhere = str(tmp_path_factory.mktemp("elsewhere"))
    with (
        distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        client.run(os.chdir, elsewhere)
        yield client


@pytest.fixture
def active(client, monkeypatch, tmp_path):
    """The cluster in use, relative paths that mean something here only, and nothing left there afterwards."""
    monkeypatch.chdir(tmp_path)
    with client.as_current():
        yield client
    until = time.monotonic() + 10
    while time.monotonic() < until and client.run_on_scheduler(known_tasks):
        time.sleep(0.05)
    assert client.run_on_scheduler(known_tasks) == []


def known_tasks(dask_scheduler):
    return sorted(map(str, dask_scheduler.tasks))


@pytest.fixture
def ds():
    rng = np.random.default_rng(1)
    return xr.Dataset(
        {
            "t": (("time", "lat", "lon"), rng.normal(size=(4, 12, 10)).astype("f4"), {"units": "K"}),
            "u": (("time", "lat", "lon"), rng.normal(size=(4, 12, 10)), {"units": "m s-1"}),
        },
        {
            "time": ("time", np.arange(4.0), {"units": "s"}),
            "lat": ("lat", np.linspace(-60.0, 60.0, 12), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(0.0, 90.0, 10), {"units": "degrees_east"}),
        },
    )


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def with_threads(ds, path):
    """What threads write, read back into memory."""
    with dask.config.set(scheduler="threads"):
        storage.write(ds, path)
        return loaded(path)


def loaded(path):
    with dask.config.set(scheduler="threads"), storage.open(path) as found:
        return found.load()


def assert_same_bits(found, wanted):
    xr.testing.assert_identical(found, wanted.assign_attrs(found.attrs))
    for name, var in wanted.variables.items():
        assert found[name].dtype == var.dtype
        assert found[name].values.tobytes() == var.values.tobytes()


def chunked(ds, function=None, **sizes):
    """The data in chunks, each of them handed through a function on its way."""
    made = ds.chunk(sizes or {"time": 1, "lat": 6})
    if function is not None:
        for name, var in made.data_vars.items():
            made[name] = var.copy(data=var.data.map_blocks(function, dtype=var.dtype, meta=var.data._meta))
    return made


# The same bits


@pytest.mark.parametrize(
    ("source", "target", "options"),
    [
        ("in.nc", "a.nc", {"complevel": 1}),
        ("in.nc", "a.zarr", {}),
        ("in.zarr", "a.nc", {"engine": "h5netcdf", "codec": "hdf5"}),
        ("in.zarr", "a.nc", {"codec": "hdf5"}),
    ],
    ids=str,
)
def test_bits_are_those_of_threads(ds, active, source, target, options):
    with dask.config.set(scheduler="threads"):
        storage.write(ds, source, **({"complevel": 1} if source.endswith("nc") else {}))
    with storage.open(source, chunks={"time": 2, "lat": 6, "lon": 10}) as found:
        made = xgrad.compute(found, ["time", "lat"])
        wanted = with_threads(made, "threads.nc")
        said = []
        storage.write(made, target, inputs=[source], progress=said.append, **options)
    assert_same_bits(loaded(target), wanted)
    assert names(".") == sorted({source, "threads.nc", target})
    blocks = 2 * 2 * 2 * 2
    assert [said[0].written, said[-1].written, said[-1].blocks] == [0, blocks, blocks]
    assert [each.written for each in said] == sorted(each.written for each in said)


@pytest.mark.parametrize(("geometry", "target"), [("sphere", "a.nc"), ("curvilinear", "a.zarr")])
def test_geometries(ds, active, geometry, target):
    if geometry == "curvilinear":
        lat, lon = np.meshgrid(ds["lat"], ds["lon"], indexing="ij")
        ds = ds.drop_vars(["lat", "lon"]).assign_coords(
            lat2=(("lat", "lon"), lat + 0.1 * lon, {"units": "degrees_north", "standard_name": "latitude"}),
            lon2=(("lat", "lon"), lon - 0.1 * lat, {"units": "degrees_east", "standard_name": "longitude"}),
        )
    made = xgrad.compute(ds.chunk(lat=6, time=2), geometry=geometry)
    wanted = with_threads(made, "threads.nc")
    storage.write(made, target)
    assert_same_bits(loaded(target), wanted)


def test_other_processes_of_dask(ds, tmp_path):
    made = chunked(ds, lat=12)
    with dask.config.set(scheduler="processes", num_workers=1):
        storage.write(made, tmp_path / "a.nc")
    assert_same_bits(loaded(tmp_path / "a.nc"), with_threads(made, tmp_path / "threads.nc"))


def test_data_that_the_cluster_keeps(ds, active):
    kept = active.persist(ds["t"].chunk(lat=6))
    made = xgrad.compute(kept, "lat")
    wanted = with_threads(xgrad.compute(ds["t"].chunk(lat=6), "lat"), "threads.nc")
    storage.write(made, "a.nc")
    assert_same_bits(loaded("a.nc"), wanted)


# Who computes


class Spy:
    """Hands blocks through, and makes a file for each that tells which process had it."""

    def __init__(self, folder, seconds=0.0):
        self.folder, self.seconds = str(folder), seconds

    def __call__(self, block):
        Path(self.folder, f"{os.getpid()}-{uuid.uuid4().hex}").touch()
        time.sleep(self.seconds)
        return block

    @property
    def processes(self):
        return [int(name.partition("-")[0]) for name in names(self.folder) if "-" in name]


@pytest.fixture
def spy(tmp_path_factory):
    return Spy(tmp_path_factory.mktemp("spy"), seconds=0.05)


def test_the_active_client_computes(ds, active, spy):
    storage.write(chunked(ds, spy), "a.nc")
    workers = set(active.run(os.getpid).values())
    assert set(spy.processes) <= workers
    assert len(set(spy.processes)) > 1


def test_threads_compute_where_they_are_chosen(ds, active, spy):
    with dask.config.set(scheduler="threads"):
        storage.write(chunked(ds, spy), "a.nc")
    assert set(spy.processes) == {os.getpid()}


def test_the_command_is_told_of_a_cluster_by_the_file_of_its_scheduler(
    ds, client, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    storage.write(ds, "in.nc")
    # What the client itself writes there is no JSON while tasks of workers are fresh.
    Path("scheduler.json").write_text(json.dumps({"address": client.scheduler.address}))
    call = ["compute", "in.nc", "-o", "out.nc", "-d", "lat"]
    assert cli.run([*call, "--scheduler", "scheduler.json", "--plan"]) == 0
    assert f"on the cluster {client.scheduler.address}" in capsys.readouterr().out
    assert cli.run([*call, "--scheduler", "scheduler.json"]) == 0
    assert_same_bits(loaded("out.nc"), with_threads(ds.grad.compute("lat"), "threads.nc"))


def test_a_cluster_without_workers_is_waited_for(ds, tmp_path, caplog):
    options = {
        "n_workers": 0,
        "threads_per_worker": 1,
        "processes": False,
        "dashboard_address": "127.0.0.1:0",
    }
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        threading.Timer(0.5, cluster.scale, [1]).start()
        storage.write(chunked(ds), tmp_path / "a.zarr")
    assert [each.message for each in caplog.records if each.name == "xgrad"] == [
        "the cluster has no workers yet, and is waited for"
    ]
    assert_same_bits(loaded(tmp_path / "a.zarr"), with_threads(ds, tmp_path / "b.zarr"))


def test_no_block_comes_here(ds, active, monkeypatch):
    def gather(*_, **__):
        raise AssertionError("results are fetched")

    def tokenize(task):
        raise AssertionError("Dask hashes each task of the job, which takes it 10 ms a chunk")

    monkeypatch.setattr(distributed.Client, "_gather", gather)
    monkeypatch.setattr(dask._task_spec.Task, "__dask_tokenize__", tokenize)
    storage.write(chunked(ds), "a.zarr")
    made = xgrad.compute(chunked(ds), ["lat", "time"])
    arrays = {str(name): var.data for name, var in made.data_vars.items()}
    job = graphs.job(arrays, dict.fromkeys(arrays, lambda block, place, region: None), ())
    assert dask.get(job.graph, list(job.blocks)) == (None,) * len(job.blocks)


def test_nothing_needs_the_package_distributed(tmp_path):
    code = """
        import sys
        sys.modules["distributed"] = None
        import xarray as xr
        from xgrad import storage
        for name in "a.nc", "a.zarr":
            storage.write(xr.Dataset({"t": ("x", [1.0, 2.0])}).chunk(), name)
    """
    subprocess.run([sys.executable, "-c", inspect.cleandoc(code)], cwd=tmp_path, check=True)
    assert names(tmp_path) == ["a.nc", "a.zarr"]


# Portions


@pytest.fixture
def in_portions(monkeypatch):
    """Portions of so many keys, of which each writes a block of each result of a chunk."""
    monkeypatch.setattr(running, "_PORTION", 4)
    monkeypatch.setattr(running, "_EACH", 0)
    return 4


@pytest.mark.parametrize("target", ["a.nc", "a.zarr"])
def test_portions_read_nothing_twice(ds, active, in_portions, spy, target):
    wanted = with_threads(xgrad.compute(chunked(ds, time=1, lat=2), ["lat", "time"]), "threads.nc")
    storage.write(xgrad.compute(chunked(ds, spy, time=1, lat=2), ["lat", "time"]), target)
    assert len(spy.processes) == 2 * 4 * 6
    assert_same_bits(loaded(target), wanted)


@pytest.mark.parametrize("geometry", ["sphere", "curvilinear"])
def test_geometries_in_portions(ds, active, in_portions, geometry):
    test_geometries(ds, active, geometry, "a.zarr")


@pytest.fixture
def given(monkeypatch):
    """How many keys of earlier portions had not ended, for each that was handed over."""
    given = []
    hand_over = running._hand_over

    def seen(client, run, portion, pending, held):
        given.append(len(pending))
        hand_over(client, run, portion, pending, held)

    monkeypatch.setattr(running, "_hand_over", seen)
    return given


def test_the_next_portion_comes_before_the_last_one_has_ended(
    ds, active, in_portions, given, spy, monkeypatch
):
    monkeypatch.setattr(running, "_PORTION", WORKERS + 2)
    spy.seconds = 0.3
    storage.write(chunked(ds[["t"]], spy, time=1, lat=2), "a.zarr")
    assert len(given) == 4
    assert given[0] == 0
    assert 0 < max(given) <= (WORKERS + 2) // 2


# Workers that die, tasks that fail


class Fatal:
    """Kills the worker that first comes here, in the middle of putting a block to its place."""

    def __init__(self, folder, after=0):
        self.flag, self.spy, self.after = str(folder / "killed"), Spy(folder, 0.02), after

    def __call__(self, block):
        if len(self.spy.processes) >= self.after and not os.path.exists(self.flag):
            Path(self.flag).touch()
            os.replace = Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        return self.spy(block)


@pytest.mark.parametrize("target", ["a.nc", "a.zarr"])
def test_killed_worker_changes_nothing(ds, active, tmp_path_factory, target):
    fatal = Fatal(tmp_path_factory.mktemp("fatal"))
    wanted = with_threads(xgrad.compute(chunked(ds), ["lat", "time"]), "threads.nc")
    before = set(active.run(os.getpid).values())
    storage.write(xgrad.compute(chunked(ds, fatal), ["lat", "time"]), target)
    active.wait_for_workers(WORKERS, timeout=60)
    assert not before <= set(active.run(os.getpid).values())
    assert_same_bits(loaded(target), wanted)
    assert names(".") == sorted(["threads.nc", target])
    assert not list(Path(".").rglob("*.partial*"))


@pytest.mark.parametrize("target", ["a.nc", "a.zarr"])
def test_killed_worker_changes_nothing_of_later_portions(ds, active, in_portions, tmp_path_factory, target):
    """What it held for them is made again."""
    fatal = Fatal(tmp_path_factory.mktemp("fatal"), after=9)
    wanted = with_threads(xgrad.compute(chunked(ds, time=1, lat=3), ["lat", "time"]), "threads.nc")
    storage.write(xgrad.compute(chunked(ds, fatal, time=1, lat=3), ["lat", "time"]), target)
    assert os.path.exists(fatal.flag)
    active.wait_for_workers(WORKERS, timeout=60)
    assert_same_bits(loaded(target), wanted)
    assert names(".") == sorted(["threads.nc", target])


def allow_failures(number, dask_scheduler):
    dask_scheduler.allowed_failures = number


def die(block):
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_die_again_and_again(ds, active):
    active.run_on_scheduler(allow_failures, 0)
    try:
        with pytest.raises(errors.StorageError, match=r"the cluster gave up: .*; a worker that dies"):
            storage.write(chunked(ds[["t"]], die, time=4, lat=12), "a.zarr")
    finally:
        active.run_on_scheduler(allow_failures, 3)
    active.wait_for_workers(WORKERS, timeout=60)
    assert names(".") == []


class Failing:
    """Fails."""

    def __init__(self, error):
        self.error = error

    def __call__(self, block):
        raise self.error


@pytest.mark.parametrize(
    ("target", "error", "kind", "words"),
    [
        ("a.nc", errors.ChangedInputError("it changed"), errors.ChangedInputError, "it changed"),
        (
            "a.zarr",
            OSError(5, "Input/output error"),
            errors.InputError,
            "reading failed: .*Input/output error",
        ),
        ("a.nc", FileNotFoundError(2, "None", "/x.nc"), errors.InputError, "'/x.nc'; the workers .* see"),
        ("a.zarr", ZeroDivisionError("a bug"), ZeroDivisionError, "a bug"),
    ],
    ids=repr,
)
def test_errors_arrive(ds, active, target, error, kind, words):
    with pytest.raises(kind, match=words) as caught:
        storage.write(chunked(ds, Failing(error), time=4), target)
    assert type(caught.value) is kind
    assert names(".") == []


def codes(error):
    return [code for kind, code in EXIT_CODES if isinstance(error, kind)]


@pytest.mark.parametrize(
    "error",
    [
        errors.MissingExtraError("this", "that")
        if name == "MissingExtraError"
        else getattr(errors, name)("words")
        for name in vars(errors)
        if inspect.isclass(getattr(errors, name)) and issubclass(getattr(errors, name), Exception)
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel(error):
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert codes(found) == codes(error)


def limit_files(size):
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("target", ["a.nc", "a.zarr"])
def test_full_disk_of_workers(ds, active, target):
    resource = pytest.importorskip("resource")
    active.run(limit_files, 200)
    try:
        with pytest.raises(errors.StorageError, match=r"variable '[tu]': .*it needs .* are free there"):
            storage.write(chunked(ds, time=2), target)
    finally:
        active.run(limit_files, resource.RLIM_INFINITY)
    assert names(".") == []


# Interruption


class Stopped(BaseException):
    """As the command raises it for a signal."""


def stop_at(written):
    def report(progress):
        if progress.written >= written:
            raise Stopped

    return report


@pytest.mark.parametrize("target", ["a.nc", "a.zarr"])
def test_nothing_goes_on_after_an_interruption(ds, active, spy, target):
    began = time.monotonic()
    with pytest.raises(Stopped) as caught:  # which keeps everything that was at hand
        storage.write(chunked(ds, spy, time=1, lat=1), target, progress=stop_at(4))
    assert time.monotonic() - began < 0.05 * 2 * 4 * 12 / WORKERS * 5
    begun = len(spy.processes)
    assert names(".") == []
    time.sleep(0.3)
    assert len(spy.processes) == begun < 2 * 4 * 12
    assert names(".") == []
    assert caught.type is Stopped


@pytest.mark.parametrize("seconds", [0.0, 0.5], ids="after {} s".format)
@pytest.mark.parametrize("target", ["a.nc", "a.zarr"])
def test_no_portion_goes_on_after_an_interruption(
    ds, active, in_portions, given, spy, target, seconds, monkeypatch
):
    """Nor does one that the scheduler is just looking through."""
    monkeypatch.setattr(running, "_PORTION", WORKERS + 2)
    look = distributed.scheduler._materialize_graph

    def slow(*args, **options):
        time.sleep(seconds)
        return look(*args, **options)

    def report(progress):
        if len(given) == 3:
            raise Stopped

    monkeypatch.setattr(distributed.scheduler, "_materialize_graph", slow)
    with pytest.raises(Stopped) as caught:
        storage.write(chunked(ds[["t"]], spy, time=1, lat=1), target, progress=report)
    begun = len(spy.processes)
    assert names(".") == []
    time.sleep(0.5 + seconds)
    assert len(spy.processes) == begun < 4 * 12
    assert names(".") == []
    assert caught.type is Stopped


@pytest.mark.parametrize("error", [OSError(28, "mine"), RuntimeError("HDF: mine")], ids=repr)
@pytest.mark.parametrize("target", ["a.nc", "a.zarr"])
def test_an_error_of_the_report_is_the_users_own(ds, active, in_portions, target, error):
    def report(progress):
        if progress.written >= 9:
            raise error

    with dask.config.set(scheduler="threads"):
        storage.write(ds, target)
    with pytest.raises(type(error)) as caught:
        storage.write(chunked(ds, time=1, lat=2), target, overwrite=True, progress=report)
    assert caught.value is error
    assert names(".") == [target]
    assert_same_bits(loaded(target), ds)


def test_interrupted_run_is_resumed(ds, active, spy):
    data = chunked(ds, spy, time=1, lat=3)
    wanted = with_threads(chunked(ds, time=1, lat=3), "threads.nc")
    with pytest.raises(Stopped):
        storage.write(data, "a.zarr", resume=True, progress=stop_at(10))
    (kept,) = [path for path in Path(".").iterdir() if path.name.startswith(".")]
    done = storage.resuming.Journal(kept).done()
    assert 10 <= len(done) < 32
    assert len(list(kept.glob("*.done"))) > 1
    before, said = len(spy.processes), []
    storage.write(data, "a.zarr", resume=True, progress=said.append)
    assert len(spy.processes) - before == 32 - len(done)
    assert said[0].written == len(done)
    assert_same_bits(loaded("a.zarr"), wanted)
    assert names(".") == ["a.zarr", "threads.nc"]


# Graphs


def job_of(made):
    arrays = {str(name): var.data for name, var in made.data_vars.items()}
    writes = {
        name: running._Write(name, storage.formats._InStore(Path("/somewhere/a.zarr"), name), None)
        for name in arrays
    }
    return graphs.job(arrays, writes, ())


def sent(job):
    """How many bytes the scheduler gets, and how many the largest task has."""
    _, frames = serialize(to_serialize(job.graph))
    largest = max(len(pickle.dumps(task)) for task in job.graph.values())
    return sum(memoryview(frame).nbytes for frame in frames), largest


@pytest.mark.parametrize("source", ["in.nc", "in.zarr"])
def test_graphs_are_small(tmp_path, source):
    path = tmp_path / source
    sizes = []
    for chunks in (100, 400):
        ds = xr.Dataset({"t": ("x", np.zeros(10 * chunks, "f4"))}, {"x": np.arange(10.0 * chunks) ** 1.01})
        storage.write(ds, path, overwrite=True)
        with storage.open(path, chunks={"x": 10}) as found:
            sizes.append((chunks, *sent(job_of(xgrad.compute(found, "x")))))
    (few, small, _), (many, large, largest) = sizes
    assert (large - small) / (many - few) < 2000  # bytes a chunk
    assert largest < 2500


def test_results_are_written_by_the_task_that_makes_them(ds):
    made = xgrad.compute(ds[["t"]].chunk(time=1, lat=4), ["time", "lat"])
    job = job_of(made)
    assert len(job.blocks) == 12
    assert sorted(block[:2] for blocks in job.blocks.values() for block in blocks) == sorted(
        (str(name), (time, lat, 0)) for name in made for time in range(4) for lat in range(3)
    )
    ends = 2 * 2 * 4  # with a source each
    assert len(job.graph) <= 3 * 12 + ends


def test_other_runs_have_other_keys(ds):
    assert not set(job_of(chunked(ds)).blocks) & set(job_of(chunked(ds)).blocks)
