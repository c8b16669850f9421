"""Chunks read and written without HDF5 are those that HDF5, netCDF-C and xarray read and write."""

from __future__ import annotations

import itertools
import os
import pickle
import re
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import dask.array
import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from campaigns.outcomes import report
from campaigns.raw import (
    REMARKS,
    differences,
    differences_read,
    differences_written,
    lay_out,
    make_case,
    run,
    small_too,
    write,
    write_raw,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from xarray.backends.locks import HDF5_LOCK
from xarray.core import indexing
from xarray.testing import assert_identical

from xgrad.errors import InputError, MissingExtraError
from xgrad.storage.raw import filters, reading, tables, writing
from xgrad.storage.raw.filters import Pipeline, Unsupported
from xgrad.storage.raw.reading import RawArray, RawEntrypoint, available, raw_variables
from xgrad.storage.raw.writing import raw_targets

pytestmark = [pytest.mark.filterwarnings(f"ignore:{words}") for words in REMARKS]

FIELD = np.random.default_rng(0).normal(280, 5, (6, 40, 50)).round(2).astype("f4")


@pytest.fixture(autouse=True)
def _small_too():
    with small_too():
        yield


def make(path, values=FIELD, chunks=(2, 25, 30), **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=values, chunks=chunks, **options)
    return path


def open_raw(path, **options):
    return xr.open_dataset(path, engine=RawEntrypoint, **options)


def raw_array(path, name="/v"):
    with h5py.File(path) as file:
        shape, dtype = file[name].shape, file[name].dtype
    return RawArray(str(path), name, shape, dtype, reading._state(os.stat(path)))


def read(array, *key):
    key += (slice(None),) * (len(array.shape) - len(key))
    return array[indexing.BasicIndexer(key)]


def raw_arrays(ds, name="v"):
    """The raw array that a variable is read from, if any."""
    found, data = [], ds.variables[name]._data
    while data is not None:
        found += [data] if isinstance(data, RawArray) else []
        data = getattr(data, "array", None)
    return found


def pipeline_of(path, name="v", codec=None):
    with h5py.File(path) as file:
        return Pipeline.of(file[name], codec)


def chunk_place(path, number=0, name="v"):
    """Where a chunk lies in its file."""
    with h5py.File(path) as file:
        stored = file[name].id.get_chunk_info(number)
        return stored.byte_offset, stored.size


@contextmanager
def within(seconds, work):
    """Work in another thread, which must not wait for one that the test holds up."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work).result(seconds)


# Generated cases


@settings(max_examples=40)
@given(data=st.data())
def test_generated_files_are_read_as_by_netcdf4(data, tmp_path_factory):
    case = make_case(lambda values: data.draw(st.sampled_from(values)))
    path = tmp_path_factory.mktemp("read") / "usual.nc"
    lay_out(case, path)
    write(case, path)
    for options in ({}, {"decode_cf": False}):
        assert list(differences_read(case, path, **options)) == []


@settings(max_examples=25)
@given(data=st.data())
def test_generated_files_are_written_as_by_hdf5(data, tmp_path_factory):
    case = make_case(lambda values: data.draw(st.sampled_from(values)))
    folder = tmp_path_factory.mktemp("written")
    usual, raw = folder / "usual.nc", folder / "raw.nc"
    for path, fill in ((usual, write), (raw, write_raw)):
        lay_out(case, path)
        fill(case, path)
    assert list(differences_written(case, usual, raw)) == []


def test_short_campaign(capsys):
    assert report(run(3, seed=1)) == []
    assert re.match("raw chunks +3 trials: 0 problems", capsys.readouterr().out)


def test_campaign_finds_wrong_values(monkeypatch):
    decode = Pipeline.decode
    monkeypatch.setattr(reading.Pipeline, "decode", lambda *given: decode(*given[:3]) + 1)
    assert any("read usual.nc" in problem for problem in report(run(2, seed=1)))


@pytest.mark.parametrize("codec", ["isal", "zlib"])
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "portable"])
@pytest.mark.parametrize("dtype", ["i1", "u2", ">i2", "i4", ">f4", "f8", ">u8"])
def test_filters_are_those_of_hdf5(tmp_path, monkeypatch, dtype, compiled, codec):
    if not compiled:
        monkeypatch.setattr(filters, "compiled", lambda *_: None)
    values = FIELD[0].astype(dtype) if dtype != "i1" else (FIELD[0] - 280).astype(dtype)
    for shuffle, level, fletcher32 in itertools.product((False, True), (None, 1, 9), (False, True)):
        path = tmp_path / f"{shuffle}{level}{fletcher32}.nc"
        compression = {"compression": "gzip", "compression_opts": level} if level else {}
        make(path, values, values.shape, shuffle=shuffle, fletcher32=fletcher32, **compression)
        with h5py.File(path, "r+") as file:
            pipeline = Pipeline.of(file["v"], codec)
            mask, stored = file["v"].id.read_direct_chunk((0, 0))
            assert pipeline.decode(stored, mask).tobytes() == values.tobytes()
            out = np.empty(values.shape, dtype)
            assert pipeline.decode(stored, mask, out) is out
            assert out.tobytes() == values.tobytes()
            encoded = pipeline.encode(values)
            if codec == "zlib" or not level:
                assert encoded.tobytes() == stored  # HDF5 uses zlib too
            file["v"].id.write_direct_chunk((0, 0), encoded)
            file["v"].id.flush()
        with h5py.File(path) as file:
            assert file["v"][...].tobytes() == values.tobytes()


@pytest.mark.parametrize("count", [1, 2, 3, 719, 720, 721, 140_001])
@pytest.mark.parametrize("byte", [0, 1, 255])
def test_checksums_are_those_of_hdf5(tmp_path, count, byte):
    values = np.full(
        count, byte, "u1"
    )  # of 255, sums are multiples of 65535, which counts as nothing but not 0
    path = make(tmp_path / "a.nc", values, (count,), fletcher32=True)
    with h5py.File(path) as file:
        pipeline, (_, stored) = Pipeline.of(file["v"]), file["v"].id.read_direct_chunk((0,))
    assert pipeline.encode(values).tobytes() == stored
    np.testing.assert_array_equal(pipeline.decode(stored), values)


def test_filters_that_were_left_out(tmp_path):
    path = make(tmp_path / "a.nc", chunks=FIELD.shape, compression="gzip", shuffle=True, fletcher32=True)
    for kept in itertools.product((0, 1), repeat=3):
        pipeline = pipeline_of(path)
        only = tuple(name for name, keep in zip(pipeline.filters, kept, strict=True) if keep)
        some = Pipeline(only, pipeline.dtype, pipeline.chunks, pipeline.fill, "zlib", 4)
        mask = sum(1 << k for k, keep in enumerate(kept) if not keep)
        with h5py.File(path, "r+") as file:
            file["v"].id.write_direct_chunk((0, 0, 0), some.encode(FIELD[::-1]), mask)
        np.testing.assert_array_equal(read(raw_array(path)), FIELD[::-1])


# What is read


@pytest.fixture
def ds():
    rng = np.random.default_rng(1)
    packed = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 273.15, "_FillValue": np.int16(-32767)}
    stored = {"zlib": True, "complevel": 4, "chunksizes": (3, 25, 20)}
    ds = xr.Dataset(
        {
            "t": (("time", "y", "x"), rng.normal(0, 5, (8, 30, 40)).astype("f4"), {"units": "K"}, stored),
            "p": (("time", "y", "x"), rng.normal(280, 5, (8, 30, 40)), {}, stored | packed),
            "dt": (("x",), np.arange(40).astype("m8[h]").astype("m8[ns]"), {}, {"chunksizes": (20,)}),
            "word": (("y",), np.array(["a", "bcd"] * 15)),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
        },
        {
            "time": xr.date_range("2001-01-01", periods=8),
            "time_bnds": (("time", "b"), np.zeros((8, 2)).astype("M8[ns]")),
            "y": np.linspace(0, 1, 30),
            "x": ("x", np.arange(40.0), {}, {"dtype": "i2", "scale_factor": 0.5, "chunksizes": (20,)}),
        },
    )
    ds["p"].values[0, 3:5] = np.nan
    ds["t"].encoding["grid_mapping"] = "crs"
    ds["time"].encoding = {"bounds": "time_bnds", "units": "hours since 2000-01-01"}
    return ds


@pytest.mark.parametrize("writer", ["netcdf4", "h5netcdf"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"decode_cf": False},
        {"mask_and_scale": False},
        {"mask_and_scale": {"p": False}},
        {"decode_times": False},
        {"decode_coords": "all", "decode_timedelta": False},
        {"decode_times": xr.coders.CFDatetimeCoder(use_cftime=True), "decode_coords": False},
        {"drop_variables": ["t", "x"]},
        {"create_default_indexes": False},
        {"cache": False},
        {"chunks": {}},
    ],
    ids=lambda options: " ".join(options) or "as it is",
)
def test_opened_as_by_netcdf4(ds, tmp_path, writer, options):
    path = tmp_path / "a.nc"
    ds.to_netcdf(path, engine=writer, unlimited_dims=["time"])
    if "create_default_indexes" in options and "create_default_indexes" not in xr.open_dataset.__kwdefaults__:
        pytest.skip("this xarray has no such option")
    with xr.open_dataset(path, engine="netcdf4", **options) as usual, open_raw(path, **options) as raw:
        assert raw.encoding == usual.encoding
        kinds = [{name: (var.dtype, var.chunks) for name, var in ds.variables.items()} for ds in (usual, raw)]
        assert kinds[0] == kinds[1]
        assert list(differences(usual.load(), raw.load())) == []
        assert raw["time"].encoding["source"] == str(path)


def test_opening_reads_no_chunks(ds, tmp_path, monkeypatch):
    ds.to_netcdf(tmp_path / "a.nc")
    monkeypatch.setattr(RawArray, "_read", lambda *_: pytest.fail("read"))
    with open_raw(tmp_path / "a.nc", drop_variables=["x", "dt"]) as raw:
        assert raw_arrays(raw, "t")
        assert raw_arrays(raw, "p")


def test_groups_and_names(tmp_path):
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as file:
        group = file.createGroup("a/b")
        for place, value in ((file, 1), (group, 2)):
            place.createDimension("x", 30)
            place.createDimension("u", None)
            place.createVariable("x", "f4", ("u", "x"), zlib=True)[:5] = value  # no coordinate, but named so
            place.createVariable("short", "f4", ("u", "x"), zlib=True)[:2] = value
    for group in (None, "a/b", "/a/b"):
        with (
            xr.open_dataset(path, engine="netcdf4", group=group) as usual,
            open_raw(path, group=group) as raw,
        ):
            assert len(raw_arrays(raw, "x")) == 1
            assert list(differences(usual.load(), raw.load())) == []
    assert raw_variables(path) == {"x": None, "short": "netCDF sees it with another shape or type"}


@pytest.mark.parametrize(
    ("dtype", "attributes"),
    [
        ("i2", {"scale_factor": np.float32(0.01), "add_offset": np.float32(3)}),
        ("i2", {"scale_factor": np.float32(0.01), "add_offset": np.float64(3)}),
        ("i2", {"scale_factor": np.float64(0.01), "_FillValue": np.int16(5), "missing_value": np.int16(6)}),
        ("i2", {"missing_value": np.array([5, 6], "i2")}),  # no table
        ("u1", {"_FillValue": np.uint8(255)}),
        ("i1", {"_Unsigned": "true", "_FillValue": np.int8(-1), "scale_factor": np.float32(0.5)}),
        ("u2", {"_Unsigned": "false", "scale_factor": np.float32(0.5)}),
        ("i2", {"add_offset": np.float32(1e30), "units": "hours"}),
        (">i2", {"scale_factor": np.float32(3e38), "_FillValue": np.int16(7)}),  # overflows
        ("i4", {"scale_factor": np.float32(0.01)}),  # too large for a table
    ],
    ids=str,
)
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "portable"])
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_every_packed_number(tmp_path, monkeypatch, dtype, attributes, compiled):
    if not compiled:
        monkeypatch.setattr(tables, "compiled", lambda *_: None)
    count = 1 << 8 * min(np.dtype(dtype).itemsize, 2)
    numbers = np.arange(count, dtype=f"u{np.dtype(dtype).itemsize}").view(dtype.lstrip(">"))
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 2 * count)
        fill = attributes.get("_FillValue")
        endian = "big" if dtype[0] == ">" else "native"
        var = file.createVariable(
            "v", dtype, ("x",), zlib=True, chunksizes=(333,), fill_value=fill, endian=endian
        )
        var.setncatts({key: value for key, value in attributes.items() if key != "_FillValue"})
        var.set_auto_maskandscale(False)
        var[:count] = numbers
    options = {"decode_timedelta": False}
    with xr.open_dataset(path, engine="netcdf4", **options) as usual, open_raw(path, **options) as raw:
        (array,) = raw_arrays(raw)
        assert (array.packing is None) == (dtype == "i4" or np.ndim(attributes.get("missing_value", 0)) > 0)
        assert list(differences(usual.load(), raw.load())) == []


def test_result_may_be_written_to(tmp_path):
    with open_raw(make(tmp_path / "a.nc", compression="gzip")) as raw:
        values = raw["v"].to_numpy()
        values[...] = 0
        assert not raw["v"].to_numpy().any()  # xarray keeps what it has read


# What is not read raw


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"compression": "lzf"}, "filter 32000 is not known"),
        ({"scaleoffset": 2}, "filter 6 is not known"),
        ({"chunks": None}, "it is contiguous"),
        ({"values": FIELD.astype("c8")}, "its type is no plain number (complex64)"),
        ({"values": FIELD > 280}, "its type is no plain number (bool)"),
    ],
    ids=str,
)
def test_unknown_ways_of_storing(tmp_path, options, reason):
    path = make(tmp_path / "a.nc", **options)
    with pytest.raises(Unsupported, match=reason.replace("(", r"\(").replace(")", r"\)")):
        pipeline_of(path)
    if np.dtype(options.get("values", FIELD).dtype).kind == "f" and options.get("compression") != "lzf":
        assert raw_variables(path) == {"v": reason}
        with xr.open_dataset(path, engine="netcdf4") as usual, open_raw(path) as raw:
            assert raw_arrays(raw) == []
            assert list(differences(usual.load(), raw.load())) == []


@pytest.mark.parametrize(("compression", "built"), [("zstd", "zstandard"), ("bzip2",) * 2, ("szip",) * 2])
def test_unknown_filters_of_netcdf4(tmp_path, compression, built):
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as file:
        if not getattr(netCDF4, f"__has_{built}_support__"):
            pytest.skip(f"netCDF4 was built without {built}")
        file.createDimension("x", 1000)
        file.createVariable("v", "f4", ("x",), compression=compression)[:] = FIELD.ravel()[:1000]
        file.createVariable("w", "f4", ("x",), zlib=True)[:] = 1
    assert raw_variables(path)["v"].endswith("is not known")
    assert raw_variables(path)["w"] is None
    with xr.open_dataset(path, engine="netcdf4") as usual, open_raw(path) as raw:
        assert raw_arrays(raw, "v") == []
        assert list(differences(usual.load(), raw.load())) == []


def test_unusual_numbers_and_files(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("v", data=FIELD, chunks=True, compression="gzip")
        with pytest.raises(Unsupported, match="user block"):
            Pipeline.of(file["v"])
    with h5py.File(path, "w") as file:
        narrow = h5py.h5t.STD_I32LE.copy()
        narrow.set_precision(20)
        brain = h5py.h5t.IEEE_F32LE.copy()
        brain.set_fields(15, 7, 8, 0, 7)
        brain.set_size(2)
        for name, kind in (("narrow", narrow), ("brain", brain), ("bits", h5py.h5t.STD_B32LE)):
            made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            made.set_chunk((10,))
            space = h5py.h5s.create_simple((10,))
            h5py.h5d.create(file.id, name.encode(), kind, space, made)
        layout = h5py.VirtualLayout((10,), "f4")
        layout[:5] = h5py.VirtualSource(str(path), "v", (5,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("outside", (10,), "f4", external=[(str(tmp_path / "b"), 0, 40)])
        reasons = {}
        for name in file:
            with pytest.raises(Unsupported) as found:
                Pipeline.of(file[name])
            reasons[name] = str(found.value)
    assert reasons["virtual"] == "it is virtual"
    assert reasons["outside"] == "it is contiguous"
    assert all(reasons[name].startswith("its type is no plain") for name in ("narrow", "brain", "bits"))


def test_partial_chunks_that_hdf5_was_told_not_to_filter(tmp_path):
    path = make(tmp_path / "a.nc", chunks=(6, 40, 30), compression="gzip", shuffle=True)
    plain = np.zeros((6, 40, 30), "f4")
    with h5py.File(path, "r+") as file:
        file["v"].id.write_direct_chunk((0, 0, 30), plain)  # as H5Pset_chunk_opts has it: no filter, no mask
        with pytest.raises(Unsupported, match="partial chunks"):
            Pipeline.of(file["v"])


def test_small_variables_are_left_alone(tmp_path, monkeypatch):
    path = make(tmp_path / "a.nc", compression="gzip")
    monkeypatch.setattr(reading, "_SMALL_VARIABLE", FIELD.nbytes)
    assert raw_variables(path) == {"v": "it is small"}
    monkeypatch.setattr(reading, "_SMALL_VARIABLE", FIELD.nbytes - 1)
    monkeypatch.setattr(reading, "_SMALL_CHUNK", 6001)
    assert raw_variables(path) == {"v": "its chunks are small (6000 bytes)"}


def test_other_files_are_opened(tmp_path, monkeypatch):
    ds = xr.Dataset({"v": ("x", np.arange(9.0))})
    ds.to_netcdf(tmp_path / "a.nc", format="NETCDF3_64BIT", engine="netcdf4")
    assert raw_variables(tmp_path / "a.nc") == {"v": "its file is not netCDF-4"}
    path = make(tmp_path / "b.nc", compression="gzip")
    monkeypatch.setattr(h5py.version, "version_tuple", h5py.version.version_tuple._replace(minor=15))
    assert not available()
    assert raw_variables(path) == {"v": "h5py 3.16 is not installed"}
    for each, values in ((tmp_path / "a.nc", np.arange(9.0)), (path, FIELD)):
        with open_raw(each) as raw:
            np.testing.assert_array_equal(raw["v"], values)


def test_file_that_h5py_cannot_open(tmp_path, monkeypatch):
    path = make(tmp_path / "a.nc", compression="gzip")

    def refuse(*_, **__):
        raise OSError("locked")

    monkeypatch.setattr(h5py, "File", refuse)
    assert raw_variables(path) == {"v": "h5py cannot open its file (locked)"}


def test_failed_opening_leaves_nothing_open(tmp_path):
    path = make(tmp_path / "a.nc", compression="gzip")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(OSError, match="group not found"):
        open_raw(path, group="nowhere")
    assert not before or len(os.listdir("/proc/self/fd")) == before


# Codecs


def test_zlib_serves_without_isal(tmp_path, monkeypatch):
    path = make(tmp_path / "a.nc", compression="gzip")
    monkeypatch.setitem(sys.modules, "isal", None)
    filters._codec.cache_clear()
    with pytest.raises(MissingExtraError, match="fastio"):
        read_with(path, "isal")
    monkeypatch.setattr(filters, "find_spec", lambda name: None)
    assert pipeline_of(path).codec == "zlib"
    np.testing.assert_array_equal(read_with(path, None), FIELD[:2, :25, :30])
    filters._codec.cache_clear()


def read_with(path, codec):
    with h5py.File(path) as file:
        return Pipeline.of(file["v"], codec).decode(file["v"].id.read_direct_chunk((0, 0, 0))[1])


@pytest.mark.parametrize("codec", ["isal", "zlib"])
def test_level_is_that_of_the_file(tmp_path, codec):
    sizes = {}
    for level in range(1, 10):
        path = tmp_path / f"{level}.nc"
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("x", FIELD.size)
            file.createVariable("v", "f4", ("x",), zlib=True, complevel=level, chunksizes=(FIELD.size,))
        with raw_targets(path, {"v": FIELD.ravel()}, codec) as targets:
            targets["v"][slice(0, FIELD.size),] = FIELD.ravel()
        with netCDF4.Dataset(path) as file:
            assert file["v"].filters()["complevel"] == level
            np.testing.assert_array_equal(file["v"][:], FIELD.ravel())
        sizes[level] = chunk_place(path)[1]
    levels = [2] * 9 if codec == "isal" else range(1, 10)
    bytes_ = np.frombuffer(FIELD.tobytes(), "u1").reshape(-1, 4).T.tobytes()
    module = filters._codec(codec)
    assert list(sizes.values()) == [len(module.compress(bytes_, level)) for level in levels]


# Damage


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": True}])
@pytest.mark.parametrize("codec", ["isal", "zlib"])
def test_flipped_bit_in_a_checksummed_chunk(tmp_path, options, codec):
    values = FIELD[:2, :10, :10]
    path = make(tmp_path / "a.nc", values, values.shape, fletcher32=True, **options)
    start, size = chunk_place(path)
    stored = path.read_bytes()[start : start + size]
    pipeline = pipeline_of(path, codec=codec)
    for bit in range(0, 8 * size, 7):
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InputError, match="checksum"):
            pipeline.decode(bytes(damaged))


@pytest.mark.parametrize("codec", ["isal", "zlib"])
def test_flipped_bit_in_a_deflated_chunk(tmp_path, codec):
    values = FIELD[:2, :10, :10]
    path = make(tmp_path / "a.nc", values, values.shape, compression="gzip")
    start, size = chunk_place(path)
    stored = path.read_bytes()[start : start + size]
    pipeline = pipeline_of(path, codec=codec)
    harmless = 0
    for bit in range(8 * size):
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = pipeline.decode(bytes(damaged))
        except InputError:
            continue
        assert found.tobytes() == values.tobytes()
        harmless += 1
    assert harmless < 8  # what fills up the last byte before the checksum
    for length in range(size):
        with pytest.raises(InputError, match="does not inflate"):
            pipeline.decode(stored[:length])


def test_chunk_that_inflates_without_end(tmp_path):
    path = make(tmp_path / "a.nc", compression="gzip")
    with pytest.raises(InputError, match="size of a chunk"):
        pipeline_of(path).decode(zlib.compress(bytes(1 << 24)))
    with pytest.raises(InputError, match="holds 5999 bytes, not 6000"):
        pipeline_of(path).decode(zlib.compress(bytes(5999)))


@pytest.mark.parametrize("fletcher32", [True, False])
def test_damage_names_file_variable_and_chunk(tmp_path, fletcher32):
    path = make(tmp_path / "a.nc", compression="gzip", fletcher32=fletcher32)
    start, size = chunk_place(path, 3)
    with open_raw(path) as raw:
        (array,) = raw_arrays(raw)
    status = os.stat(path)
    with path.open("r+b") as file:
        file.seek(start + size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 16]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    words = r"a.nc' is damaged: chunk \(0, 1, 1\) of '/v' cannot be read: it"
    with pytest.raises(InputError, match=words):
        read(array, 0, 30)
    np.testing.assert_array_equal(read(array, 3), FIELD[3])  # the others are sound


def test_files_that_change(tmp_path):
    path = make(tmp_path / "a.nc", compression="gzip")
    with open_raw(path) as raw:
        (array,) = raw_arrays(raw)
        np.testing.assert_array_equal(read(array), FIELD)
    content = path.read_bytes()
    status = os.stat(path)
    path.write_bytes(content[:-100])
    with pytest.raises(InputError, match="changed since"):
        read(array)
    path.write_bytes(content)
    with pytest.raises(InputError, match="changed since"):
        read(array)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    np.testing.assert_array_equal(read(array), FIELD)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read any more: No such file"):
        read(array)


def test_file_that_ends_too_early(tmp_path):
    path = make(tmp_path / "a.nc", compression="gzip")
    array = raw_array(path)
    read(array, 0)  # its chunks are known
    start, size = max(chunk_place(path, number) for number in range(12))
    (index,) = (each for key, each in reading._indexes.items() if key[0] == str(path))
    index.offsets[index.offsets == start] = path.stat().st_size - size + 1
    with pytest.raises(InputError, match="the file ends before it"):
        read(array)


# Threads and processes


def test_nothing_waits_for_hdf5(tmp_path):
    path = make(tmp_path / "a.nc", compression="gzip", shuffle=True)
    with open_raw(path, chunks={}, cache=False) as raw:
        read(raw_arrays(open_raw(path))[0], 0)
        (array,) = raw_arrays(open_raw(path))
        with HDF5_LOCK, within(20, partial(read, array)) as values:
            np.testing.assert_array_equal(values, FIELD)
        assert_identical(raw.compute(), xr.open_dataset(path, engine="netcdf4").load())


def test_chunks_are_encoded_outside_the_lock(tmp_path, monkeypatch):
    path = make(tmp_path / "a.nc", np.zeros_like(FIELD), compression="gzip")
    encode, locked = Pipeline.encode, []

    def watched(self, block):
        locked.append(HDF5_LOCK.locked())
        return encode(self, block)

    monkeypatch.setattr(writing.Pipeline, "encode", watched)
    with raw_targets(path, {"v": FIELD}) as targets:
        targets["v"][tuple(slice(0, size) for size in FIELD.shape)] = FIELD
    assert locked == [False] * 12
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["v"], FIELD)


def test_many_threads_read_and_write(tmp_path):
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, (64, 60, 70)).astype("f4")
    blocks = [
        tuple(slice(k, k + 3) if axis == 0 else slice(0, n) for axis, n in enumerate(values.shape))
        for k in range(0, 64, 3)
    ]
    blocks[-1] = (slice(63, 64), *blocks[-1][1:])
    path = tmp_path / "a.nc"
    for chunks in ((3, 25, 70), (4, 60, 33)):  # of whole chunks, and of pieces that threads share
        make(path, np.zeros_like(values), chunks, compression="gzip", shuffle=True)
        with raw_targets(path, {"v": values}) as targets, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda block: targets["v"].__setitem__(block, values[block]), blocks))
        with h5py.File(path) as file:
            np.testing.assert_array_equal(file["v"], values)
        array, start = raw_array(path), threading.Barrier(8)
        reading._indexes.clear()

        def work(number):
            start.wait()  # noqa: B023
            order = np.random.default_rng(number).permutation(len(blocks))
            return all(np.array_equal(read(array, *blocks[k]), values[blocks[k]]) for k in order)  # noqa: B023

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))
        assert len(reading._indexes) == 1


def test_dask_reads_in_threads(tmp_path):
    path = make(tmp_path / "a.nc", compression="gzip")
    with open_raw(path, chunks={"phony_dim_0": 2}) as raw:
        assert isinstance(raw["v"].data, dask.array.Array)
        np.testing.assert_array_equal(raw["v"].data.compute(scheduler="threads", num_workers=4), FIELD)


def test_another_process_opens_it_for_itself(tmp_path):
    path = make(tmp_path / "a.nc", compression="gzip")
    array = raw_array(path)
    read(array)
    sent = pickle.dumps(array)
    assert len(sent) < 600
    code = "import pickle, sys; from xarray.core.indexing import BasicIndexer as Key\n"
    code += "array = pickle.load(sys.stdin.buffer); all_ = (slice(None),) * 3\n"
    code += "sys.stdout.buffer.write(array[Key(all_)].tobytes())"
    found = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    assert found.stdout == FIELD.tobytes()


def test_packed_numbers_travel_without_their_table(ds, tmp_path):
    ds.to_netcdf(tmp_path / "a.nc")
    with open_raw(tmp_path / "a.nc") as raw:
        (array,) = raw_arrays(raw, "p")
        sent = pickle.dumps(array)
        assert len(sent) < 1500
        tables._table.cache_clear()
        np.testing.assert_array_equal(read(pickle.loads(sent)), raw["p"])


def test_no_file_stays_open_and_few_indexes_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_INDEXES_KEPT", 5)
    arrays = [raw_array(make(tmp_path / f"{k}.nc", FIELD + k, compression="gzip")) for k in range(20)]
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _, (k, array) in itertools.product(range(2), enumerate(arrays)):
        np.testing.assert_array_equal(read(array, -1), FIELD[-1] + k)
        assert len(reading._indexes) <= 5
    assert not before or len(os.listdir("/proc/self/fd")) == before


# Writing


def test_targets_of_every_kind(tmp_path):
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("t", None)
        file.createDimension("x", 10)
        file.createVariable("plain", "f4", ("x",))
        file.createVariable("x", "f4", ("t", "x"), zlib=True)  # no coordinate, but named so
        file.createVariable("letters", "S1", ("x",), zlib=True)
        file.createVariable("one", "f8", ())
        file.createVariable("grows", "i2", ("t", "x"), zlib=True, chunksizes=(2, 10), fill_value=-1)
    letters = np.array(list("abcdefghij"), "S1")
    arrays = {
        "plain": np.arange(10, dtype="f4"),
        "letters": letters,
        "one": np.array(3.0),
        "x": np.arange(50, dtype="f4").reshape(5, 10),
        "grows": np.arange(50, dtype="i2").reshape(5, 10),
    }
    with raw_targets(path, arrays) as targets:
        assert {name: target.reason for name, target in targets.items()} == {
            "plain": "it is contiguous",
            "letters": "its type is no plain number (|S1)",
            "one": "it is contiguous",
            "x": None,
            "grows": None,
        }
        for name, values in arrays.items():
            targets[name][tuple(slice(0, size) for size in values.shape)] = values
    with xr.open_dataset(path, engine="netcdf4", decode_cf=False) as found:
        assert found.sizes == {"t": 5, "x": 10}
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[name], values)


def test_numbers_are_not_cut_off(tmp_path):
    path = make(tmp_path / "a.nc", FIELD.astype("i2"), compression="gzip")
    with raw_targets(path, {"v": FIELD}) as targets, pytest.raises(TypeError, match="same_kind"):
        targets["v"][tuple(slice(0, size) for size in FIELD.shape)] = FIELD


def test_file_is_closed_after_an_error(tmp_path):
    path = make(tmp_path / "a.nc", compression="gzip")
    with pytest.raises(KeyError), raw_targets(path, {"none": FIELD}):
        pass
    with pytest.raises(ZeroDivisionError), raw_targets(path, {"v": FIELD}):
        raise ZeroDivisionError
    with h5py.File(path, "r+") as file:
        np.testing.assert_array_equal(file["v"], FIELD)
