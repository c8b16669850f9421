"""One block in memory: all its partial derivatives in one pass.

The block is walked in slabs that fit into the cache; on each slab the kernel runs along every axis before
the next is touched. Results do not depend on where slabs or blocks begin.
"""

from __future__ import annotations

import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from . import kernels
from .kernels.stencils import Rows

_PIECE = 1 << 17  # values of a piece of `piecewise`
_SLAB_BYTES = 1 << 22  # input and outputs of a slab stay in a core's cache
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}

Array = Any


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A block along one axis.

    Attributes
    ----------
    axis : int
        The axis of the block.
    descending : bool
        Whether the block is stored in descending order; `rows` and halos are told in ascending order.
    own : int
        Rows of the block that are read: all, but for the point of a ring that repeats the first one.
    rows : Rows
        Stencils of the block's rows, and the sizes of the halo.
    """

    axis: int
    descending: bool
    own: int
    rows: Rows


@dataclass(frozen=True, slots=True, eq=False)
class Replaced:
    """Values that stand for those of one derivative in one row of a block.

    Attributes
    ----------
    index : int
        Which derivative.
    axis, row : int
        The axis and the stored row.
    values : array or None
        Shaped like the block, but for one row; None where they are missing.
    """

    index: int
    axis: int
    row: int
    values: Array | None


Halo = tuple[Sequence[Array], Sequence[Array]]
Sum = Sequence[tuple[int, int]]  # of derivatives with factors: which derivative, which factor (-1: none)
Wanted = tuple[Section, Halo, NDArray[Any]]
Slab = tuple[int, int, int]  # an axis, its first row, its last row + 1


def result_dtype(data: Array) -> Any:
    """Return the dtype of a derivative: native floating dtypes are kept, everything else becomes float64."""
    if isinstance(data.dtype, np.dtype):
        return data.dtype.newbyteorder("=") if data.dtype.kind in "fc" else np.dtype(np.float64)
    xp = data.__array_namespace__()
    return data.dtype if xp.isdtype(data.dtype, ("real floating", "complex floating")) else xp.float64


def working_dtype(data: Array, dtype: Any) -> Any:
    """Return the dtype of intermediate results: nothing is rounded to single precision between two steps."""
    if isinstance(dtype, np.dtype):
        return np.result_type(dtype, np.float64)
    xp = data.__array_namespace__()
    return xp.result_type(dtype, xp.float64)


def run(
    block: Array,
    sections: Sequence[Section],
    halos: Sequence[Halo],
    *,
    dtype: Any,
    gaps: bool,
    outs: Sequence[NDArray[Any]] | None = None,
    parallel: bool = False,
    sums: Sequence[Sum] = (),
    factors: Sequence[Array] = (),
    replaced: Sequence[Replaced] = (),
) -> tuple[Array, ...]:
    """Return the derivative of a block along each section's axis, or sums of these derivatives.

    Parameters
    ----------
    block : array
        The data, in the order in which they are stored.
    sections : sequence of Section
        The axes, and the stencils along them.
    halos : sequence of (before, after)
        For each section the neighbouring rows below and above in ascending order: arrays, stored like the
        block, that follow each other in ascending order.
    dtype : dtype
        Dtype of the results; arithmetic is done in at least float64.
    gaps : bool
        Whether points next to missing values get the stencils of their run.
    outs : sequence of ndarray, optional
        Where to write the results of NumPy blocks, by default new arrays.
    parallel : bool
        Whether a large block may be served by several threads, as many as Numba would use; from another
        thread than the main one it is not: somebody else divides the work there.
    sums : sequence of Sum, optional
        The results: each a sum of derivatives with factors, made in float64 at least and rounded once. By
        default the derivatives themselves.
    factors : sequence of arrays
        With the dimensions of the block, of its size or of size 1.
    replaced : sequence of Replaced
        What stands for single rows of derivatives in the sums.

    Returns
    -------
    tuple of arrays
        One for each section, or for each sum, shaped and laid out like the block.
    """
    factors = (*factors, np.ones((1,) * block.ndim)) if sums else ()
    if isinstance(block, np.ndarray):
        block = _plain(block, dtype)
        halos = [([_plain(p, dtype) for p in low], [_plain(p, dtype) for p in high]) for low, high in halos]
        if block.dtype.kind in "mM":
            found = _run_times(block, sections, halos, gaps)
            return _summed(found, sums, factors, replaced, dtype) if sums else found
    compiled = kernels.compiled_for(block)
    if compiled is None:
        between = working_dtype(block, dtype) if sums else dtype
        found = tuple(
            _run_portable(block, s, halo, between, gaps) for s, halo in zip(sections, halos, strict=True)
        )
        return _summed(found, sums, factors, replaced, dtype) if sums else found
    made = tuple(np.empty_like(block, dtype=dtype) for _ in sums or sections) if outs is None else tuple(outs)
    if block.size:
        slabs = _slabs(block, dtype.itemsize)
        if sums:
            combined = _Combined(tuple(sums), tuple(factors), tuple(replaced), made)
            windows = max(len(sections) - len(combined.direct), 1)
            slabs = _slabs(block, working_dtype(block, dtype).itemsize * windows, factors)
            serve = partial(_work_combined, compiled, block, sections, halos, combined, gaps, iter(slabs))
        else:
            wanted = tuple(zip(sections, halos, made, strict=True))
            work = _work if _in_place(block, dtype) else _work_converted
            serve = partial(work, compiled, block, wanted, gaps, iter(slabs))
        count = min(compiled.THREADS, len(slabs)) if parallel and _in_main_thread() else 1
        if count == 1:
            serve()
        else:
            with ThreadPoolExecutor(count, "xgrad") as pool:
                for done in [pool.submit(serve) for _ in range(count)]:
                    done.result()
    return made


def _processors() -> int:
    """Return the number of processors that may be used."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _plain(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return a plain array in which NaN stands for masked values."""
    if isinstance(array, np.ma.MaskedArray):
        missing: Any = np.array("NaT", array.dtype) if array.dtype.kind in "mM" else np.nan
        kept = array if array.dtype.kind in "fcmM" else array.astype(dtype)
        array = np.asarray(np.ma.filled(kept, missing))
    if array.dtype.kind in "mM":
        unit = np.datetime_data(array.dtype)[0]
        fine = unit if unit in _TICKS else "s"
        array = array.astype(f"{array.dtype.kind}8[{fine}]", copy=False)
    return np.asarray(array)


def _slabs(block: NDArray[Any], itemsize: int, factors: Sequence[Array] = ()) -> list[Slab]:
    """Cut a block along the slowest axis that gives slabs which fit the cache, and their factors too."""
    heavy = [factor for factor in factors if factor.size * 8 > _SLAB_BYTES // 4]

    def preference(d: int) -> tuple[bool, bool, bool, int]:
        row = block.size // block.shape[d] * itemsize
        varies = any(factor.shape[d] > 1 for factor in heavy) or not heavy
        return block.shape[d] > 1, varies, row <= _SLAB_BYTES, abs(block.strides[d])

    axis = max(range(block.ndim), key=preference)
    rows = block.shape[axis]
    step = max(_SLAB_BYTES // (block.size // rows * itemsize), 1)
    return [(axis, first, min(first + step, rows)) for first in range(0, rows, step)]


def _work(
    compiled: Any, block: NDArray[Any], wanted: Sequence[Wanted], gaps: bool, slabs: Iterator[Slab]
) -> None:
    """Serve one slab after the other while there are any; several threads may share the slabs."""
    inward = sorted(
        wanted, key=lambda one: abs(block.strides[one[0].axis])
    )  # first what reads in memory order
    plain = [part for one in inward for part in _parts(compiled, block, *one, wide=False)]
    mending: list[_Part] = []
    for slab in slabs:
        mend = gaps and any(compiled.holes(piece) for piece in _around(block, wanted, slab))
        for part in plain:
            part.plain(slab)
        if mend:
            mending = mending or [part for one in wanted for part in _parts(compiled, block, *one, wide=True)]
            for part in mending:
                part.mend(slab)


def _work_converted(
    compiled: Any, block: NDArray[Any], wanted: Sequence[Wanted], gaps: bool, slabs: Iterator[Slab]
) -> None:
    """Do the same where kernels cannot read the block in place: each slab is a small block of its own."""
    for slab in slabs:
        axis, first, stop = slab
        cut = _between(*slab)
        targets = [(section, halo, out[cut]) for section, halo, out in wanted]
        own, parts = _converted(block, targets, slab, gaps)
        _work(compiled, own, parts, gaps, iter([(axis, 0, stop - first)]))


@dataclass(frozen=True, slots=True, eq=False)
class _Combined:
    """Sums of derivatives with factors, and where they are written."""

    sums: tuple[Sum, ...]
    factors: tuple[NDArray[Any], ...]
    replaced: tuple[Replaced, ...]
    outs: tuple[NDArray[Any], ...]

    @property
    def simple(self) -> bool:
        """Whether the compiled kernels know the sums."""
        return all(len(terms) <= 2 for terms in self.sums) and self.outs[0].dtype.kind == "f"

    @property
    def direct(self) -> dict[int, NDArray[Any]]:
        """The derivatives that are results as they are, and where they are written."""
        used = Counter(index for terms in self.sums for index, _ in terms)
        changed = {new.index for new in self.replaced}
        return {
            terms[0][0]: out
            for terms, out in zip(self.sums, self.outs, strict=True)
            if len(terms) == 1 and terms[0][1] == -1 and used[terms[0][0]] == 1 and terms[0][0] not in changed
        }

    def prepared(self, compiled: Any, derivatives: Mapping[int, NDArray[Any]]) -> list[Any]:
        """Prepare the sums of derivatives that lie in a window which moves over the block."""
        shape = self.outs[0].shape
        factors = [np.broadcast_to(np.asarray(factor, np.float64), shape) for factor in self.factors]
        return [
            compiled.Weighted(out, [(derivatives[index], factors[place]) for index, place in terms])
            for terms, out in zip(self.sums, self.outs, strict=True)
            if terms[0][0] in derivatives
        ]

    def replace(self, derivatives: Sequence[NDArray[Any]] | Mapping[int, NDArray[Any]], slab: Slab) -> None:
        """Put what stands for single rows into the derivatives of a slab."""
        axis, first, stop = slab
        for new in self.replaced:
            row, values = new.row, np.nan if new.values is None else new.values
            if new.axis == axis:
                if not first <= row < stop:
                    continue
                row -= first
            elif new.values is not None:
                values = new.values[_between(axis, first, stop)]
            derivatives[new.index][_between(new.axis, row, row + 1)] = values

    def write(self, derivatives: Sequence[NDArray[Any]], slab: Slab) -> None:
        """Write the sums in a slab, given its derivatives, which are used up."""
        axis, first, stop = slab
        self.replace(derivatives, slab)
        whole = [factor.shape[axis] > 1 for factor in self.factors]
        factors = [
            factor[_between(axis, first, stop)] if cut else factor
            for factor, cut in zip(self.factors, whole, strict=True)
        ]
        for terms, out in zip(self.sums, self.outs, strict=True):
            target = out[_between(axis, first, stop)]
            (index, place), *more = terms
            if not more:
                np.multiply(derivatives[index], factors[place], out=target, casting="same_kind")
                continue
            total = derivatives[index] * factors[place]
            for index, place in more[:-1]:
                total += derivatives[index] * factors[place]
            index, place = more[-1]
            np.add(total, derivatives[index] * factors[place], out=target, casting="same_kind")


def _work_combined(
    compiled: Any,
    block: NDArray[Any],
    sections: Sequence[Section],
    halos: Sequence[Halo],
    combined: _Combined,
    gaps: bool,
    slabs: Iterator[Slab],
) -> None:
    """Serve slabs of sums of derivatives: the derivatives of a slab never leave the cache."""
    dtype = working_dtype(block, combined.outs[0].dtype)
    if not combined.simple or not _readable(block):
        _work_combined_converted(compiled, block, sections, halos, combined, gaps, slabs, dtype)
        return
    direct = combined.direct
    wanted: list[Wanted] = []
    for slab in slabs:
        axis, first, stop = slab
        if not wanted:  # the first slab is the largest
            own = [index for index in range(len(sections)) if index not in direct]
            window = {index: np.empty_like(block[_between(*slab)], dtype=dtype) for index in own}
            moving = {index: as_strided(made, block.shape, made.strides) for index, made in window.items()}
            wanted = [
                (section, halo, direct[index] if index in direct else moving[index])
                for index, (section, halo) in enumerate(zip(sections, halos, strict=True))
            ]
            plain = _all_parts(compiled, block, wanted, wide=False)
            mending: list[tuple[int, _Part]] = []
            sums = combined.prepared(compiled, moving)
            strides = {index: made.strides[axis] // made.itemsize for index, made in window.items()}
        shift = {index: first * stride for index, stride in strides.items()}
        mend = gaps and any(compiled.holes(piece) for piece in _around(block, wanted, slab))
        for index, part in plain:
            part.kernel.shift = shift.get(index, 0)
            part.plain(slab)
        if mend:
            mending = mending or _all_parts(compiled, block, wanted, wide=True)
            for index, part in mending:
                part.kernel.shift = shift.get(index, 0)
                part.mend(slab)
        combined.replace(
            {index: made[_between(axis, 0, stop - first)] for index, made in window.items()}, slab
        )
        for weighted in sums:
            weighted.write(axis, first, stop, next(iter(shift.values())))


def _all_parts(
    compiled: Any, block: NDArray[Any], wanted: Sequence[Wanted], *, wide: bool
) -> list[tuple[int, _Part]]:
    """Return the parts of several sections, each with the number of its section."""
    return [
        (index, part) for index, one in enumerate(wanted) for part in _parts(compiled, block, *one, wide=wide)
    ]


def _work_combined_converted(
    compiled: Any,
    block: NDArray[Any],
    sections: Sequence[Section],
    halos: Sequence[Halo],
    combined: _Combined,
    gaps: bool,
    slabs: Iterator[Slab],
    dtype: Any,
) -> None:
    """Do the same where kernels cannot read the block in place, or more is to be summed than they know."""
    for slab in slabs:
        axis, first, stop = slab
        made = [np.empty_like(block[_between(*slab)], dtype=dtype) for _ in sections]
        own, parts = _converted(block, list(zip(sections, halos, made, strict=True)), slab, gaps)
        _work(compiled, own, parts, gaps, iter([(axis, 0, stop - first)]))
        combined.write(made, slab)


def _summed(
    derivatives: Sequence[Array],
    sums: Sequence[Sum],
    factors: Sequence[Array],
    replaced: Sequence[Replaced],
    dtype: Any,
) -> tuple[Array, ...]:
    """Return sums of derivatives of any Array API namespace."""
    xp = derivatives[0].__array_namespace__()
    found = list(derivatives)
    for new in replaced:
        old, axis = found[new.index], new.axis
        row = old[_between(axis, new.row, new.row + 1)]
        parts = [
            old[_between(axis, 0, new.row)],
            xp.full_like(row, xp.nan) if new.values is None else new.values,
            old[_between(axis, new.row + 1, old.shape[axis])],
        ]
        found[new.index] = xp.concat(parts, axis=axis)
    known = [xp.asarray(factor, dtype=found[0].dtype) for factor in factors]
    totals = []
    for terms in sums:
        products = [found[index] * known[place] for index, place in terms]
        totals.append(xp.astype(sum(products[1:], products[0]), dtype))
    return tuple(totals)


def piecewise(
    function: Callable[..., NDArray[Any]], arrays: Sequence[NDArray[Any]], shape: tuple[int, ...], dtype: Any
) -> NDArray[Any]:
    """Apply a function of each point to arrays, piece by piece: what it makes in between stays in the cache.

    Parameters
    ----------
    function : callable
        Takes pieces of all arrays and returns that of the result.
    arrays : sequence of ndarray
        Whose last dimensions are those of the result.
    shape : tuple of int
        Of the result.
    dtype : dtype
        Of the result.

    Returns
    -------
    ndarray
        The result.
    """
    if len(shape) < 2 or not math.prod(shape):
        return function(*arrays)
    rows, made = shape[-2], np.empty(shape, dtype)
    step = max(_PIECE * rows // math.prod(shape), 1)

    def serve(first: int) -> None:
        cut = (..., slice(first, first + step), slice(None))
        made[cut] = function(*(array[cut] for array in arrays))

    pieces = range(0, rows, step)
    if len(pieces) == 1 or not _in_main_thread():
        for first in pieces:
            serve(first)
    else:
        with ThreadPoolExecutor(min(len(pieces), _processors()), "xgrad") as pool:
            for done in [pool.submit(serve, first) for first in pieces]:
                done.result()
    return made


def negative(array: Array, dtype: Any) -> Array:
    """Return an array with its sign changed, in the dtype of results where its own may not hold that."""
    if isinstance(array, np.ndarray):
        return -array if array.dtype.kind in "fcm" else -array.astype(dtype)
    xp = array.__array_namespace__()
    floats = xp.isdtype(array.dtype, ("real floating", "complex floating"))
    return -array if floats else -xp.astype(array, dtype)


def missing_where(data: Array, result: Array) -> Array:
    """Return a result that is missing where the data are."""
    if isinstance(data, np.ndarray):
        plain = _plain(data, result.dtype)
        missing = np.isnat(plain) if plain.dtype.kind in "mM" else np.isnan(plain)
        return np.where(missing, result.dtype.type(np.nan), result)
    xp = data.__array_namespace__()
    if not xp.isdtype(data.dtype, ("real floating", "complex floating")):
        return result
    return xp.where(xp.isnan(data), xp.nan, result)


def fitted_east(north: Array, axis: int, longitudes: NDArray[np.float64], *, at_north_pole: bool) -> Array:
    """Return eastward derivatives on a pole: of the gradient that best explains the northward ones.

    Parameters
    ----------
    north : array
        Northward derivatives on a pole.
    axis : int
        The axis of the longitudes.
    longitudes : ndarray
        The longitudes in radians.
    at_north_pole : bool
        Which pole it is.

    Returns
    -------
    array
        Like `north`. Missing values spread to the whole row.

    Notes
    -----
    On the north pole northward is (-cos lam, -sin lam), on the south pole (cos lam, sin lam), and eastward
    is (-sin lam, cos lam) on both. The sums run from west to east, so that blocks cannot matter.
    """
    sign = -1.0 if at_north_pole else 1.0
    cosine, sine = np.cos(longitudes), np.sin(longitudes)
    fit = np.linalg.pinv(sign * np.stack([cosine, sine], axis=1))
    xp = north.__array_namespace__()
    along = (1,) * axis + (-1,) + (1,) * (north.ndim - axis - 1)
    x, y = (
        xp.cumulative_sum(north * xp.asarray(row.reshape(along)), axis=axis)[_between(axis, -1, None)]
        for row in fit
    )
    return xp.asarray(-sine.reshape(along)) * x + xp.asarray(cosine.reshape(along)) * y


def _in_place(block: NDArray[Any], dtype: Any) -> bool:
    """Whether the compiled kernels can read a block as it is."""
    itemsize = block.itemsize
    fits = block.dtype == dtype and dtype.kind == "f" and block.dtype.isnative and block.flags.aligned
    return fits and not any(stride % itemsize for stride in block.strides)


def _readable(block: NDArray[Any]) -> bool:
    """Whether the compiled kernels can read a block as it is, and write float64."""
    return block.dtype.kind == "f" and _in_place(block, block.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Ascending rows of a section from `first` on, as a kernel's pass over them."""

    section: Section
    first: int
    rows: Rows
    kernel: Any

    def plain(self, slab: Slab) -> None:
        """Evaluate what lies in a slab."""
        axis, low, high = self._box(slab)
        if low < high:
            self.kernel.plain(axis, low, high)

    def mend(self, slab: Slab) -> None:
        """Mend what lies in a slab."""
        axis, low, high = self._box(slab)
        if low < high:
            self.kernel.mend(axis, low, high)

    def _box(self, slab: Slab) -> Slab:
        """Return the slab in the part's own rows."""
        axis, first, stop = slab
        if axis != self.section.axis:
            return slab
        if self.section.descending:
            first, stop = self.section.rows.size - stop, self.section.rows.size - first
        return axis, max(first - self.first, 0), min(stop - self.first, self.rows.size)


def _parts(
    compiled: Any, block: NDArray[Any], section: Section, halo: Halo, out: NDArray[Any], *, wide: bool
) -> Iterator[_Part]:
    """Cut a section into rows that read the block alone and those near its ends, which copy it with halo."""
    axis, rows = section.axis, section.rows
    out = _ascending(out, section)
    if not rows.before and not rows.after:
        yield _Part(section, 0, rows, compiled.Pass(_ascending(block, section), out, axis, rows))
        return
    reach = rows.gaps.reach if wide else max(max(-s.start, s.stop - 1) for _, _, s in rows.segments)
    low = min(reach if rows.before else 0, rows.size)
    high = max(min(section.own - reach if rows.after else rows.size, rows.size), low)
    for a, b in ((0, low), (low, high), (high, rows.size)):
        if a < b:
            part = rows.cut(a, b, reach)
            window = _window(section, block, halo, a - part.before, b + part.after)
            yield _Part(section, a, part, compiled.Pass(window, out[_between(axis, a, b)], axis, part))


def _around(block: NDArray[Any], wanted: Sequence[Wanted], slab: Slab) -> Iterator[NDArray[Any]]:
    """Find all values that results of a slab may depend on."""
    axis, first, stop = slab
    reach = max((section.rows.gaps.reach for section, _, _ in wanted if section.axis == axis), default=0)
    yield block[_between(axis, max(first - reach, 0), stop + reach)]
    for section, halo, _ in wanted:
        cut = (slice(None),) if section.axis == axis else _between(axis, first, stop)
        for side in halo:
            yield from (piece[cut] for piece in side)


def _converted(
    block: NDArray[Any], wanted: Sequence[Wanted], slab: Slab, gaps: bool
) -> tuple[NDArray[Any], list[Wanted]]:
    """Return a slab as a block that kernels can read, with its halos and its results."""
    axis, first, stop = slab
    dtype, cut = wanted[0][2].dtype, _between(axis, first, stop)
    convert = partial(_floats, dtype=dtype, unite=gaps)
    parts: list[Wanted] = []
    for section, halo, out in wanted:
        if section.axis == axis:
            section, halo = _cut_section(section, block, halo, first, stop)
        else:
            halo = ([piece[cut] for piece in halo[0]], [piece[cut] for piece in halo[1]])
        halo = ([convert(piece) for piece in halo[0]], [convert(piece) for piece in halo[1]])
        parts.append((section, halo, _pairs(out, writeable=True) if dtype.kind == "c" else out))
    return convert(block[cut]), parts


def _cut_section(
    section: Section, block: NDArray[Any], halo: Halo, first: int, stop: int
) -> tuple[Section, Halo]:
    """Return a section of stored rows `first` to `stop - 1` alone, and its halo."""
    rows = section.rows
    a, b = (rows.size - stop, rows.size - first) if section.descending else (first, stop)
    part = rows.cut(a, b, rows.gaps.reach)
    own = max(min(b, section.own) - a, 0)
    sides = [
        [_ascending(_window(section, block, halo, low, high), section)] if low < high else []
        for low, high in ((a - part.before, a), (a + own, b + part.after))
    ]
    return Section(section.axis, section.descending, own, part), (sides[0], sides[1])


def _between(axis: int, first: int, stop: int | None) -> tuple[Any, ...]:
    """Index that keeps rows `first` to `stop - 1` of an axis."""
    return (*(slice(None),) * axis, slice(first, stop), ...)


def _ascending(array: Array, section: Section) -> Array:
    """View an array in ascending order along the section's axis."""
    if not section.descending:
        return array
    return array[(*(slice(None),) * section.axis, slice(None, None, -1), ...)]


def _window(section: Section, block: Array, halo: Halo, first: int, stop: int) -> Array:
    """Return ascending rows `first` to `stop - 1` of a block and its halo; its own begin at 0."""
    axis = section.axis
    own = _ascending(block, section)[_between(axis, 0, section.own)]
    if first >= 0 and stop <= section.own:
        return own[_between(axis, first, stop)]
    pieces = [*(_ascending(p, section) for p in halo[0]), own, *(_ascending(p, section) for p in halo[1])]
    place, kept = -section.rows.before, []
    for piece in pieces:
        end = place + piece.shape[axis]
        if place < stop and first < end:
            kept.append(piece[_between(axis, max(first - place, 0), min(stop, end) - place)])
        place = end
    xp = block.__array_namespace__()
    return kept[0] if len(kept) == 1 else xp.concat(kept, axis=axis)


def _floats(array: NDArray[Any], *, dtype: Any, unite: bool) -> NDArray[Any]:
    """Return floats that kernels can read in place; of complex numbers the two parts along a last axis.

    With `unite` both parts are missing where one is.
    """
    if array.dtype != dtype or not array.dtype.isnative or not array.flags.aligned:
        array = array.astype(dtype)
    if dtype.kind != "c":
        return array if _in_place(array, dtype) else array.copy()
    if any(stride % (array.itemsize // 2) for stride in array.strides):
        array = array.copy()
    pairs = _pairs(array)
    if unite and np.isnan(array).any():
        return np.where(np.isnan(array)[..., np.newaxis], pairs.dtype.type(np.nan), pairs)
    return pairs


def _pairs(array: NDArray[Any], writeable: bool = False) -> NDArray[Any]:
    """View complex numbers as a last axis of real and imaginary part."""
    half = array.itemsize // 2
    return as_strided(array.real, (*array.shape, 2), (*array.strides, half), writeable=writeable)


def _run_portable(block: Array, section: Section, halo: Halo, dtype: Any, gaps: bool) -> Array:
    """Return one derivative of a block of any Array API namespace."""
    xp, rows = block.__array_namespace__(), section.rows
    low, high = ([xp.astype(piece, dtype, copy=False) for piece in side] for side in halo)
    block = xp.astype(block, dtype, copy=False)  # before it is joined: a halo may have another dtype
    window = _window(section, block, (low, high), -rows.before, rows.size + rows.after)
    result = kernels.portable.differentiate(window, section.axis, rows, gaps)
    return _ascending(result, section)


def _run_times(
    block: Array, sections: Sequence[Section], halos: Sequence[Halo], gaps: bool
) -> tuple[Array, ...]:
    """Return derivatives of times in seconds: of whole seconds, which is exact, plus of the remainders."""
    seconds = np.dtype(np.float64)
    parts = []
    for split in (_whole_seconds, _remainders):
        sides = [([split(piece) for piece in low], [split(piece) for piece in high]) for low, high in halos]
        parts.append(run(split(block), sections, sides, dtype=seconds, gaps=gaps))
    return tuple(whole + rest for whole, rest in zip(*parts, strict=True))


def _whole_seconds(times: NDArray[Any]) -> NDArray[Any]:
    """Return whole seconds, rounded down; NaN for NaT."""
    whole: NDArray[np.float64] = np.floor_divide(times.view("i8"), _ticks(times)).astype(np.float64)
    whole[np.isnat(times)] = np.nan
    return whole


def _remainders(times: NDArray[Any]) -> NDArray[Any]:
    """Return what `_whole_seconds` leaves, 0 <= remainder < 1."""
    rest: NDArray[np.float64] = np.remainder(times.view("i8"), _ticks(times)) / _ticks(times)
    rest[np.isnat(times)] = np.nan
    return rest


def _ticks(times: NDArray[Any]) -> int:
    """Ticks of a second."""
    return _TICKS[np.datetime_data(times.dtype)[0]]
