"""Files in and out: what is kept, what is chosen afresh, and that a target is never half a file."""

from __future__ import annotations

import itertools
import math
import os
import re
import shutil
import threading
import time

import cftime
import dask.array
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from xarray.testing import assert_identical

from xgrad import storage
from xgrad.errors import ChangedInputError, InputError, StorageError, TargetError, XgradError
from xgrad.storage.chunking import READ_BYTES, STORED_BYTES, read_chunks, stored_chunks


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def ds():
    time = xr.date_range("2001-01-01", periods=6, freq="MS", calendar="360_day", use_cftime=True)
    ds = xr.Dataset(
        {"t": (("time", "y", "x"), np.arange(60, dtype="f4").reshape(6, 2, 5), {"units": "K"})},
        {
            "time": time,
            "time_bnds": (("time", "bnds"), np.stack([time, time.shift(1, "MS")], axis=1)),
            "y": [10.0, 20.0],
            "x": ("x", np.arange(5, dtype="f4"), {"units": "degrees_east"}),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
        },
    )
    ds["time"].encoding = {
        "bounds": "time_bnds",
        "units": "days since 1970-01-01",
        "calendar": "360_day",
        "dtype": np.dtype("f4"),
    }
    ds["t"].encoding = {"grid_mapping": "crs"}
    ds.encoding["unlimited_dims"] = {"time"}
    return ds


# Reading


def test_open_is_lazy_and_decoded(ds, tmp_path):
    storage.write(ds, tmp_path / "a.nc")
    with storage.open(tmp_path / "a.nc") as found:
        assert found["t"].chunks is not None
        assert set(found.data_vars) == {"t"}  # bounds and grid mapping are coordinates
        assert found.encoding["unlimited_dims"] == {"time"}
        assert found["t"].encoding["grid_mapping"] == "crs"
        assert isinstance(found["time"].values[0], cftime.Datetime360Day)
        xr.testing.assert_equal(found.load(), ds)


def test_open_reads_no_data(ds, tmp_path, monkeypatch):
    storage.write(ds, tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc", "a") as file:
        file["t"][:] = 7.0
    found = storage.open(tmp_path / "a.nc")
    with found:
        monkeypatch.setattr(dask, "compute", None)
        assert dask.is_dask_collection(found["t"])
        assert (found["t"].values == 7).all()


def test_wanted_chunks_are_taken(ds, tmp_path):
    storage.write(ds, tmp_path / "a.nc")
    with storage.open(tmp_path / "a.nc", chunks={"time": 4, "x": -1, "y": 100}) as found:
        assert found["t"].chunks == ((4, 2), (2,), (5,))


@pytest.mark.parametrize(
    ("chunks", "words"), [({"tim": 4}, "'tim'.*'time'"), ({"x": 0}, "'x' is 0"), ({"x": -2}, "-2")]
)
def test_impossible_chunks_are_refused(ds, tmp_path, chunks, words):
    storage.write(ds, tmp_path / "a.nc")
    with pytest.raises(XgradError, match=words):
        storage.open(tmp_path / "a.nc", chunks=chunks)


def test_absent_file(tmp_path):
    with pytest.raises(InputError, match=r"none.nc' does not exist"):
        storage.open(tmp_path / "none.nc")


def test_folder_that_is_no_store(tmp_path):
    with pytest.raises(InputError, match="cannot be read as Zarr"):
        storage.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no netCDF at all", b"CDF\x01", b"\x89HDF\r\n\x1a\n"], ids=str)
def test_file_that_is_no_netcdf(tmp_path, content):
    (tmp_path / "a.nc").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as netCDF|is cut off within its header"):
        storage.open(tmp_path / "a.nc")


def test_truncated_netcdf4(ds, tmp_path):
    storage.write(ds, tmp_path / "a.nc")
    content = (tmp_path / "a.nc").read_bytes()
    (tmp_path / "a.nc").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        InputError, match=rf"has {len(content) // 2} bytes, and its header says {len(content)}"
    ):
        storage.open(tmp_path / "a.nc")


def test_times_that_cannot_be_decoded_stay_numbers(tmp_path):
    ds = xr.Dataset(
        {"t": ("time", [1.0, 2.0])}, {"time": ("time", [0.0, 1.0], {"units": "fortnights since Tuesday"})}
    )
    ds.to_netcdf(tmp_path / "a.nc")
    with pytest.warns(UserWarning, match="stay plain numbers"), storage.open(tmp_path / "a.nc") as found:
        assert found["time"].dtype == np.float64


def test_durations_stay_numbers(tmp_path):
    ds = xr.Dataset(
        {"period": ("lead", [1.0, 2.0], {"units": "s"})}, {"lead": ("lead", [0.0, 6.0], {"units": "hours"})}
    )
    ds.to_netcdf(tmp_path / "a.nc")
    with storage.open(tmp_path / "a.nc") as found:
        assert found["period"].attrs["units"] == "s"
        assert found["lead"].attrs["units"] == "hours"


def test_measures_in_another_file_are_no_warning(tmp_path):
    xr.Dataset({"t": ("x", [1.0, 2.0], {"cell_measures": "area: areacella"})}).to_netcdf(tmp_path / "a.nc")
    with storage.open(tmp_path / "a.nc") as found:
        assert list(found) == ["t"]


def test_netcdf3_is_read(ds, tmp_path):
    ds.to_netcdf(tmp_path / "a.nc", format="NETCDF3_64BIT")
    with storage.open(tmp_path / "a.nc") as found:
        np.testing.assert_array_equal(found["t"], ds["t"])


# How large the pieces are

sizes = st.integers(1, 3000)


@given(
    shape=st.lists(sizes, min_size=1, max_size=4),
    stored=st.lists(sizes, min_size=4, max_size=4),
    data=st.data(),
)
def test_read_chunks_are_bounded(shape, stored, data):
    dims = [f"d{axis}" for axis in range(len(shape))]
    stored = {dim: min(length, size) for dim, length, size in zip(dims, stored, shape, strict=False)}
    ds = xr.Dataset()
    # of no size in memory: a number seen in the given shape
    ds["a"] = xr.Variable(dims, np.broadcast_to(np.float32(0), shape))
    ds["b"] = xr.Variable(dims[::-1], np.broadcast_to(np.float64(0), shape[::-1]))
    whole = data.draw(st.booleans())
    if whole:
        ds["a"].encoding["preferred_chunks"] = stored
    found = read_chunks(ds, {})
    assert set(found) == set(dims)
    assert all(1 <= found[dim] <= size for dim, size in zip(dims, shape, strict=True))
    one_stored = math.prod(stored.values()) * 4 if whole else 0
    assert math.prod(found.values()) * 4 <= max(READ_BYTES, one_stored)


def test_read_chunks_are_whole_stored_chunks():
    ds = xr.Dataset({"a": (("t", "y", "x"), np.broadcast_to(np.float32(0), (1000, 1000, 1500)))})
    ds["a"].encoding["preferred_chunks"] = {"t": 1, "y": 100, "x": 150}
    assert read_chunks(ds, {}) == {"t": 2, "y": 1000, "x": 1500}
    assert read_chunks(ds, {"x": 300}) == {"t": 13, "y": 1000, "x": 300}
    ds["a"].encoding["preferred_chunks"] = {"t": 1000, "y": 1000, "x": 1}
    assert read_chunks(ds, {}) == {"t": 1000, "y": 1000, "x": 4}


@given(
    blocks=st.lists(
        st.tuples(st.integers(1, 700), st.integers(1, 6), st.integers(0, 699)), min_size=1, max_size=4
    ),
    itemsize=st.sampled_from([1, 4, 8]),
)
def test_stored_chunks_are_bounded_and_end_with_blocks(blocks, itemsize):
    lengths = [
        (length,) * count + ((last % length,) if last % length else ()) for length, count, last in blocks
    ]
    shape = [sum(each) for each in lengths]
    found = stored_chunks(shape, lengths, itemsize)
    assert all(1 <= chunk <= size for chunk, size in zip(found, shape, strict=True))
    assert math.prod(found) * itemsize <= STORED_BYTES
    for chunk, each in zip(found, lengths, strict=True):
        assert all(end % chunk == 0 for end in np.cumsum(each)[:-1])


def test_stored_chunks_of_ragged_blocks_are_no_slivers():
    assert stored_chunks([2001], [(1000, 1, 1000)], 8) == (1000,)


# Writing: content


def test_round_trip_keeps_everything(ds, tmp_path):
    storage.write(ds.chunk(time=4), tmp_path / "a.nc")
    with storage.open(tmp_path / "a.nc") as found:
        expected = ds.assign_attrs(Conventions="CF-1.11")
        assert_identical(found.load(), expected)
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file.dimensions["time"].isunlimited()
        assert file["time"].units == "days since 1970-01-01"
        assert file["time"].calendar == "360_day"
        assert file["time"].dtype == np.float32
        assert file["time"].bounds == "time_bnds"
        assert file["t"].grid_mapping == "crs"
        for name in ("x", "time", "time_bnds"):
            assert "_FillValue" not in file[name].ncattrs()
        assert np.isnan(file["t"]._FillValue)
        assert "coordinates" not in file.ncattrs()


@pytest.mark.parametrize("place", ["attrs", "encoding"])
@pytest.mark.parametrize("calendar", ["360_day", "standard"])
def test_bounds_of_time_count_as_their_axis(tmp_path, place, calendar):
    """Also in chunks, and where the bounds say nothing of their own."""
    time = xr.date_range(
        "2001-01-01", periods=6, freq="D", calendar=calendar, use_cftime=calendar == "360_day"
    )
    half = time[:1] - time[:1].shift(-1, "12h")
    edges = np.stack([time - half[0], time + half[0]], axis=1)
    ds = xr.Dataset({"t": ("time", np.arange(6.0))}, {"time": time, "time_bnds": (("time", "bnds"), edges)})
    ds["time"].encoding = {"units": "days since 1970-01-01", "calendar": calendar, "dtype": np.dtype("i4")}
    getattr(ds["time"], place)["bounds"] = "time_bnds"
    storage.write(ds.chunk(time=4), tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["time"].units == "days since 1970-01-01"
        assert file["time"].bounds == "time_bnds"
        assert set(file["time_bnds"].ncattrs()) <= {"units", "calendar"}
        assert getattr(file["time_bnds"], "units", "days since 1970-01-01") == "days since 1970-01-01"
        np.testing.assert_array_equal(file["time_bnds"][:] - file["time"][:][:, None], [[-0.5, 0.5]] * 6)


def test_packing_of_the_source_does_not_clip(tmp_path):
    packed = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 300.0, "_FillValue": -32768}
    ds = xr.Dataset({"t": ("x", [299.0, 300.0, 305.0, np.nan])})
    ds.to_netcdf(tmp_path / "a.nc", encoding={"t": packed | {"zlib": True, "chunksizes": (2,)}})
    with storage.open(tmp_path / "a.nc") as found:
        (found * 1e-9).to_netcdf(tmp_path / "plain.nc")
        slope = found.copy()
        slope["t"].data = found["t"].data * 1e-9
        assert slope["t"].encoding["scale_factor"] == 0.01  # what xarray would pack it with
        storage.write(slope, tmp_path / "b.nc")
        expected = slope["t"].values
    with storage.open(tmp_path / "b.nc") as found:
        np.testing.assert_array_equal(found["t"], expected)


def test_dataset_is_left_as_it_was(ds, tmp_path):
    ds["t"].encoding = {"dtype": "i2", "scale_factor": 0.5}
    before = ds.copy(deep=True)
    storage.write(ds, tmp_path / "a.nc", complevel=1, history="done")
    assert_identical(ds, before)
    assert ds["t"].encoding == {"dtype": "i2", "scale_factor": 0.5}
    assert ds.encoding["unlimited_dims"] == {"time"}


def test_attributes_of_the_dataset_are_left_as_they_were(ds, tmp_path):
    ds = ds.assign_coords(depth=5.0).chunk(time=4)
    ds["t"].attrs["coordinates"] = "depth gone"
    before = ds.copy(deep=True)
    storage.write(ds, tmp_path / "a.nc")
    assert_identical(ds, before)
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["t"].coordinates == "depth"


def test_compression_and_chunks(ds, tmp_path):
    storage.write(ds.chunk(time=4), tmp_path / "a.nc", complevel=3)
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file["t"].chunking() == [4, 2, 5]
        assert file["t"].filters()["complevel"] == 3
        assert file["t"].filters()["shuffle"]


@pytest.mark.parametrize("complevel", [-1, 10, True + 9])
def test_impossible_compression_is_refused(ds, tmp_path, complevel):
    with pytest.raises(XgradError, match="complevel"):
        storage.write(ds, tmp_path / "a.nc", complevel=complevel)
    assert names(tmp_path) == []


def test_history_goes_before_what_is_there(ds, tmp_path):
    storage.write(
        ds.assign_attrs(history="made", Conventions="CF-1.6"), tmp_path / "a.nc", history="xgrad compute"
    )
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: xgrad compute\nmade", file.history)
        assert file.Conventions == "CF-1.6"


@pytest.mark.parametrize("dtype", ["c8", "c16", "f2", "g"])
def test_types_that_netcdf_has_not_are_refused(tmp_path, dtype):
    with pytest.raises(XgradError, match="'t' has the data type"):
        storage.write(xr.Dataset({"t": ("x", np.zeros(3, dtype))}), tmp_path / "a.nc")
    assert names(tmp_path) == []


# Writing: safety


def test_existing_target_is_kept_unless_told(ds, tmp_path):
    (tmp_path / "a.nc").write_text("precious")
    with pytest.raises(TargetError, match="exists"):
        storage.write(ds, tmp_path / "a.nc")
    assert (tmp_path / "a.nc").read_text() == "precious"
    storage.write(ds, tmp_path / "a.nc", overwrite=True)
    with storage.open(tmp_path / "a.nc") as found:
        assert "t" in found
    assert names(tmp_path) == ["a.nc"]


@pytest.mark.parametrize("link", [None, "symlink_to", "hardlink_to"])
def test_input_is_never_the_target(ds, tmp_path, link):
    source = target = tmp_path / "a.nc"
    storage.write(ds, source)
    if link:
        target = tmp_path / "b.nc"
        getattr(target, link)(source)
    content = source.read_bytes()
    with pytest.raises(TargetError, match="is the input"):
        storage.write(ds, target, inputs=[source], overwrite=True)
    assert source.read_bytes() == content


def test_link_to_another_file_stays_a_link(ds, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.nc").write_text("old")
    (tmp_path / "a.nc").symlink_to(tmp_path / "elsewhere" / "a.nc")
    storage.write(ds, tmp_path / "a.nc", overwrite=True)
    assert (tmp_path / "a.nc").is_symlink()
    assert names(tmp_path / "elsewhere") == ["a.nc"]
    with storage.open(tmp_path / "elsewhere" / "a.nc") as found:
        assert "t" in found


@pytest.mark.parametrize("how", ["replaced", "touched", "removed"])
def test_input_that_changes_meanwhile_is_found(ds, tmp_path, how):
    source = tmp_path / "in.nc"
    storage.write(ds, source)

    def meddle(block):
        if how == "replaced":
            (tmp_path / "new.nc").write_bytes(source.read_bytes())
            (tmp_path / "new.nc").replace(source)
        elif how == "touched":
            os.utime(source, (0, 0))
        else:
            source.unlink()
        return block

    ds["t"] = ds["t"].chunk().map_blocks(meddle, template=ds["t"].chunk())
    with pytest.raises(ChangedInputError, match="changed while it was read"):
        storage.write(ds, tmp_path / "out.nc", inputs=[source])
    assert "out.nc" not in names(tmp_path)


def test_target_that_comes_into_being_meanwhile_is_kept(ds, tmp_path):
    def intrude(block):
        (tmp_path / "a.nc").write_text("precious")
        return block

    ds["t"] = ds["t"].chunk().map_blocks(intrude, template=ds["t"].chunk())
    with pytest.raises(TargetError, match="came into being"):
        storage.write(ds, tmp_path / "a.nc")
    assert (tmp_path / "a.nc").read_text() == "precious"
    assert names(tmp_path) == ["a.nc"]


def test_without_hard_links_it_is_a_rename(ds, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError("no links here")))
    storage.write(ds, tmp_path / "a.nc")
    assert names(tmp_path) == ["a.nc"]


@pytest.mark.parametrize("suffix", [".zip", ".grib", ".tif", ""])
def test_other_formats_are_refused(ds, tmp_path, suffix):
    with pytest.raises(
        XgradError, match=r"not supported; netCDF is written to \.nc, \.nc4, \.cdf, and Zarr to \.zarr"
    ):
        storage.write(ds, tmp_path / f"a{suffix}")
    assert names(tmp_path) == []


def test_folder_in_place_of_the_target(ds, tmp_path):
    (tmp_path / "a.nc").mkdir()
    with pytest.raises(TargetError, match="not a file"):
        storage.write(ds, tmp_path / "a.nc", overwrite=True)


def test_absent_folder(ds, tmp_path):
    with pytest.raises(StorageError, match="does not exist"):
        storage.write(ds, tmp_path / "none" / "a.nc")


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), KeyboardInterrupt(), OSError(5, "I/O error")])
def test_nothing_is_left_behind_by_an_error(ds, tmp_path, error):
    (tmp_path / "a.nc").write_text("old")

    def fail(block):
        raise error

    ds["t"] = (
        ("time", "y", "x"),
        dask.array.zeros((6, 2, 5), chunks=(1, 2, 5)).map_blocks(fail, meta=np.empty((0, 0, 0))),
    )
    with pytest.raises(InputError if isinstance(error, OSError) else type(error)):
        storage.write(ds, tmp_path / "a.nc", overwrite=True)
    assert names(tmp_path) == ["a.nc"]
    assert (tmp_path / "a.nc").read_text() == "old"


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), KeyboardInterrupt()])
def test_threads_have_ended_when_an_error_arrives(tmp_path, error):
    """A thread that still writes to a file which is being closed can crash the process."""
    started, ended = [], []
    slow_ones_run = threading.Event()
    number = itertools.count()

    def work(block):
        if (mine := next(number)) == 0:
            slow_ones_run.wait(timeout=10)
            raise error
        started.append(mine)
        slow_ones_run.set()
        time.sleep(0.3)
        ended.append(mine)
        return block

    slow = dask.array.zeros(50, chunks=1).map_blocks(work, meta=np.empty(0))
    with dask.config.set(num_workers=4), pytest.raises(type(error)):
        storage.write(xr.Dataset({"t": ("x", slow)}), tmp_path / "a.nc")
    assert started
    assert sorted(started) == sorted(ended)
    assert len(started) < 20  # what had not begun was given up


def test_another_scheduler_is_left_to_its_work(ds, tmp_path):
    threads = set()

    def work(block):
        threads.add(threading.get_ident())
        return block

    ds["t"] = ds["t"].chunk(time=1)
    ds["t"].data = ds["t"].data.map_blocks(work, meta=np.empty((0, 0, 0), "f4"))
    with dask.config.set(scheduler="synchronous"):
        storage.write(ds, tmp_path / "a.nc")
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_temperatures_on_their_scale_are_differences_in_derivatives(ds, tmp_path, suffix):
    ds["t"].attrs["units_metadata"] = "temperature: on_scale"
    storage.write(ds, tmp_path / f"in{suffix}")
    with storage.open(tmp_path / f"in{suffix}") as found:
        storage.write(found.grad.compute("x"), tmp_path / f"out{suffix}")
    with storage.open(tmp_path / f"out{suffix}") as found:
        assert found["dt_dx"].attrs["units_metadata"] == "temperature: difference"
        assert found["dt_dx"].attrs["units"] == "K degree-1"


def test_too_little_space_without_compression_is_a_warning_in_the_line_of_the_caller(
    ds, tmp_path, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(200, 100, 100))
    with pytest.warns(UserWarning, match="without compression, and 100 B are free there") as caught:
        storage.write(ds, tmp_path / "a.nc", complevel=1)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("error", [RuntimeError("NetCDF: HDF error"), OSError(28, "No space left on device")])
def test_full_disk_is_one_line(ds, tmp_path, monkeypatch, error):
    def fail(self, region, block):
        raise error

    monkeypatch.setattr("xgrad.storage.raw.writing.RawTarget.__setitem__", fail)
    with pytest.raises(StorageError, match=r"variable 't': .*; it needs \d+ B .*, and \S+ GB are free there"):
        storage.write(ds.chunk(), tmp_path / "a.nc")
    assert names(tmp_path) == []


def test_folder_goes_although_a_thread_still_writes(tmp_path, monkeypatch):
    """After Ctrl-C a thread may make its file anew while the folder is being removed."""
    remove = shutil.rmtree

    def disturbed(folder, **options):
        remove(folder, **options)
        monkeypatch.setattr(shutil, "rmtree", remove)
        folder.mkdir()
        (folder / "a.nc").write_text("again")

    monkeypatch.setattr(shutil, "rmtree", disturbed)
    with storage.folders.private_folder(tmp_path / "a.nc") as folder:
        (folder / "a.nc").write_text("half")
    assert names(tmp_path) == []


def test_progress_goes_to_stderr(ds, tmp_path, capsys):
    storage.write(ds.chunk(time=1), tmp_path / "a.nc", progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "100 %, 6 of 6 blocks" in err
