"""One block in memory: all its partial derivatives in one pass.

The block is walked in slabs that fit into the cache; on each slab the kernel runs along every axis before
the next is touched. Results do not depend on where slabs or blocks begin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


def result_dtype(data: Array) -> Any:
    """Return the dtype of a derivative: native floating dtypes are kept, everything else becomes float64."""
    if isinstance(data.dtype, np.dtype):
        return data.dtype.newbyteorder("=") if data.dtype.kind in "fc" else np.dtype(np.float64)
    xp = data.__array_namespace__()
    return data.dtype if xp.isdtype(data.dtype, ("real floating", "complex floating")) else xp.float64


def run(
    block: Array, sections: Sequence[Section], halos: Sequence[Halo], *, dtype: Any, gaps: bool
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
    outs = tuple(np.empty_like(block, dtype=dtype) for _ in sections)
    reach = max(section.rows.gaps.reach for section in sections)
    for axis, first, stop in _slabs(block, dtype.itemsize):
        slab = _between(axis, first, stop)
        near = [block[_between(axis, max(first - reach, 0), stop + reach)]]
        sides = []
        for section, (before, after) in zip(sections, halos, strict=True):
            cut = (slice(None),) if section.axis == axis else slab
            sides.append(([piece[cut] for piece in before], [piece[cut] for piece in after]))
            near += [*sides[-1][0], *sides[-1][1]]
        mend = gaps and any(part.dtype.kind in "fc" and compiled.holes(_native(part, dtype)) for part in near)
        for section, halo, out in zip(sections, sides, outs, strict=True):
            if section.axis == axis:
                _fill(compiled, section, block, halo, out, (first, stop), mend)
            else:
                _fill(compiled, section, block[slab], halo, out[slab], (0, section.rows.size), mend)
    return outs


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


def _slabs(block: NDArray[Any], itemsize: int) -> Iterator[tuple[int, int, int]]:
    """Cut a block along its slowest axis in memory, as (axis, first, stop)."""
    if not block.size:
        return
    axis = max(range(block.ndim), key=lambda d: (block.shape[d] > 1, abs(block.strides[d])))
    rows = block.shape[axis]
    step = max(_SLAB_BYTES // (block.size // rows * itemsize), 1)
    for first in range(0, rows, step):
        yield axis, first, min(first + step, rows)


def _between(axis: int, first: int, stop: int) -> tuple[Any, ...]:
    """Index that keeps rows `first` to `stop - 1` of an axis."""
    return (*(slice(None),) * axis, slice(first, stop), ...)


def _ascending(array: Array, section: Section) -> Array:
    """View an array in ascending order along the section's axis."""
    if not section.descending:
        return array
    return array[(*(slice(None),) * section.axis, slice(None, None, -1), ...)]


def _fill(
    compiled: Any, section: Section, block: Array, halo: Halo, out: Array, stored: tuple[int, int], mend: bool
) -> None:
    """Write the results of a range of stored rows; only rows near the block's ends need a copy."""
    axis, rows, reach = section.axis, section.rows, section.rows.gaps.reach
    first, stop = (rows.size - stored[1], rows.size - stored[0]) if section.descending else stored
    out = _ascending(out, section)
    low = min(max(reach if rows.before else 0, first), stop)
    high = max(min(section.own - reach if rows.after else rows.size, stop), low)
    for a, b in ((first, low), (low, high), (high, stop)):
        if a < b:
            part = rows.cut(a, b, reach)
            window = _native(_window(section, block, halo, a - part.before, b + part.after), out.dtype)
            target = out[_between(axis, a, b)]
            if out.dtype.kind == "c":
                window, target = _unite(window) if mend else window, _pairs(target, writeable=True)
            compiled.differentiate(window, target, axis, part, mend)


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


def _native(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return floats that the compiled kernels read in place; complex numbers become two along a last axis."""
    if array.dtype != dtype or not array.dtype.isnative or not array.flags.aligned:
        array = array.astype(dtype)
    if any(stride % (array.itemsize // (2 if dtype.kind == "c" else 1)) for stride in array.strides):
        array = array.copy()
    return _pairs(array) if dtype.kind == "c" else array


def _pairs(array: NDArray[Any], writeable: bool = False) -> NDArray[Any]:
    """View complex numbers as a last axis of real and imaginary part."""
    half = array.itemsize // 2
    return as_strided(array.real, (*array.shape, 2), (*array.strides, half), writeable=writeable)


def _unite(pairs: NDArray[Any]) -> NDArray[Any]:
    """Make both parts of a complex number missing where one is."""
    return np.where(np.isnan(pairs).any(axis=-1, keepdims=True), pairs.dtype.type(np.nan), pairs)


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
