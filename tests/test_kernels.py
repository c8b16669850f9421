"""The kernels: exact zeros, dtypes, layouts, compiled against portable, and the machine code itself."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import array_api_strict
import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from strategies import Line, differentiate, make_scheme, noise, portable_only, same_bits, slabs_of, with_gaps

from xgrad import kernels
from xgrad.chunks import partials
from xgrad.halos import Partial
from xgrad.schemes import DERIVATIVES, ORDERS, Scheme

KINDS = ("uniform", "jittered", "uniform ring", "jittered ring")
ALL = [(n, p) for n in DERIVATIVES for p in ORDERS]
EPS = np.finfo(float).eps


def scheme_of(kind: str, size: int, **options: Any) -> Scheme:
    """A scheme of one of the kinds; nothing about it is exactly representable."""
    x = 0.1 + np.arange(size) / 3
    if "jittered" in kind:
        x += np.random.default_rng(size).uniform(-0.4, 0.4, size) / 3
    return make_scheme(x, uniform="uniform" in kind, period=size / 3 if "ring" in kind else 0.0, **options)


def positive_zeros(result: np.ndarray) -> bool:
    """Whether all of an array, or of its valid part, is 0.0 and not -0.0."""
    parts = [result.real, result.imag] if result.dtype.kind == "c" else [result]
    return all(not part.any() and not np.signbit(part).any() for part in parts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "p"), ALL)
@pytest.mark.parametrize("value", [273.15, 101325.1, 5e5 / 9, -1e-300])
def test_a_constant_has_derivative_0(kind: str, n: int, p: int, value: float) -> None:
    made = scheme_of(kind, 40, n=n, order=p)
    gap = np.zeros((40, 3), bool)
    gap[[0, 7, 8, 20, 33], [0, 1, 1, 2, 1]] = True
    for dtype in ("float32", "float64", "complex64", "complex128"):
        f = np.full((40, 3), value * (1 - 2j) if dtype.startswith("c") else value).astype(dtype)
        assert positive_zeros(differentiate(f, made, gaps=False))
        assert positive_zeros(differentiate(f, made))
        f[gap] = np.nan
        result = differentiate(f, made)
        assert np.array_equal(np.isnan(result), gap)
        assert positive_zeros(result[~gap])


@pytest.mark.parametrize("dtype", ["float16", "longdouble", "clongdouble", "int8", "uint64", "bool"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_of_any_dtype_has_derivative_0(kind: str, dtype: str) -> None:
    for n, p in ALL:
        result = differentiate(np.full((3, 20), 1, dtype), scheme_of(kind, 20, n=n, order=p), axis=1)
        assert positive_zeros(result)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "p"), ALL)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int16"])
def test_compiled_is_portable(kind: str, n: int, p: int, dtype: str) -> None:
    """Bitwise, so the portable kernel can be the oracle; edges of another order, gaps, inf as data."""
    rng = np.random.default_rng([n, p])
    f = noise(rng, (30, 7), dtype)
    gappy = with_gaps(rng, f, 0.2)
    if f.dtype.kind in "fc":
        gappy[3, 0], gappy[12, 1] = np.inf, -np.inf
    for edge_order in (None, 1, 8 if "ring" not in kind else 3):
        made = scheme_of(kind, 30, n=n, order=p, edge_order=edge_order)
        for values, gaps, descending in ((f, False, False), (gappy, False, True), (gappy, True, False)):
            fast = differentiate(values, made, gaps=gaps, descending=descending)
            with portable_only():
                slow = differentiate(values, made, gaps=gaps, descending=descending)
            assert same_bits(fast, slow)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "uint8"])
def test_array_api_strict(kind: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    f = with_gaps(rng, noise(rng, (25, 4), dtype), 0.2)
    strict = array_api_strict.asarray(f)
    for n, p in ((1, 2), (1, 4), (2, 6), (3, 8), (4, 2)):
        made = scheme_of(kind, 25, n=n, order=p)
        for gaps, descending in ((True, False), (False, True)):
            found = differentiate(strict, made, gaps=gaps, descending=descending)
            assert type(found) is type(strict)
            expected = differentiate(f, made, gaps=gaps, descending=descending)
            assert same_bits(np.asarray(found), expected)


@pytest.mark.parametrize("value", [complex(np.inf, 1.0), complex(1.0, np.inf), complex(1.0, np.nan)])
def test_parts_of_complex_numbers_do_not_mix(value: complex) -> None:
    """With skipna=False, what is not finite in one part stays there.

    The Array API has no way to join parts but multiplying by 1j, which makes both non-finite.
    """
    f = np.arange(12) * (1 + 2j)
    f[5] = value
    made = scheme_of("uniform", 12)
    expected = differentiate(f, made, gaps=False)
    assert same_bits(expected.real, differentiate(f.real.copy(), made, gaps=False))
    assert same_bits(expected.imag, differentiate(f.imag.copy(), made, gaps=False))
    found = np.asarray(differentiate(array_api_strict.asarray(f), made, gaps=False))
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(found), finite)
    assert same_bits(found[finite], expected[finite])


@pytest.mark.parametrize("kind", KINDS)
def test_a_complex_number_is_missing_where_one_part_is(kind: str) -> None:
    f = (np.arange(20.0) ** 2 + 1j * np.arange(20.0)).astype("complex128")
    half = f.copy()
    f[[4, 11]] = np.nan
    half[4], half[11] = complex(3.0, np.nan), complex(np.nan, 3.0)
    made = scheme_of(kind, 20, order=4)
    assert same_bits(differentiate(half, made), differentiate(f, made))
    assert np.array_equal(np.isnan(differentiate(half, made)), np.isnan(f))


def test_float16_is_rounded_once_from_float64() -> None:
    rng = np.random.default_rng(5)
    f = with_gaps(rng, noise(rng, (40, 3), np.float16), 0.1)
    for n, p in ALL:
        made = scheme_of("jittered", 40, n=n, order=p)
        with np.errstate(over="ignore"):
            expected = differentiate(f.astype(np.float64), made).astype(np.float16)
        assert same_bits(differentiate(f, made), expected)


def test_longdouble_is_kept() -> None:
    """Data that differ beyond float64 give a derivative where float64 sees a constant."""
    x = np.arange(20.0)
    small = np.finfo(np.longdouble).eps * 8
    f = 1 + small * np.arange(20, dtype=np.longdouble)
    for kind in KINDS[:2]:
        result = differentiate(f, make_scheme(x, uniform=kind == "uniform", order=4))
        assert result.dtype == np.longdouble
        assert abs(result / small - 1).max() <= 1e-12
    assert differentiate(f * (1 + 1j), make_scheme(x)).dtype == np.clongdouble


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "p"), ALL)
def test_float32_is_rounded_once_from_float64(kind: str, n: int, p: int) -> None:
    rng = np.random.default_rng([n, p])
    for f in (noise(rng, (50, 6), "float32"), noise(rng, (50, 6), "complex64")):
        wide = "float64" if f.dtype.kind == "f" else "complex128"
        gappy = with_gaps(rng, f, 0.15)
        made = scheme_of(kind, 50, n=n, order=p)
        with np.errstate(over="ignore"):
            for values, gaps in ((f, False), (gappy, False), (gappy, True)):
                expected = differentiate(values.astype(wide), made, gaps=gaps).astype(f.dtype)
                assert same_bits(differentiate(values, made, gaps=gaps), expected)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint32", "bool"])
def test_integers_become_float64_before_they_are_subtracted(dtype: str) -> None:
    f = noise(np.random.default_rng(1), (30, 4), dtype)
    for kind in KINDS:
        made = scheme_of(kind, 30, order=4)
        result = differentiate(f, made)
        assert result.dtype == np.float64
        assert same_bits(result, differentiate(f.astype(np.float64), made))


def test_dtype_can_be_asked_for() -> None:
    """Mixed partials keep their intermediates in float64."""
    rng = np.random.default_rng(1)
    made = scheme_of("jittered", 30)
    for values in (noise(rng, (30, 4), "float32"), noise(rng, (30, 4), "float16")):
        (result,) = partials(values, [Partial(0, made)], gaps=True, dtype=np.dtype("float64"))
        assert same_bits(result, differentiate(values.astype("float64"), made))


def layouts(f: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The same values in other memory."""
    yield "Fortran", np.asfortranarray(f)
    yield "transposed", np.ascontiguousarray(f.transpose(1, 2, 0)).transpose(2, 0, 1)
    wide = np.zeros((*f.shape[:2], 2 * f.shape[2] + 1), f.dtype)
    wide[:, :, 1::2] = f
    yield "strided", wide[:, :, 1::2]
    yield "reversed", f[::-1, :, ::-1].copy()[::-1, :, ::-1]
    padded = np.zeros(tuple(size + 3 for size in f.shape), f.dtype)
    padded[1:-2, 2:-1, 1:-2] = f
    yield "padded", padded[1:-2, 2:-1, 1:-2]
    frozen = f.copy()
    frozen.setflags(write=False)
    yield "read-only", frozen
    yield "swapped bytes", f.astype(f.dtype.newbyteorder())
    raw = np.zeros(f.nbytes + 1, np.uint8)
    crooked = raw[1:].view(f.dtype).reshape(f.shape)
    crooked[...] = f
    yield "unaligned", crooked
    packed = np.zeros(f.shape, np.dtype([("tag", "u1"), ("value", f.dtype)]))
    packed["value"] = f
    yield "record field", packed["value"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int16", "float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_memory_layout_does_not_matter(dtype: str, kind: str) -> None:
    rng = np.random.default_rng(2)
    f = with_gaps(rng, noise(rng, (13, 14, 15), dtype), 0.1)
    wanted = [Partial(axis, scheme_of(kind, size, order=4)) for axis, size in enumerate(f.shape)]
    expected = partials(f, wanted, gaps=True)
    for name, same in layouts(f):
        before = same.copy()
        for ours, plain in zip(partials(same, wanted, gaps=True), expected, strict=True):
            assert ours.dtype.isnative
            assert same_bits(ours, plain), name
        assert np.array_equal(same, before, equal_nan=f.dtype.kind in "fc"), name
    axes = (2, 0, 1)
    turned = [Partial(axes.index(partial.axis), partial.scheme) for partial in wanted]
    for ours, plain in zip(partials(f.transpose(axes), turned, gaps=True), expected, strict=True):
        assert same_bits(ours, plain.transpose(axes))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_output_may_lie_otherwise_than_the_input(axis: int) -> None:
    from xgrad.kernels import compiled

    rng = np.random.default_rng(2)
    f = with_gaps(rng, noise(rng, (9, 8, 7)), 0.1)
    made = scheme_of("jittered", f.shape[axis], order=4)
    size = f.shape[axis]
    rows = made.rows(0, size, 0, size)
    expected = differentiate(f, made, axis)
    for (_, window), (name, out) in itertools.product(layouts(f), layouts(np.zeros(f.shape))):
        if window.dtype.isnative and window.flags.aligned and out.dtype.isnative and out.flags.aligned:
            if not (out.flags.writeable and all(stride % 8 == 0 for stride in window.strides + out.strides)):
                continue
            out.fill(7.0)
            whole = compiled.Pass(window, out, axis, rows)
            whole.plain(axis, 0, size)
            whole.mend(axis, 0, size)
            assert same_bits(np.ascontiguousarray(out), expected), name


@pytest.mark.parametrize("kind", KINDS)
def test_broadcast_and_overlapping_memory(kind: str) -> None:
    rng = np.random.default_rng(2)
    line = with_gaps(rng, noise(rng, (40,)), 0.1)
    made = scheme_of(kind, 40, order=4)
    plain = differentiate(line, made)
    assert same_bits(differentiate(np.broadcast_to(line, (5, 40)), made, axis=1), np.tile(plain, (5, 1)))
    assert positive_zeros(differentiate(np.broadcast_to(3.0, (40, 2)), made))
    windows = as_strided(line, (25, 16), (8, 8), writeable=False)
    narrow = scheme_of(kind, 16, order=4)
    assert same_bits(differentiate(windows, narrow, axis=1), differentiate(windows.copy(), narrow, axis=1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("slab", [1, 300, 5000])
def test_slabs_do_not_matter(kind: str, descending: bool, slab: int) -> None:
    rng = np.random.default_rng(4)
    f = noise(rng, (31, 4, 17), "float32")
    f[5:9] = np.nan
    f[20:, 1:3, :8] = np.nan  # most slabs have no gap of their own
    for n, p, gaps in ((1, 2, True), (2, 4, True), (1, 8, False), (4, 8, True)):
        wanted = [
            Partial(axis, scheme_of(kind, f.shape[axis], n=n, order=p), descending=descending)
            for axis in (0, 2)
        ]
        for layout in (f, np.asfortranarray(f), f[::-1, :, ::-1].copy()[::-1, :, ::-1]):
            expected = partials(layout, wanted, gaps=gaps)
            with slabs_of(slab):
                found = partials(layout, wanted, gaps=gaps)
            assert all(same_bits(a, b) for a, b in zip(found, expected, strict=True))


def test_all_axes_in_one_pass_are_each_axis_alone() -> None:
    rng = np.random.default_rng(7)
    f = with_gaps(rng, noise(rng, (11, 12, 13, 14)), 0.1)
    wanted = [
        Partial(axis, scheme_of(kind, f.shape[axis], n=n, order=p), descending=axis % 2 == 0)
        for axis, kind, n, p in zip((3, 0, 2, 1), KINDS, DERIVATIVES, (2, 4, 6, 2), strict=True)
    ]
    for together, partial in zip(partials(f, wanted, gaps=True), wanted, strict=True):
        assert same_bits(together, partials(f, [partial], gaps=True)[0])


@pytest.mark.parametrize("shape", [(12, 0), (0, 12, 3), (12, 1, 0)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int8", "float16", "M8[ns]"])
def test_other_dimensions_can_be_empty(shape: tuple[int, ...], dtype: str) -> None:
    axis = shape.index(12)
    for kind in KINDS:
        result = differentiate(np.zeros(shape, dtype), scheme_of(kind, 12, order=4), axis)
        assert result.shape == shape
        assert result.dtype == (np.dtype(dtype) if np.dtype(dtype).kind in "fc" else np.float64)


def test_infinity_is_data() -> None:
    """It shows in the results of the stencils that touch it, and is not skipped."""
    f = np.arange(20.0) ** 2
    f[10] = np.inf
    for gaps in (True, False):
        result = differentiate(f, scheme_of("uniform", 20, order=4), gaps=gaps)
        touched = ~np.isfinite(result)
        assert touched.nonzero()[0].tolist() == [8, 9, 11, 12]  # the centre of an odd derivative is not read
        assert touched.sum() == np.isinf(result).sum()
        second = differentiate(f, scheme_of("uniform", 20, n=2, order=2), gaps=gaps)
        assert (~np.isfinite(second)).nonzero()[0].tolist() == [9, 10, 11]


def test_gaps_are_skipped_only_where_asked() -> None:
    f = np.arange(20.0)
    f[10] = np.nan
    made = make_scheme(np.arange(20.0), uniform=True)
    result = differentiate(f, made, gaps=False)
    assert np.isnan(result).nonzero()[0].tolist() == [9, 11]
    assert np.isnan(differentiate(f, made)).nonzero()[0].tolist() == [10]


def test_masked_values_are_missing() -> None:
    rng = np.random.default_rng(3)
    made = scheme_of("jittered", 20, order=4)
    mask = rng.uniform(size=(20, 3)) < 0.15
    for dtype in ("float32", "float64", "complex128", "int16", "float16", "M8[ns]", "m8[s]"):
        f = noise(rng, (20, 3), dtype)
        plain = f.astype("float64" if dtype == "int16" else dtype)
        plain[mask] = np.array("NaT" if f.dtype.kind in "mM" else np.nan, plain.dtype)
        result = differentiate(np.ma.array(f, mask=mask), made)
        assert type(result) is np.ndarray
        assert same_bits(result, differentiate(plain, made))
        assert same_bits(differentiate(np.ma.array(f), made), differentiate(f, made))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", ["M8", "m8"])
def test_times_are_differentiated_per_second(unit: str, kind: str) -> None:
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    start = 1_704_067_200 * ticks  # 2024-01-01
    i = np.arange(30)
    f = (start + 3 * i * ticks).astype(f"{kind}[{unit}]")
    made = make_scheme(np.arange(30.0), uniform=True, order=4)
    assert abs(differentiate(f, made) - 3.0).max() <= 30 * EPS
    assert differentiate(f, made).dtype == np.float64
    f[12] = np.array("NaT", f.dtype)
    result = differentiate(f, made)
    assert np.isnan(result).nonzero()[0].tolist() == [12]
    assert abs(np.delete(result, 12) - 3.0).max() <= 30 * EPS
    assert positive_zeros(differentiate(np.full(30, start).astype(f"{kind}[{unit}]"), made))


def test_100_nanosecond_steps_in_2024() -> None:
    """As float64 nanoseconds since 1970, steps of 100 ns would be 0 or 256 ns."""
    f = np.datetime64("2024-01-01", "ns") + np.arange(40) * np.timedelta64(100, "ns")
    for order in ORDERS:
        result = differentiate(f, make_scheme(np.arange(40.0), uniform=True, order=order))
        assert abs(result - 1e-7).max() <= 1e-7 * 1e-7


def test_the_resolution_of_times_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    f = np.cumsum(rng.integers(1, 10**10, 200)).astype("M8[ms]")
    made = scheme_of("jittered", 200, order=6)
    expected = differentiate(f, made)
    for unit in ("us", "ns"):
        assert same_bits(differentiate(f.astype(f"M8[{unit}]"), made), expected)
    assert same_bits(differentiate(f.astype(">M8[ms]"), made), expected)
    assert same_bits(differentiate(f - f[0], made), differentiate((f - f[0]).astype("m8[ns]"), made))


def reach_every_kernel(compiled: Any) -> dict[str, Any]:
    """Every kernel by name, after all of them ran on float32 and float64."""
    for kind, (n, p), dtype in itertools.product(KINDS[:2], ALL, ("float32", "float64")):
        f = np.ones((20, 3), dtype)
        f[9] = np.nan
        differentiate(f, scheme_of(kind, 20, n=n, order=p))
    found = {}
    for dtype in map(np.dtype, ("float32", "float64")):
        for function, half in itertools.product(
            (compiled._antisymmetric, compiled._symmetric, compiled._centred), range(1, 7)
        ):
            kernel = compiled._compiled(function, half, dtype)
            if kernel.signatures:
                found[f"{function.__name__}_{half}_{dtype}"] = kernel
        for function in (compiled._one_sided, compiled._mend, compiled._holes):
            found[f"{function.__name__}_{dtype}"] = compiled._compiled(function, dtype)
    return found


def test_no_kernel_holds_a_fused_multiply_add() -> None:
    """Fused sums would depend on how a loop was vectorised, and so on where a chunk begins.

    Kernels from the on-disk cache have no assembly to look at, so they are compiled once more here.
    """
    import numba

    from xgrad.kernels import compiled

    found = reach_every_kernel(compiled)
    assert len(found) == 2 * (5 + 5 + 6 + 3)  # half widths 1 to 5 in pairs, to 6 with weights of their own
    for name, kernel in found.items():
        (signature,) = kernel.signatures  # one alone, or processes could take each other's from the cache
        assert name.endswith(str(signature[0].dtype)), name
        fresh = numba.njit(**compiled._OPTIONS)(kernel.py_func)
        for signature in kernel.signatures:
            fresh.compile(signature)
        for text in fresh.inspect_asm().values():
            instructions = [
                line.split()[0] for line in text.splitlines() if line.startswith("\t") and line.strip()
            ]
            assert len(instructions) > 50, name
            if not name.startswith("_holes"):
                assert any("mul" in word for word in instructions), name
            if not name.startswith(("_holes", "_one_sided", "_mend")):
                assert re.search(r"\bv?mulpd\b|\bfmul\s+v\d+\.2d", text), f"{name} is not vectorised"
            fused = {word for word in instructions if "fmadd" in word or "fmsub" in word or "fnm" in word}
            fused |= {word for word in instructions if word.startswith(("fmla", "fmls", "vfma", "fma"))}
            assert not fused, (name, fused)


def test_kernels_are_cached_on_disk() -> None:
    from xgrad.kernels import compiled

    for name, kernel in reach_every_kernel(compiled).items():
        assert kernel.stats.cache_path is not None, name
        assert os.path.isdir(kernel.stats.cache_path), name
        assert kernel.stats.cache_hits or kernel.stats.cache_misses, name


CACHE = """
import numpy as np
from xgrad.chunks import partials
from xgrad.halos import Partial
from xgrad.schemes import scheme
from xgrad.kernels import compiled
f = np.arange(5.0)
made = scheme(np.vstack([f, 0 * f]), step=1.0)
assert partials(f, [Partial(0, made)], gaps=False)[0].tolist() == [1.0] * 5
stats = compiled._compiled(compiled._antisymmetric, 1, f.dtype).stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def test_a_second_process_compiles_nothing(tmp_path: Any) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    hits = [
        subprocess.run(
            [sys.executable, "-c", CACHE], env=environment, check=True, capture_output=True, text=True
        )
        for _ in range(2)
    ]
    assert [run.stdout.split() for run in hits] == [["0", "1"], ["1", "0"]]


def test_no_two_kernels_share_an_entry_of_the_cache(tmp_path: Any) -> None:
    """Numba does not lock its index: two processes that add to one can leave it naming the other's code."""
    every = "from test_kernels import reach_every_kernel; from xgrad.kernels import compiled as c\n"
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
    }
    code = every + "print(len(reach_every_kernel(c)))"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    indices = {path.stem for path in tmp_path.rglob("*.nbi")}
    entries = [path.name.removesuffix(".1.nbc") for path in tmp_path.rglob("*.nbc")]
    assert len(indices) == int(run.stdout)
    assert sorted(entries) == sorted(indices)


UNWRITABLE = """
import numba.core.caching as caching
# Neither the package nor the home directory can be written.
getattr(caching, "CacheImpl", getattr(caching, "_CacheImpl", None))._locator_classes = []
"""


def test_a_read_only_installation_works() -> None:
    """Containers and clusters: then Numba refuses `cache=True` altogether."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = UNWRITABLE + CACHE.partition("stats =")[0].replace("from xgrad.kernels import compiled", "")
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_what_the_compiled_kernels_serve() -> None:
    served = ["f4", "f8", "c8", "c16", "i1", "u8", "?", ">f4", ">c16"]
    for dtype in (*served, "f2", "g", "G"):
        answer = kernels.compiled_for(np.zeros(3, dtype))
        assert (answer is not None) is (dtype in served), dtype
    assert kernels.compiled_for(array_api_strict.zeros(3)) is None


def test_line_for_line_the_positions_may_be_far_apart() -> None:
    """A gap in the coordinate (no missing value) is only a wide spacing."""
    x = np.concatenate([np.arange(10.0), 1e6 + np.arange(10.0)])
    f = 3 * x + 1
    result = differentiate(f, make_scheme(x, order=4))
    assert abs(result - 3).max() <= 1e-9
    line = Line(tuple(range(0, 640, 64)), True)
    assert abs(differentiate(np.arange(10.0), line.scheme()) - 1).max() == 0
