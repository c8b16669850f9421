"""Inputs: whole ones, cut off ones, damaged ones, and those that change."""

from __future__ import annotations

import os
import re
import shutil
import struct
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

import xgrad
from xgrad import cli, storage
from xgrad.errors import ChangedInputError, InputError, TargetError
from xgrad.storage.intact import check_unchanged, check_whole, is_remote, local, state

CLASSIC = {"NETCDF3_CLASSIC": 1, "NETCDF3_64BIT_OFFSET": 2, "NETCDF3_64BIT_DATA": 5}


def classic(path, form, kinds, times=5):
    """A classic file with a fixed variable and others with records."""
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.createDimension("time", None)
        file.createDimension("x", 7)
        file.setncattr("title", "three")
        file.setncattr("numbers", np.arange(3, dtype="i2"))
        file.createVariable("fixed", "f8", ("x",))[:] = 1
        file.createVariable("scalar", "i4", ())[...] = 1
        for at, kind in enumerate(kinds):
            file.createVariable(f"v{at}", kind, ("time", "x"))[:times] = np.ones((times, 7))
    return path


@pytest.mark.parametrize("form", CLASSIC)
@pytest.mark.parametrize("kinds", [(), ("f4",), ("i1",), ("i2",), ("i1", "f8", "i2"), ("f4", "f4")])
def test_every_cut_of_a_classic_file_is_found_or_lost_padding_only(tmp_path, form, kinds):
    path = classic(tmp_path / "a.nc", form, kinds)
    content = path.read_bytes()
    assert content[3] == CLASSIC[form]
    check_whole(path)
    accepted = []
    for size in range(len(content) - 1, 7, -1):
        os.truncate(path, size)
        try:
            check_whole(path)
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            accepted.append(size)
    assert accepted in ([], list(range(len(content) - 1, len(content) - 1 - len(accepted), -1)))
    assert len(accepted) <= 3
    path.write_bytes(content[: len(content) - len(accepted)])
    with netCDF4.Dataset(path) as file:  # what lacks is read as zeros, and there are none
        for var in file.variables.values():
            assert (np.asarray(var[...]) == 1).all()


@pytest.mark.parametrize("form", CLASSIC)
def test_records_that_nobody_counted_leave_the_rest_to_be_checked(tmp_path, form):
    path = classic(tmp_path / "a.nc", form, ("f4",), times=0)
    content = bytearray(path.read_bytes())
    width = 8 if form == "NETCDF3_64BIT_DATA" else 4
    content[4 : 4 + width] = b"\xff" * width
    path.write_bytes(content)
    check_whole(path)
    path.write_bytes(content[:-20])
    with pytest.raises(InputError, match="is cut off"):
        check_whole(path)


@pytest.mark.parametrize("libver", [("earliest", "v108"), ("v108", "v108"), ("v110", "v110"), "latest"])
def test_cut_off_hdf5(tmp_path, libver):
    with h5py.File(tmp_path / "a.nc", "w", libver=libver) as file:
        file["v"] = np.arange(5000.0)
    content = (tmp_path / "a.nc").read_bytes()
    check_whole(tmp_path / "a.nc")
    for size in (8, 9, 20, 50, 100, 1000, len(content) // 2, len(content) - 1):
        (tmp_path / "a.nc").write_bytes(content[:size])
        with pytest.raises(InputError, match="is cut off"):
            check_whole(tmp_path / "a.nc")


def test_superblocks_of_all_kinds_are_tested(tmp_path):
    found = set()
    for libver in [("earliest", "v108"), ("v108", "v108"), ("v110", "v110")]:
        with h5py.File(tmp_path / "a.nc", "w", libver=libver):
            pass
        found.add((tmp_path / "a.nc").read_bytes()[8])
    assert found == {0, 2, 3}


def test_truncated_file_for_the_command(tmp_path, capsys):
    path = classic(tmp_path / "a.nc", "NETCDF3_CLASSIC", ("f4", "f8"), times=100)
    os.truncate(path, path.stat().st_size // 2)
    assert cli.run(["compute", str(path), "-o", str(tmp_path / "b.nc"), "-d", "x"]) == 3
    _, said = capsys.readouterr()
    assert f"'{path}' is cut off: it has {path.stat().st_size} bytes, and its header says" in said
    assert os.listdir(tmp_path) == ["a.nc"]


def test_file_that_may_not_be_read(tmp_path, monkeypatch, capsys):
    classic(tmp_path / "a.nc", "NETCDF3_CLASSIC", ("f4",))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputError, match="may not be read: permission denied"):
        check_whole(tmp_path / "a.nc")


# Damage

NAMED = r"variable 't' of .*/a\.(nc|zarr)' cannot be read"
DATA = np.random.default_rng(0).normal(size=(20, 2000)).astype("f4")


def source(path, **encoding):
    ds = xr.Dataset({"t": (("y", "x"), DATA, {"units": "K"})}, {"x": np.arange(2000.0)})
    if path.suffix == ".zarr":
        ds.to_zarr(path, encoding={"t": {"chunks": (5, 2000), **encoding}}, consolidated=False)
    else:
        ds.to_netcdf(path, encoding={"t": {"chunksizes": (5, 2000), **encoding}})
    return path


def refused(path, capsys):
    target = path.parent / "out" / "b.nc"
    target.parent.mkdir(exist_ok=True)
    assert cli.run(["compute", str(path), "-o", str(target), "-d", "x", "--chunks", "y:5"]) == 3
    _, said = capsys.readouterr()
    assert said.count("\n") == 1
    assert re.search(r"variable 't'|of '/t'", said)
    assert f"'{path}'" in said
    assert os.listdir(target.parent) == []


@pytest.mark.parametrize("checked", [True, False])
def test_flipped_bits_in_a_compressed_chunk(tmp_path, capsys, checked):
    path = source(tmp_path / "a.nc", zlib=True, complevel=1, fletcher32=checked)
    with h5py.File(path) as file:
        chunk = file["t"].id.get_chunk_info(2)
    content = bytearray(path.read_bytes())
    for at in range(chunk.byte_offset + 100, chunk.byte_offset + 120):
        content[at] ^= 0xFF
    path.write_bytes(content)
    refused(path, capsys)


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_damage_is_named_also_where_hdf5_reads(tmp_path, monkeypatch, engine):
    from xgrad.storage import reading

    path = source(tmp_path / "a.nc", zlib=True, complevel=1, fletcher32=True)
    with h5py.File(path) as file:
        chunk = file["t"].id.get_chunk_info(2)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 50] ^= 0xFF
    path.write_bytes(content)
    monkeypatch.setattr(reading, "_engines", lambda _: [engine])
    with (
        storage.open(path) as ds,
        pytest.raises(InputError, match=r"variable 't' of .*a\.nc' cannot be read"),
    ):
        ds["t"].compute()
    with (
        storage.open(path) as ds,
        pytest.raises(InputError, match=r"variable 't' of .*a\.nc' cannot be read"),
    ):
        storage.write(ds, tmp_path / "b.nc")
    assert sorted(os.listdir(tmp_path)) == ["a.nc"]


def codecs():
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    return {
        "blosc": BloscCodec(cname="lz4"),
        "blosc zstd": BloscCodec(cname="zstd"),
        "zstd": ZstdCodec(),
        "gzip": GzipCodec(),
        "none": None,
    }


def chunk_of(path):
    (chunk,) = [path / "t" / name for name in ("c/2/0", "2.0") if (path / "t" / name).exists()]
    return chunk


@pytest.mark.parametrize("codec", ["blosc", "blosc zstd", "zstd", "gzip", "none"])
def test_every_cut_of_a_zarr_chunk_is_found(tmp_path, codec):
    """Blosc by itself takes a chunk that lacks its last byte, and may crash on one that lacks more."""
    path = tmp_path / "a.zarr"
    ds = xr.Dataset({"t": (("y", "x"), DATA)})
    encoding = {"t": {"chunks": (5, 2000), "compressors": codecs()[codec]}}
    ds.to_zarr(path, encoding=encoding, zarr_format=3, consolidated=False)
    content = chunk_of(path).read_bytes()
    size = len(content)
    for cut in {0, 1, 4, 8, 15, 16, 17, 20, 100, size // 4, size // 2, size - 100, size - 4, size - 1}:
        chunk_of(path).write_bytes(content[:cut])
        with (
            storage.open(path) as found,
            pytest.raises(InputError, match=r"variable 't' of .*a\.zarr' cannot be"),
        ):
            found["t"].compute()
    chunk_of(path).write_bytes(content)
    with storage.open(path) as found:
        np.testing.assert_array_equal(found["t"], DATA)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_cut_off_zarr_chunk_for_the_command(tmp_path, capsys, zarr_format):
    path = tmp_path / "a.zarr"
    ds = xr.Dataset({"t": (("y", "x"), DATA, {"units": "K"})}, {"x": np.arange(2000.0)})
    ds.to_zarr(path, encoding={"t": {"chunks": (5, 2000)}}, zarr_format=zarr_format, consolidated=False)
    os.truncate(chunk_of(path), chunk_of(path).stat().st_size - 1)
    refused(path, capsys)


# Change


@pytest.mark.parametrize("path", ["s3://b/a.nc", "https://a.org/b.nc", "zip::s3://a", Path("s3://b/a.nc")])
def test_urls(path):
    assert is_remote(path)
    assert local(path) is None
    assert state([path]) == {}


@pytest.mark.parametrize("path", ["a.nc", "/a/b.nc", "./a:b.nc", "C:/a.nc", "a:/b.nc", Path("a b.nc")])
def test_paths(path):
    assert not is_remote(path)
    assert local(path) == os.fspath(path)


def test_url_of_a_file_is_its_path():
    assert local("file:///a/b.nc") == "/a/b.nc"


def touch(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def replace(path):
    shutil.copy2(path, path.with_name("new"))
    os.replace(path.with_name("new"), path)


@pytest.mark.parametrize("change", [touch, replace, os.unlink, lambda path: os.truncate(path, 1)])
@pytest.mark.parametrize("name", ["a.nc", "a.zarr/t/c/2/0", "a.zarr/zarr.json"])
def test_changes_are_found(tmp_path, change, name):
    source(tmp_path / "a.nc")
    source(tmp_path / "a.zarr")
    inputs = [tmp_path / name.partition("/")[0], f"file://{tmp_path / name.partition('/')[0]}"]
    before = state(inputs)
    check_unchanged(before)
    change(tmp_path / name)
    for one in inputs:
        with pytest.raises(ChangedInputError, match=rf"{one}' changed"):
            check_unchanged({os.fspath(one): before[os.fspath(one)]})


def test_added_and_renamed_chunks_are_found(tmp_path):
    path = source(tmp_path / "a.zarr")
    before = state([path])
    os.rename(path / "t/c/2/0", path / "t/c/2/1")
    with pytest.raises(ChangedInputError):
        check_unchanged(before)
    os.rename(path / "t/c/2/1", path / "t/c/2/0")
    check_unchanged(before)


def test_inputs_are_as_they_were_when_they_were_opened(tmp_path):
    """A change between opening and writing is found, and nobody has to name the inputs."""
    path = source(tmp_path / "a.nc")
    with storage.open(path) as ds:
        slope = xgrad.compute(ds, ["x"])
        with pytest.raises(TargetError, match="is the input"):
            storage.write(slope, path, overwrite=True)
        touch(path)
        with pytest.raises(ChangedInputError, match="changed while it was read"):
            storage.write(slope, tmp_path / "b.nc")
    assert os.listdir(tmp_path) == ["a.nc"]
    with storage.open(path) as ds:
        storage.write(xgrad.compute(ds, ["x"]), tmp_path / "b.nc")


def test_failure_of_a_changed_input_is_its_change(tmp_path):
    path = source(tmp_path / "a.nc", zlib=True)
    with storage.open(path, chunks={"y": 5}) as ds:
        os.truncate(path, path.stat().st_size // 3)
        with pytest.raises(ChangedInputError, match="changed while it was read"):
            storage.write(ds, tmp_path / "b.nc")
    assert os.listdir(tmp_path) == ["a.nc"]


def test_header_of_a_classic_file_is_read_as_specified(tmp_path):
    """A file made by hand, byte by byte [netCDF classic format specification]."""
    words = struct.pack(">4sI", b"CDF\x01", 2)  # two records
    words += struct.pack(">II", 10, 1) + struct.pack(">I4sI", 4, b"time", 0)
    words += struct.pack(">II", 0, 0)
    words += struct.pack(">II", 11, 1) + struct.pack(">I4s", 1, b"v\0\0\0") + struct.pack(">II", 1, 0)
    words += struct.pack(">II", 0, 0) + struct.pack(">III", 3, 4, 80)
    assert len(words) == 80
    (tmp_path / "a.nc").write_bytes(words + b"\1\2\3\4")  # a single variable of two bytes is not padded
    check_whole(tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        np.testing.assert_array_equal(file["v"][:], [0x0102, 0x0304])
    (tmp_path / "a.nc").write_bytes(words + b"\1\2\3")
    with pytest.raises(InputError, match="has 83 bytes, and its header says 84"):
        check_whole(tmp_path / "a.nc")
