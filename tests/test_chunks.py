"""Dask: laziness, graphs, names, metadata, and chunkings chosen to hurt. Random ones: test_properties.py."""

from __future__ import annotations

import itertools
import math
import pickle
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize
from dask.callbacks import Callback
from dask.core import flatten
from dask.utils import key_split
from hypothesis import given
from hypothesis import strategies as st
from strategies import make_scheme, noise, same_bits, with_gaps

from xgrad import chunks as module
from xgrad import compute, gradient
from xgrad.chunks import partials
from xgrad.halos import Partial, Piece
from xgrad.schemes import Scheme, scheme

KINDS = ("uniform", "jittered", "uniform ring", "jittered ring")


def scheme_of(kind: str, size: int, **options: Any) -> Scheme:
    """A scheme of one of the kinds."""
    x = 0.1 + np.arange(size) / 3
    if "jittered" in kind:
        x += np.random.default_rng(size).uniform(-0.4, 0.4, size) / 3
    return make_scheme(x, uniform="uniform" in kind, period=size / 3 if "ring" in kind else 0.0, **options)


def assert_equal_eager(f: np.ndarray, chunks: Any, wanted: list[Partial]) -> None:
    """Bitwise, with and without gaps, and chunked like the input."""
    lazy_input = da.from_array(f, chunks=chunks)
    for gaps in (True, False):
        expected = partials(f, wanted, gaps=gaps)
        lazy = partials(lazy_input, wanted, gaps=gaps)
        for array, eager in zip(lazy, expected, strict=True):
            assert array.chunks == lazy_input.chunks
            assert array.dtype == eager.dtype
        for found, eager in zip(dask.compute(*lazy, scheduler="synchronous"), expected, strict=True):
            assert same_bits(found, eager)


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunks", [1, 2, 3, (1, 1, 20, 1, 7), (29, 1), (1, 29), (0, 4, 0, 25, 1, 0), 30])
def test_chunks_along_the_axis(kind: str, descending: bool, chunks: Any) -> None:
    rng = np.random.default_rng(0)
    f = with_gaps(rng, noise(rng, (30, 3)), 0.1)
    for n, order in ((1, 2), (1, 8), (2, 4), (3, 2), (4, 8)):
        made = scheme_of(kind, 30, n=n, order=order)
        assert_equal_eager(f, (chunks, 2), [Partial(0, made, descending)])
        if "ring" in kind:
            repeated = scheme_of(kind, 29, n=n, order=order)
            assert_equal_eager(f, (chunks, 2), [Partial(0, repeated, descending, overlap=1)])


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int16", "float16", "longdouble", ">f8", "M8[us]"])
def test_several_axes_chunked(dtype: str) -> None:
    rng = np.random.default_rng(1)
    f = with_gaps(rng, noise(rng, (6, 7, 8), dtype), 0.1)
    wanted = [
        Partial(2, scheme_of("jittered ring", 8, order=4)),
        Partial(0, scheme_of("uniform", 6, n=2), descending=True),
        Partial(1, scheme_of("uniform ring", 6, order=2), overlap=1),
    ]
    for chunks in ((1, 1, 1), (2, 3, 4), (6, 1, 8), ((5, 1), (1, 6), (5, 0, 3))):
        assert_equal_eager(f, chunks, wanted)


def test_two_partials_on_one_axis() -> None:
    rng = np.random.default_rng(1)
    f = with_gaps(rng, noise(rng, (14, 8)), 0.1)
    wanted = [
        Partial(0, scheme_of("jittered", 14)),
        Partial(1, scheme_of("uniform ring", 8)),
        Partial(0, scheme_of("jittered", 14, n=2, order=4)),
    ]
    for together, partial in zip(partials(f, wanted, gaps=True), wanted, strict=True):
        assert same_bits(together, partials(f, [partial], gaps=True)[0])
    for chunks in (1, 3, (14, 2)):
        assert_equal_eager(f, chunks, wanted)


@pytest.mark.parametrize("shape", [(12, 0), (0, 12), (12, 3, 0)])
def test_empty_dimensions(shape: tuple[int, ...]) -> None:
    for dtype in ("float64", "float16", "int8"):
        for kind in KINDS:
            assert_equal_eager(np.zeros(shape, dtype), 4, [Partial(shape.index(12), scheme_of(kind, 12))])


def refuse(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("a block was computed")


@pytest.mark.parametrize("dtype", ["float64", "complex64", "int8", "M8[ns]"])
def test_nothing_is_computed(dtype: str) -> None:
    source = da.zeros((40, 40), chunks=(7, 9), dtype=dtype)
    poisoned = source.map_blocks(refuse, dtype=dtype, meta=np.empty((0, 0), dtype))
    wanted = [Partial(0, scheme_of("uniform", 40)), Partial(1, scheme_of("jittered ring", 40, order=4))]
    for gaps in (True, False):
        results = partials(poisoned, wanted, gaps=gaps)
        assert [r.shape for r in results] == [(40, 40)] * 2
        repr(results)
        with pytest.raises(AssertionError, match="a block was computed"):
            results[0].compute(scheduler="synchronous")


class Unreadable:
    """Looks like an array in a file; reading it is an error."""

    shape, dtype, ndim = (10**6, 10**6), np.dtype("float32"), 2

    def __getitem__(self, index: Any) -> None:
        refuse()


def test_nothing_is_read() -> None:
    source = da.from_array(Unreadable(), chunks=(10**5, 10**5), meta=np.empty((0, 0), "float32"))
    made = scheme_of("jittered", 10**6, order=4)
    first, second = partials(source, [Partial(0, made), Partial(1, made)], gaps=True)
    assert first.nbytes == second.nbytes == 4 * 10**12
    with pytest.raises(AssertionError, match="a block was computed"):
        first[:3, :3].compute(scheduler="synchronous")


def test_only_what_is_asked_for_is_computed() -> None:
    """A corner needs its chunk and the neighbours' slabs; the far chunks are culled."""
    seen: list[tuple[int, ...]] = []

    def watch(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        seen.append(block_info[0]["chunk-location"])
        return block

    source = da.ones((50, 50), chunks=10).map_blocks(watch, dtype=float, meta=np.empty((0, 0)))
    wanted = [Partial(0, scheme_of("uniform", 50, order=4)), Partial(1, scheme_of("jittered", 50, order=4))]
    d0, d1 = partials(source, wanted, gaps=True)
    dask.compute(d0[:5, :5], d1[:5, :5], scheduler="synchronous")
    assert sorted(seen) == [(0, 0), (0, 1), (1, 0)]  # each once


def graph_of(results: tuple[Any, ...]) -> dict[Any, Any]:
    """All tasks of some results."""
    return {key: task for result in results for key, task in result.__dask_graph__().items()}


def test_the_graph_is_thin() -> None:
    """One kernel task a chunk, one halo task, one pick for each result, and at the ends of each axis two."""
    source = da.zeros((80, 80, 80), chunks=20)
    wanted = [Partial(axis, scheme_of("uniform", 80, order=4)) for axis in range(3)]
    graph = graph_of(partials(source, wanted, gaps=True))
    assert len(graph) - len(source.__dask_graph__()) == 64 * (1 + 1 + 3) + 3 * 2 * 2
    assert len(graph_of(partials(source, wanted[:1], gaps=True))) == 64 * (1 + 1 + 1) + 2 * 2


def test_no_task_holds_or_needs_the_whole_array() -> None:
    """Tasks carry the positions of their own rows at most, and depend on their neighbours only."""
    size = 100_000
    source = da.zeros((size,), chunks=1000)
    rings = [scheme_of(kind, size, order=8, n=4 if "ring" in kind else 1) for kind in KINDS]
    for made in rings:
        (result,) = partials(source, [Partial(0, made)], gaps=True)
        own = {k: t for k, t in result.__dask_graph__().items() if str(k[0]).startswith("xgrad")}
        assert len(own) in (200, 204)  # 4 for the ends of an open axis
        for key, task in own.items():
            assert len(cloudpickle.dumps(task)) < 8 * 1000 * 2 + 5000  # a position in two parts
            assert len(task.dependencies) <= 3, key
        if made.points is None:
            assert sum(len(cloudpickle.dumps(task)) for task in own.values()) < 500_000


def test_halos_do_not_keep_blocks_alive() -> None:
    block = np.arange(1000.0).reshape(100, 10)
    (slab,) = module._export(block, [(0, Piece(0, 0, 2))]).values()
    assert slab.base is None
    assert slab.shape == (2, 10)


def test_names_are_deterministic() -> None:
    """The same call has the same name, in another process too; whatever differs gives another name."""
    source = da.zeros((40, 40), chunks=(7, 9))

    def name(
        source: Any = source, axis: int = 0, gaps: bool = True, dtype: Any = None, **options: Any
    ) -> str:
        how = {key: options.pop(key) for key in ("descending", "overlap") if key in options}
        size = 40 - how.get("overlap", 0)
        kind = options.pop("kind", "jittered")
        made = scheme_of(kind, size, **options)
        return partials(source, [Partial(axis, made, **how)], gaps=gaps, dtype=dtype)[0].name

    different = [
        name(),
        name(axis=1),
        name(gaps=False),
        name(dtype=np.dtype("float32")),
        name(n=2),
        name(order=4),
        name(edge_order=1),
        name(scale=60.0),
        name(descending=True),
        name(kind="uniform"),
        name(kind="uniform ring"),
        name(kind="jittered ring"),
        name(kind="jittered ring", overlap=1),
        name(da.ones((40, 40), chunks=(7, 9))),
        name(da.zeros((40, 40), chunks=(8, 9))),
    ]
    assert len(set(different)) == len(different)
    assert name() == different[0]
    assert name(kind="jittered ring", overlap=1) == different[12]
    made = scheme_of("jittered", 40, order=4)
    a, b = (
        partials(source, [Partial(0, made), Partial(1, made)], gaps=True),
        partials(source, [Partial(1, made), Partial(0, made)], gaps=True),
    )
    assert len({r.name for r in (*a, *b)}) == 4


NAMES = """
import dask.array as da, numpy as np
from strategies import make_scheme
from xgrad.chunks import partials
from xgrad.halos import Partial, Piece
x = np.arange(40.0) ** 1.5
for uniform in (True, False):
    made = make_scheme(x, uniform=uniform, order=4)
    print(partials(da.zeros((40, 3), chunks=7), [Partial(0, made)], gaps=True)[0].name)
"""


def test_names_are_the_same_in_every_process() -> None:
    code = f"import sys; sys.path[:] = {sys.path!r}\n{NAMES}"
    names = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    }
    assert len(names) == 1
    assert len(set(names.pop().split())) == 2


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_graphs_survive_pickling(pickler: Any) -> None:
    f = noise(np.random.default_rng(0), (20, 21))
    wanted = [Partial(0, scheme_of("uniform", 20)), Partial(1, scheme_of("jittered ring", 21, order=4))]
    results = partials(da.from_array(f, chunks=6), wanted, gaps=True)
    copies = pickler.loads(pickler.dumps(results))
    for copy, eager in zip(copies, partials(f, wanted, gaps=True), strict=True):
        assert same_bits(copy.compute(scheduler="synchronous"), eager)
    for key, task in graph_of(results).items():
        assert tokenize(pickler.loads(pickler.dumps(task))) is not None, key


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_optimizing_and_schedulers_change_nothing(scheduler: str) -> None:
    rng = np.random.default_rng(0)
    f = with_gaps(rng, noise(rng, (40, 41), "float32"), 0.1)
    wanted = [Partial(0, scheme_of("jittered", 40, order=4)), Partial(1, scheme_of("uniform ring", 41))]
    results = partials(da.from_array(f, chunks=(3, 11)), wanted, gaps=True)
    expected = partials(f, wanted, gaps=True)
    optimized = dask.optimize(*results)
    for found in (dask.compute(*results, scheduler=scheduler), dask.compute(*optimized, scheduler=scheduler)):
        assert all(same_bits(a, b) for a, b in zip(found, expected, strict=True))
    assert [r.chunks for r in optimized] == [r.chunks for r in results]
    sliced = results[0][5:33:3, ::-1]
    assert same_bits(sliced.compute(scheduler=scheduler), np.ascontiguousarray(expected[0][5:33:3, ::-1]))
    mixed = partials(results[0], [wanted[1]], gaps=True)[0]  # a derivative of a derivative
    eager = partials(expected[0], [wanted[1]], gaps=True)[0]
    assert same_bits(mixed.compute(scheduler=scheduler), eager)


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", ">f8", "complex64", "int8", "bool", "M8[ns]", "longdouble"]
)
def test_dtype_and_meta(dtype: str) -> None:
    result = partials(
        da.zeros((20, 3), chunks=7, dtype=dtype), [Partial(0, scheme_of("uniform", 20))], gaps=True
    )[0]
    expected = partials(np.zeros((20, 3), dtype), [Partial(0, scheme_of("uniform", 20))], gaps=True)[0]
    assert result.dtype == result._meta.dtype == expected.dtype
    assert type(result._meta) is np.ndarray
    assert result._meta.shape == (0, 0)
    assert result.compute(scheduler="synchronous").dtype == expected.dtype


@pytest.mark.parametrize("dtype", ["float32", "int16", "complex128", "M8[ns]"])
def test_masked_blocks(dtype: str) -> None:
    rng = np.random.default_rng(0)
    f = np.ma.array(noise(rng, (30, 4), dtype), mask=rng.uniform(size=(30, 4)) < 0.15)
    made = scheme_of("jittered", 30, order=4)
    expected = partials(f, [Partial(0, made)], gaps=True)[0]
    lazy = partials(da.from_array(f, chunks=(4, 3)), [Partial(0, made)], gaps=True)[0]
    assert type(lazy._meta) is np.ndarray
    found = lazy.compute(scheduler="synchronous")
    assert type(found) is np.ndarray
    assert same_bits(found, expected)
    assert np.isnan(found[f.mask]).all()


def test_a_block_may_be_masked_where_the_meta_is_not() -> None:
    """Files give masked blocks without saying so."""
    mask = np.arange(30) % 7 == 3
    plain = np.where(mask, np.nan, np.arange(30.0) ** 2)
    made = scheme_of("uniform", 30)
    source = da.from_array(np.arange(30.0) ** 2, chunks=4).map_blocks(
        lambda block, block_info=None: np.ma.array(
            block, mask=mask[slice(*block_info[0]["array-location"][0])]
        ),
        dtype=float,
        meta=np.empty(0),
    )
    found = partials(source, [Partial(0, made)], gaps=True)[0].compute(scheduler="synchronous")
    assert same_bits(found, partials(plain, [Partial(0, made)], gaps=True)[0])


def test_integers_fetch_no_wide_halo() -> None:
    """They cannot be missing, so only centred stencils cross chunks: order 8 reads 4 rows and not 8."""
    made = scheme_of("uniform", 60, order=8)

    def halo(dtype: str) -> int:
        graph = partials(da.zeros(60, chunks=20, dtype=dtype), [Partial(0, made)], gaps=True)[
            0
        ].__dask_graph__()
        tasks = [task for key, task in graph.items() if str(key[0]).startswith("xgrad-halo")]
        cuts = [cut for task in tasks if task.func is module._export for cut in task.args[1]]
        return max(piece.stop - piece.first for _, piece in cuts)

    assert halo("int16") == 4
    assert halo("float32") == 8


def test_input_is_not_changed() -> None:
    f = noise(np.random.default_rng(0), (20, 6))
    f[4] = np.nan
    before = f.copy()
    wanted = [Partial(0, scheme_of("jittered", 20)), Partial(1, scheme_of("uniform", 6))]
    dask.compute(*partials(da.from_array(f, chunks=3, name=False), wanted, gaps=True), scheduler="threads")
    assert np.array_equal(f, before, equal_nan=True)


def test_is_chunked_needs_no_dask() -> None:
    assert module.is_chunked(da.zeros(3))
    assert not module.is_chunked(np.zeros(3))
    code = "import xgrad.chunks as c, numpy as np; c.is_chunked(np.zeros(3)); print('dask' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == "False"


def test_against_dask_overlap() -> None:
    """The same numbers as Dask's own halo exchange around a plain central difference."""
    f = noise(np.random.default_rng(0), (64, 48))
    source = da.from_array(f, chunks=(9, 48))
    made = make_scheme(np.arange(64.0), uniform=True)
    ours = partials(source, [Partial(0, made)], gaps=False)[0][1:-1]
    theirs = da.map_overlap(
        lambda block: 0.5 * (np.roll(block, -1, 0) - np.roll(block, 1, 0)),
        source,
        depth={0: 1},
        boundary="none",
    )[1:-1]
    a, b = dask.compute(ours, theirs, scheduler="synchronous")
    assert same_bits(a, b)


def test_every_pair_of_uneven_chunks() -> None:
    f = noise(np.random.default_rng(0), (12,))
    f[5] = np.nan
    made = scheme_of("jittered ring", 12, order=4)
    expected = partials(f, [Partial(0, made)], gaps=True)[0]
    for a, b in itertools.combinations(range(13), 2):
        source = da.from_array(f, chunks=((a, b - a, 12 - b),))
        found = partials(source, [Partial(0, made)], gaps=True)[0].compute(scheduler="synchronous")
        assert same_bits(found, expected)


def test_a_block_without_a_mask_sees_the_mask_of_its_neighbour() -> None:
    """Integers cannot be NaN, but what a masked neighbour lends can."""
    values = np.ma.array(np.arange(12), mask=np.arange(12) == 6)
    blocks = [da.from_array(values[6:], chunks=-1, asarray=False), da.from_array(np.arange(6), chunks=-1)]
    line = Partial(0, scheme(np.vstack([np.arange(12.0), np.zeros(12)]), step=1.0))
    lazy = da.concatenate(blocks[::-1])
    lazy = da.Array(lazy.dask, lazy.name, lazy.chunks, meta=np.ma.array([], dtype=int))
    (found,) = partials(lazy, [line], gaps=True)
    expected = np.where(np.arange(12) == 6, np.nan, 1.0)
    np.testing.assert_array_equal(found.compute(scheduler="sync"), expected)


@pytest.mark.parametrize("unit", ["D", "10s", "ms"])
def test_masked_times_of_any_unit(unit: str) -> None:
    seconds = {"D": 86400, "10s": 10, "ms": 1e-3}[unit]
    f = np.ma.array(np.arange(8).astype(f"m8[{unit}]"), mask=np.arange(8) == 3)
    line = Partial(0, scheme(np.vstack([np.arange(8.0), np.zeros(8)]), step=1.0))
    (found,) = partials(f, [line], gaps=True)
    np.testing.assert_allclose(found, np.where(np.arange(8) == 3, np.nan, seconds), rtol=1e-12)


@pytest.mark.parametrize("count", [1, 3])
def test_results_that_are_optimized_one_by_one_share_their_tasks(count: int) -> None:
    """Each chunk is computed once, whether results are optimized, persisted or combined apart or together."""
    f = noise(np.random.default_rng(0), (12, 12, 12))
    wanted = [Partial(axis, scheme_of("uniform", 12)) for axis in range(count)]
    results = partials(da.from_array(f, chunks=4), wanted, gaps=True)
    apart = [key for result in results for key in dask.optimize(result)[0].__dask_graph__()]
    kernels = [key for key in apart if key_split(key) == "xgrad-partials"]
    assert len(set(kernels)) == 27
    together = dask.optimize(*results)
    assert set(apart) == {key for result in together for key in result.__dask_graph__()}


def test_the_dashboard_tells_the_tasks_apart() -> None:
    """Dask names bars and progress after the prefixes of keys."""
    source = da.zeros((12, 12), chunks=4)
    wanted = [Partial(0, scheme_of("uniform", 12)), Partial(1, scheme_of("uniform", 12))]
    results = dask.optimize(*partials(source, wanted, gaps=True))
    names = {key_split(key) for result in results for key in result.__dask_graph__()}
    assert {name for name in names if name.startswith("xgrad")} == {
        "xgrad-halo",
        "xgrad-partials",
        "xgrad-pick",
    }


def most_alive(results: Iterable[Any]) -> float:
    """Compute the blocks of results, dropping each, and return the most bytes that Dask held at a time."""
    most = 0.0

    def watch(key: Any, result: Any, graph: Any, state: Any, worker: Any) -> None:
        nonlocal most
        held = sum(getattr(v, "nbytes", 0) for v in flatten(state["cache"].values(), (list, tuple)))
        most = max(most, held)

    drop = [r.map_blocks(lambda block: np.zeros((1,) * block.ndim, "i1"), dtype="i1") for r in results]
    with Callback(posttask=watch):
        dask.compute(*drop, scheduler="synchronous")
    return most


def test_dask_goes_from_chunk_to_neighbouring_chunk() -> None:
    """Little is held at a time: a layer of chunks and its results, and not most of the array."""
    source = da.ones((40, 40, 40), chunks=8) * 2
    wanted = [Partial(axis, scheme_of("uniform", 40)) for axis in range(3)]
    stock = most_alive(da.gradient(source))
    assert most_alive(partials(source, wanted, gaps=False)) <= 0.6 * stock


MB = 2**20


@pytest.mark.parametrize(
    ("chunks", "itemsize", "most", "expected"),
    [
        pytest.param([(1,) * 60], 8, 59, (60,), id="a small array is one chunk"),
        pytest.param([(1,) * 200_000, (100,), (200,)], 4, 100_000, (256, 100, 200), id="the axis of many"),
        pytest.param([(10,) * 800, (10,) * 400], 8, 100_000, (2560, 1280), id="both in turn"),
        pytest.param([(MB,) * 200_000], 8, 100_000, (2 * MB,), id="just not so many"),
        pytest.param([(MB,) * 2_000_000], 8, 100_000, None, id="chunks would be too large"),
        pytest.param([(1, 3) * 50_001], 8, 100_000, (200_004,), id="uneven ones"),
        pytest.param([(0,), (1,) * 60], 8, 59, (1, 1), id="nothing"),
    ],
)
def test_larger_chunks(
    chunks: list[tuple[int, ...]], itemsize: int, most: int, expected: tuple[int, ...] | None
) -> None:
    assert module.larger(chunks, itemsize, most) == expected


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 40)), min_size=1, max_size=3),
    st.sampled_from([1, 8, 10**5]),
    st.integers(1, 1000),
)
def test_larger_chunks_are_as_few_as_asked_and_no_smaller(
    axes: list[tuple[int, int]], itemsize: int, most: int
) -> None:
    chunks = [(size,) * count for count, size in axes]
    found = module.larger(chunks, itemsize, most)
    if found is None:
        assert math.prod(count * size for count, size in axes) * itemsize > 64 * MB
    else:
        counts = [-(-count * size // new) for (count, size), new in zip(axes, found, strict=True)]
        assert math.prod(counts) <= most
        assert all(size <= new <= count * size for (count, size), new in zip(axes, found, strict=True))


def test_very_many_chunks_are_warned_of_with_sizes_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    source = da.zeros((60, 4), chunks=(1, 4))
    gradient(source, axis=0)  # warnings are errors here
    monkeypatch.setattr(module, "_MANY_CHUNKS", 59)
    with pytest.warns(da.PerformanceWarning, match=r"60 chunks.*; chunks=\{0: 60\} would make 1 of them$"):
        gradient(source, axis=0)
    array = xr.DataArray(source, {"x": np.arange(60.0)}, dims=("x", "y"), name="f")
    with pytest.warns(da.PerformanceWarning, match=r"\{'x': 60\} would make 1 .* --chunks x:60, or --memory"):
        compute(array, "x")
    monkeypatch.setattr(module, "_MOST", 60)
    with pytest.warns(da.PerformanceWarning, match="60 chunks.*; 0 MiB a chunk would be too many still"):
        compute(array, "x")


@pytest.mark.parametrize("gaps", [True, False])
@pytest.mark.parametrize("order", [2, 6])
def test_against_dask_overlap_with_the_same_kernel(order: int, gaps: bool) -> None:
    """Dask's halo exchange, fed with our eager derivative of each enlarged block, gives the same bits."""
    rng = np.random.default_rng(order)
    f = with_gaps(rng, noise(rng, (40, 36)), 0.1 if gaps else 0.0)
    source = da.from_array(f, chunks=(14, 12))
    for axis, size in enumerate(f.shape):
        made = make_scheme(np.arange(size) / 4, uniform=True, order=order)  # steps that are exact in binary
        (ours,) = partials(source, [Partial(axis, made)], gaps=gaps)

        def alone(block: np.ndarray, axis: int = axis) -> np.ndarray:
            own = make_scheme(np.arange(block.shape[axis]) / 4, uniform=True, order=order)
            result: np.ndarray = partials(block, [Partial(axis, own)], gaps=gaps)[0]
            return result

        theirs = da.map_overlap(alone, source, depth={axis: order}, boundary="none", meta=np.empty((0, 0)))
        assert theirs.chunks == ours.chunks
        a, b = dask.compute(ours, theirs, scheduler="synchronous")
        assert same_bits(a, b)
