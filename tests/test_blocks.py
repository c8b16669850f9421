"""One block in memory: threads, preallocated results, and tables kept for a part of the rows only."""

from __future__ import annotations

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import dask.array as da
import numpy as np
import pytest
from strategies import make_scheme, noise, same_bits, slabs_of, with_gaps

from xgrad import blocks
from xgrad.chunks import Component, partials
from xgrad.halos import Partial
from xgrad.kernels import compiled

SHAPE = (33, 20, 17)


def wanted_of(uniform: bool) -> list[Partial]:
    """A descending open axis, a ring with its first point repeated, and an open axis."""
    x = [0.1 + np.arange(size) / 3 for size in SHAPE]
    rings = make_scheme(x[1][:-1], uniform=uniform, period=19 / 3, order=4)
    return [
        Partial(0, make_scheme(x[0], uniform=uniform, order=6), descending=True),
        Partial(1, rings, overlap=1),
        Partial(2, make_scheme(x[2], uniform=uniform, n=2)),
    ]


def threads_of(block: np.ndarray, wanted: list[Partial]) -> tuple[tuple[np.ndarray, ...], set[str]]:
    """Results of slabs of a few rows with four threads, and the threads that ran kernels."""
    names: set[str] = set()
    work = blocks._work
    together = threading.Barrier(4, timeout=60)

    def seen(*arguments: Any) -> None:
        names.add(threading.current_thread().name)
        together.wait()  # nobody begins before all four are there
        work(*arguments)

    with slabs_of(2**12), mock.patch.object(compiled, "THREADS", 4), mock.patch.object(blocks, "_work", seen):
        return partials(block, wanted, gaps=True), names


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_change_nothing(dtype: str, uniform: bool) -> None:
    rng = np.random.default_rng(0)
    f = with_gaps(rng, noise(rng, SHAPE, dtype), 0.2)
    wanted = wanted_of(uniform)
    expected = partials(f, wanted, gaps=True)
    results, names = threads_of(f, wanted)
    assert len(names) == 4
    for ours, plain in zip(results, expected, strict=True):
        assert same_bits(ours, plain)


@pytest.mark.parametrize("dtype", ["int16", ">f8", "complex128", "M8[ms]"])
def test_threads_serve_what_is_converted_slab_by_slab(dtype: str) -> None:
    rng = np.random.default_rng(1)
    f = with_gaps(rng, noise(rng, SHAPE, dtype), 0.2)
    expected = partials(f, wanted_of(True), gaps=True)
    with slabs_of(2**12), mock.patch.object(compiled, "THREADS", 4):
        results = partials(f, wanted_of(True), gaps=True)
    for ours, plain in zip(results, expected, strict=True):
        assert same_bits(ours, plain)


def test_other_threads_than_the_main_one_get_no_helpers() -> None:
    """Somebody else divides the work there: Dask's workers, say."""
    f = np.random.default_rng(2).standard_normal(SHAPE)
    pools = mock.Mock(side_effect=AssertionError)
    with (
        ThreadPoolExecutor(1) as pool,
        slabs_of(2**12),
        mock.patch.object(compiled, "THREADS", 4),
        mock.patch.object(blocks, "ThreadPoolExecutor", pools),
    ):
        pool.submit(partials, f, wanted_of(True), gaps=True).result()
        with pytest.raises(AssertionError):
            partials(f, wanted_of(True), gaps=True)
    pools.assert_called_once()


def test_an_error_in_a_thread_is_raised() -> None:
    f = np.zeros(SHAPE)
    failing = mock.patch.object(compiled, "holes", side_effect=MemoryError("none left"))
    threads = mock.patch.object(compiled, "THREADS", 4)
    with slabs_of(2**12), threads, failing, pytest.raises(MemoryError, match="none left"):
        partials(f, wanted_of(True), gaps=True)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("rows", [1, 3, 10])
def test_run_weights_of_a_part_of_the_rows_at_a_time(axis: int, rows: int) -> None:
    rng = np.random.default_rng(3)
    f = with_gaps(rng, noise(rng, (30, 31)), 0.3)
    size = f.shape[axis]
    made = make_scheme(np.cumsum(rng.uniform(0.5, 1.5, size)), order=4)
    (expected,) = partials(f, [Partial(axis, made)], gaps=True)
    one_row = 8 * 5 * len(made.rows(0, size, 0, size).gaps.variants)
    with mock.patch.object(compiled, "_TABLE_BYTES", rows * one_row), slabs_of(2**10):
        (result,) = partials(f, [Partial(axis, made)], gaps=True)
    assert same_bits(result, expected)


def test_results_may_be_written_where_the_caller_wants_them() -> None:
    f = np.random.default_rng(4).standard_normal((8, 9))
    made = make_scheme(np.arange(8.0), uniform=True)
    (expected,) = partials(f, [Partial(0, made)], gaps=False)
    section = blocks.Section(0, False, 8, made.rows(0, 8, 0, 8))
    out = np.full((9, 8), np.nan).T
    (result,) = blocks.run(f, [section], [([], [])], dtype=f.dtype, gaps=False, outs=[out])
    assert result is out
    assert same_bits(np.ascontiguousarray(out), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", ">f8", "complex64"])
@pytest.mark.parametrize("missing", [False, True])
def test_memory_is_that_of_the_results_and_a_few_slabs(dtype: str, missing: bool) -> None:
    """Whatever the dtype and the layout, nothing as large as the data is made beside the results."""
    f = np.ones((1500, 1000), dtype)
    if missing and f.dtype.kind in "fc":
        f[100:200, 300:400] = np.nan
    wanted = [Partial(0, make_scheme(np.arange(1500.0))), Partial(1, make_scheme(np.arange(1000.0) ** 1.1))]
    with mock.patch.object(compiled, "THREADS", 2), slabs_of(2**18):
        partials(f, wanted, gaps=True)
        for array in (f, np.asfortranarray(f)):
            tracemalloc.start()
            results = partials(array, wanted, gaps=True)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            own = sum(result.nbytes for result in results)
            assert (
                own <= peak < own + 2 * 8 * 2**18
            )  # for each thread a slab, its results, and what converts it


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
def test_sums_without_factors_are_the_derivatives_themselves(dtype: str, lazy: bool) -> None:
    """Also beside sums with factors, and where one derivative is in two of them."""
    rng = np.random.default_rng(1)
    f = with_gaps(rng, noise(rng, SHAPE, dtype), 0.2)
    wanted = wanted_of(True)
    plain = partials(f, wanted, gaps=True)
    wide = partials(f, wanted, gaps=True, dtype=blocks.working_dtype(f, f.dtype))
    factor = rng.standard_normal((1, SHAPE[1], 1))
    terms = [((0, None),), ((1, factor),), ((2, None),), ((2, factor), (1, None))]
    expected = [plain[0], wide[1] * factor, plain[2], wide[2] * factor + wide[1]]
    data = da.from_array(f, chunks=(10, 7, 17)) if lazy else f
    with slabs_of(2**12):
        found = partials(data, wanted, gaps=True, components=[Component(each) for each in terms])
        for ours, right in zip(found, expected, strict=True):
            assert same_bits(np.asarray(ours), right.astype(f.dtype))


def test_derivatives_that_are_results_are_written_once() -> None:
    """They need no window of a slab that is then copied: only the other one has it."""
    f = np.random.default_rng(2).standard_normal(SHAPE)
    wanted = wanted_of(True)[:2]
    components = [Component(((0, None),)), Component(((1, np.ones((1, SHAPE[1], 1))),))]
    written: list[Any] = []
    weighted = compiled.Weighted
    with mock.patch.object(
        compiled, "Weighted", lambda out, terms: written.append(out) or weighted(out, terms)
    ):
        _, second = partials(f, wanted, gaps=True, components=components)
    assert len(written) == 1
    assert np.shares_memory(written[0], second)
