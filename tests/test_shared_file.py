"""Files that HDF5 lays out and threads fill: places, ways to the disk, and what happens when one fails."""

import errno
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xgrad.storage.raw import shared, writing
from xgrad.storage.raw.writing import raw_targets

SHAPE = (6, 300, 901)  # of chunks with a megabyte and no whole number of pages


def make(path, shape=SHAPE, chunks=(1, *SHAPE[1:]), **options):
    """Make a file whose data are still to come."""
    with netCDF4.Dataset(path, "w") as file:
        dims = [f"d{axis}" for axis in range(len(shape))]
        for dim, size in zip(dims, shape, strict=True):
            file.createDimension(dim, size)
        for name in ("v", "w"):
            file.createVariable(name, "f4", dims, chunksizes=chunks, fill_value=np.nan, **options)
    return path


def field(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype("f4")


def whole(shape):
    return tuple(slice(0, size) for size in shape)


def write(path, values, threads=3):
    """Write blocks from several threads, to two variables."""
    blocks = [(slice(k, k + 1), *whole(values.shape[1:])) for k in range(len(values))]
    with raw_targets(path, {"v": values, "w": values}) as targets, ThreadPoolExecutor(threads) as pool:
        jobs = [
            pool.submit(targets[name].__setitem__, block, values[block] * (1 if name == "v" else -1))
            for block, name in itertools.product(blocks, "vw")
        ]
        for job in jobs:
            job.result()


def assert_holds(path, values):
    with xr.open_dataset(path, engine="netcdf4") as found:
        np.testing.assert_array_equal(found["v"], values)
        np.testing.assert_array_equal(found["w"], -values)


@pytest.fixture
def written(monkeypatch):
    """What is written past the cache; any file system does for it."""
    found, usual, direct = [], shared._write, []

    def opened(path):
        direct.append(os.open(path, os.O_WRONLY))
        return direct[-1]

    def watched(file, data, at):
        if file in direct:
            found.append((at, len(data), np.frombuffer(data, "u1").ctypes.data))
        usual(file, data, at)

    monkeypatch.setattr(shared, "_opened_directly", opened)
    monkeypatch.setattr(shared, "_write", watched)
    return found


def test_large_chunks_go_past_the_cache_in_whole_pages(tmp_path, written):
    path, values = make(tmp_path / "a.nc"), field()
    write(path, values)
    size = values[0].nbytes // shared.PAGE * shared.PAGE
    assert size < values[0].nbytes
    assert [length for _, length, _ in written] == [size] * 12
    assert all(at % shared.PAGE == address % shared.PAGE == 0 for at, _, address in written)
    with h5py.File(path) as file:
        stored = [file[name].id.get_chunk_info(k) for name in "vw" for k in range(6)]
        assert sorted(each.byte_offset for each in stored) == sorted(at for at, _, _ in written)
    assert_holds(path, values)


def test_chunks_larger_than_a_buffer_go_in_parts(tmp_path, written, monkeypatch):
    monkeypatch.setattr(shared, "_BUFFER", 1 << 18)
    path, values = make(tmp_path / "a.nc"), field()
    write(path, values)
    assert len(written) == 12 * -(-values[0].nbytes // (1 << 18))
    assert_holds(path, values)


def test_small_and_compressed_chunks_too(tmp_path, written):
    small, packed = (2, 50, 60), make(tmp_path / "b.nc", zlib=True, complevel=1)
    write(make(tmp_path / "a.nc", small, small), field(small))
    assert not written
    assert_holds(tmp_path / "a.nc", field(small))
    write(packed, field())
    with h5py.File(packed) as file:
        sizes = [file[name].id.get_chunk_info(k).size for name in "vw" for k in range(6)]
    assert sorted(size // shared.PAGE * shared.PAGE for size in sizes if size >= 1 << 20) == sorted(
        n for _, n, _ in written
    )
    assert_holds(packed, field())


def test_chunks_within_pages_of_others_do_not(tmp_path, written):
    path, values = make(tmp_path / "a.nc"), field()
    with netCDF4.Dataset(path, "r+") as file:  # which begins chunks anywhere
        file["v"][:] = file["w"][:] = 0
    with h5py.File(path) as file:
        assert any(file["v"].id.get_chunk_info(k).byte_offset % shared.PAGE for k in range(6))
    write(path, values)
    assert all(at % shared.PAGE == 0 for at, _, _ in written)
    assert_holds(path, values)


def test_real_disk_of_this_machine(tmp_path):
    path, values = make(tmp_path / "a.nc"), field()
    write(path, values)
    assert_holds(path, values)


def test_no_way_past_the_cache(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_DIRECT", raising=False)
    path, values = make(tmp_path / "a.nc"), field()
    assert shared._opened_directly(path) is None
    write(path, values)
    assert_holds(path, values)


def test_refused_by_the_file_system(tmp_path, monkeypatch):
    """As by tmpfs, of old."""
    usual = os.open

    def refuse(path, flags, *more, **options):
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return usual(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refuse)
    path, values = make(tmp_path / "a.nc"), field()
    assert shared._opened_directly(path) is None
    write(path, values)
    assert_holds(path, values)


def test_disk_that_wants_it_otherwise(tmp_path, written, monkeypatch):
    usual, refused = os.pwrite, []

    def refuse(file, data, at):
        if written and (at, len(data)) in [each[:2] for each in written] and (at, len(data)) not in refused:
            refused.append((at, len(data)))
            raise OSError(errno.EINVAL, "Invalid argument")
        return usual(file, data, at)

    monkeypatch.setattr(os, "pwrite", refuse)
    path, values = make(tmp_path / "a.nc"), field()
    write(path, values)
    assert len(refused) == 12
    assert_holds(path, values)


def test_writes_in_parts(tmp_path, monkeypatch):
    usual = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: usual(file, data[: 1 << 16], at))
    monkeypatch.setattr(shared, "_opened_directly", lambda path: None)
    path, values = make(tmp_path / "a.nc"), field()
    write(path, values)
    assert_holds(path, values)


@pytest.mark.parametrize("size", [4096, 1 << 20])
def test_full_disk(tmp_path, written, monkeypatch, size):
    """Both that a chunk does not fit, and that what HDF5 itself writes does not."""
    usual, before = os.pwrite, descriptors()

    def refuse(file, data, at):
        if at > 3_000_000 or len(data) < size == 4096:
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(file, data, at)

    path = make(tmp_path / "a.nc")
    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(OSError, match="No space left"):
        write(path, field())
    assert descriptors() == before


def test_full_disk_at_the_very_end(tmp_path, written, monkeypatch):
    usual, last = os.pwrite, []

    def refuse(file, data, at):
        if last:
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(file, data, at)

    monkeypatch.setattr(os, "pwrite", refuse)
    targets = raw_targets(make(tmp_path / "a.nc"), {"v": field()})
    targets.__enter__()["v"][whole(SHAPE)] = field()
    last.append(True)
    with pytest.raises(OSError, match="No space left"):
        targets.__exit__(None, None, None)


def test_full_disk_is_told_however_late(tmp_path, written, monkeypatch):
    """Only what is still on its way to the disk when HDF5 has closed its file does not fit."""
    usual = shared._write

    def refuse(file, data, at):
        if len(data) >= 1 << 20:
            time.sleep(0.3)
            raise OSError(errno.ENOSPC, "No space left on device")
        usual(file, data, at)

    monkeypatch.setattr(shared, "_write", refuse)
    targets = raw_targets(make(tmp_path / "a.nc"), {"v": field()})
    targets.__enter__()["v"][slice(0, 1), *whole(SHAPE[1:])] = field()[:1]
    with pytest.raises(OSError, match="No space left"):
        targets.__exit__(None, None, None)


def test_signal_while_hdf5_writes(tmp_path, monkeypatch):
    usual, before = os.pwrite, descriptors()

    def interrupted(file, data, at):
        if len(data) < 1 << 20:
            raise KeyboardInterrupt
        return usual(file, data, at)

    path = make(tmp_path / "a.nc")
    monkeypatch.setattr(os, "pwrite", interrupted)
    open_files = h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)
    with pytest.raises(KeyboardInterrupt):
        write(path, field())
    assert descriptors() == before
    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) == open_files


def test_file_that_cannot_grow(tmp_path, monkeypatch):
    path = make(tmp_path / "a.nc")

    def refuse(file, size):
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(os, "ftruncate", refuse)
    with pytest.raises(OSError, match="File too large"):
        write(path, field())


def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_block_may_change_once_it_is_handed_over(tmp_path, written):
    path, values = make(tmp_path / "a.nc"), field()
    with raw_targets(path, {"v": values}) as targets:
        for k in range(6):
            block = values[k : k + 1].copy()
            targets["v"][slice(k, k + 1), *whole(SHAPE[1:])] = block
            block[...] = np.inf
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["v"], values)


@pytest.fixture
def late(written, monkeypatch):
    """The first chunk is slow on its way to the disk."""
    usual, first = shared._write, [0.2]

    def write_late(file, data, at):
        if first and len(data) >= 1 << 20:
            time.sleep(first.pop())
        usual(file, data, at)

    monkeypatch.setattr(shared, "_write", write_late)


def test_what_is_written_again_is_the_last(tmp_path, late):
    path, values = make(tmp_path / "a.nc"), field()
    with raw_targets(path, {"v": values}) as targets:
        targets["v"][slice(0, 1), *whole(SHAPE[1:])] = -values[:1]
        targets["v"][whole(SHAPE)] = values
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["v"], values)


def test_hdf5_reads_what_was_written(tmp_path, late):
    path, values = make(tmp_path / "a.nc"), field()
    with raw_targets(path, {"v": values}) as targets:
        targets["v"][slice(0, 1), *whole(SHAPE[1:])] = values[:1]
        targets["v"][slice(0, 1), slice(0, 10), slice(0, 901)] = values[1:2, :10]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["v"][0], np.r_[values[1, :10], values[0, 10:]])


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 60), st.integers(1, 60)),
    chunk=st.tuples(st.integers(1, 3), st.integers(1, 60), st.integers(1, 60)),
    options=st.sampled_from([{}, {"zlib": True, "complevel": 1}, {"fletcher32": True}]),
)
@settings(max_examples=40)
def test_any_chunks(tmp_path_factory, shape, chunk, options):
    chunk = tuple(map(min, chunk, shape))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "ALIGNED", shared.PAGE)
        patch.setattr(writing, "ALIGNED", shared.PAGE)
        patch.setattr(shared, "_BUFFER", 2 * shared.PAGE)
        path, values = make(tmp_path_factory.mktemp("any") / "a.nc", shape, chunk, **options), field(shape)
        write(path, values, threads=1)
        assert_holds(path, values)
