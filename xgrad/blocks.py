"""One block in memory: all its partial derivatives in one pass.

The block is walked in slabs that fit into the cache; on each slab the kernel runs along every axis before
the next is touched. Results do not depend on where slabs or blocks begin.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from . import kernels
from .kernels.stencils import Rows

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


Halo = tuple[Sequence[Array], Sequence[Array]]
Wanted = tuple[Section, Halo, NDArray[Any]]
Slab = tuple[int, int, int]  # an axis, its first row, its last row + 1


def result_dtype(data: Array) -> Any:
    """Return the dtype of a derivative: native floating dtypes are kept, everything else becomes float64."""
    if isinstance(data.dtype, np.dtype):
        return data.dtype.newbyteorder("=") if data.dtype.kind in "fc" else np.dtype(np.float64)
    xp = data.__array_namespace__()
    return data.dtype if xp.isdtype(data.dtype, ("real floating", "complex floating")) else xp.float64


def run(
    block: Array,
    sections: Sequence[Section],
    halos: Sequence[Halo],
    *,
    dtype: Any,
    gaps: bool,
    outs: Sequence[NDArray[Any]] | None = None,
    parallel: bool = False,
) -> tuple[Array, ...]:
    """Return the derivative of a block along each section's axis.

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

    Returns
    -------
    tuple of arrays
        One for each section, shaped and laid out like the block.
    """
    if isinstance(block, np.ndarray):
        block = _plain(block, dtype)
        halos = [([_plain(p, dtype) for p in low], [_plain(p, dtype) for p in high]) for low, high in halos]
        if block.dtype.kind in "mM":
            return _run_times(block, sections, halos, gaps)
    compiled = kernels.compiled_for(block)
    if compiled is None:
        return tuple(
            _run_portable(block, s, halo, dtype, gaps) for s, halo in zip(sections, halos, strict=True)
        )
    made = tuple(np.empty_like(block, dtype=dtype) for _ in sections) if outs is None else tuple(outs)
    if block.size:
        wanted, slabs = tuple(zip(sections, halos, made, strict=True)), _slabs(block, dtype.itemsize)
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


def _slabs(block: NDArray[Any], itemsize: int) -> list[Slab]:
    """Cut a block along its slowest axis in memory."""
    axis = max(range(block.ndim), key=lambda d: (block.shape[d] > 1, abs(block.strides[d])))
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
        own, parts = _converted(block, wanted, slab, gaps)
        _work(compiled, own, parts, gaps, iter([(axis, 0, stop - first)]))


def _in_place(block: NDArray[Any], dtype: Any) -> bool:
    """Whether the compiled kernels can read a block as it is."""
    itemsize = block.itemsize
    fits = block.dtype == dtype and dtype.kind == "f" and block.dtype.isnative and block.flags.aligned
    return fits and not any(stride % itemsize for stride in block.strides)


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
    """Return a slab as a block that kernels can read, with its halos and its part of the results."""
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
        target = out[cut]
        parts.append((section, halo, _pairs(target, writeable=True) if dtype.kind == "c" else target))
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


def _between(axis: int, first: int, stop: int) -> tuple[Any, ...]:
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
    window = _window(section, block, halo, -rows.before, rows.size + rows.after)
    if window.dtype != dtype:
        window = xp.astype(window, dtype)
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
