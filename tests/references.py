"""Slow and obvious derivatives on lines, on the globe and on curvilinear grids: an independent oracle."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

Array = Any


@lru_cache(maxsize=100_000)
def _weights(offsets: tuple[float, ...]) -> tuple[float, ...]:
    """Weights of the first derivative at offset 0, which is among the offsets, exact on polynomials."""
    own = offsets.index(0.0)
    weights = []
    for j, d_j in enumerate(offsets):
        weight = 0.0 if j == own else 1 / d_j
        for k, d_k in enumerate(offsets):
            if own != j != k != own:
                weight *= d_k / (d_k - d_j)
        weights.append(weight)
    weights[own] = -sum(weights)
    return tuple(weights)


def _valid_before(valid: Array, ring: bool) -> Array:
    """Count the valid points in a row right before each point, along the first axis."""
    before = np.zeros(valid.shape, dtype=int)
    count = np.zeros(valid.shape[1:], dtype=int)
    for _ in range(2 if ring else 1):  # the second lap knows what lies before the seam
        for i in range(len(valid)):
            before[i] = count
            count = np.where(valid[i], count + 1, 0)
    return before


def _along_first(f: Array, x: Array, order: int, edge_order: int, period: float | None) -> Array:
    """Derivative along the first axis of `f` with shape (points, lines); `x` ascends."""
    n, half, ring = len(x), order // 2, period is not None
    valid = ~np.isnan(f)
    left = _valid_before(valid, ring)
    right = _valid_before(valid[::-1], ring)[::-1]
    if ring:  # without an end, centred everywhere
        endless = valid.all(axis=0)
        left[:, endless] = right[:, endless] = half

    result = np.full(f.shape, np.nan)
    for i in range(n):
        # The run is [a, b) relative to the point.
        a, b = -left[i], right[i] + 1
        centred = (left[i] >= half) & (right[i] >= half)
        width = np.where(centred, 2 * half + 1, np.minimum(edge_order + 1, b - a))
        start = np.where(centred, -half, np.clip(-((width - 1) // 2), a, b - width))
        usable = valid[i] & (width >= 2)
        stencils = np.stack([start[usable], width[usable]], axis=1)
        for first, points in sorted({(int(s), int(w)) for s, w in np.unique(stencils, axis=0)}):
            lines = usable & (start == first) & (width == points)
            taps = [divmod(i + first + j, n) for j in range(points)]  # laps, index
            offsets = tuple(float(x[k] - x[i] + (lap * period if ring else 0)) for lap, k in taps)
            own = f[i, lines]
            result[i, lines] = sum(
                weight * (f[k, lines] - own)
                for weight, (_, k) in zip(_weights(offsets), taps, strict=True)
                if k != i
            )
    return result


def derivative(
    f: Array,
    x: Array | None,
    order: int,
    *,
    axis: int = -1,
    period: float | None = None,
    overlap: int = 0,
    edge_order: int | None = None,
) -> Array:
    """First derivative along one axis; NaN are missing, and stencils shift inwards beside them and at ends.

    `x` is None for index positions, whose `period` is the number of points whatever is given, if anything is.
    The last `overlap` points repeat the first ones.
    """
    f = np.moveaxis(np.asarray(f, dtype=np.float64), axis, 0)
    n = len(f) - overlap
    if x is None:
        x = np.arange(n, dtype=np.float64)
        period = None if period is None else float(n)
    x = np.asarray(x, dtype=np.float64)[:n]
    lines = f[:n].reshape(n, -1)
    turn = slice(None, None, -1 if x[-1] < x[0] else 1)
    edge_order = order if edge_order is None else edge_order
    result = _along_first(lines[turn], x[turn], order, edge_order, period)[turn]
    result = np.concatenate([result, result[:overlap]])
    return np.moveaxis(result.reshape(f.shape), 0, axis)


def position(lon: Array, lat: Array, a: float, f: float) -> Array:
    """Cartesian position (3, ...) on the ellipsoid of longitudes and geodetic latitudes in degrees."""
    lam, phi = np.radians(np.broadcast_arrays(np.float64(lon), np.float64(lat)))
    e2 = f * (2 - f)
    n = a / np.sqrt(1 - e2 * np.sin(phi) ** 2)
    return np.stack(
        [
            n * np.cos(phi) * np.cos(lam),
            n * np.cos(phi) * np.sin(lam),
            n * (1 - e2) * np.sin(phi),
        ]
    )


def unit_vectors(lon: Array, lat: Array) -> tuple[Array, Array]:
    """Cartesian unit vectors (3, ...) to the east and to the north."""
    lam, phi = np.radians(np.broadcast_arrays(np.float64(lon), np.float64(lat)))
    east = np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)])
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)])
    return east, north


def chord(
    field: Array,
    lon: Array,
    lat: Array,
    order: int,
    a: float,
    f: float,
    *,
    ring: float | bool = False,
    overlap: int = 0,
    x: Array | None = None,
    y: Array | None = None,
) -> tuple[Array, Array]:
    """Eastward and northward derivative per metre of a field (..., ny, nx) on a curvilinear grid (ny, nx).

    `ring` closes the last axis; with `x` it is the period of `x`. Cells whose two directions nearly coincide
    are NaN.
    """
    if x is not None and ring is True:
        raise ValueError("with x, ring has to be the period of x")
    period = float(ring) if ring else None

    def along_i(values: Array) -> Array:
        return derivative(values, x, order, axis=-1, period=period, overlap=overlap)

    def along_j(values: Array) -> Array:
        return derivative(values, y, order, axis=-2)

    X = position(lon, lat, a, f)
    east, north = unit_vectors(lon, lat)
    f_i, f_j = along_i(field), along_j(field)
    T_i, T_j = along_i(X), along_j(X)
    i_east, i_north = (T_i * east).sum(axis=0), (T_i * north).sum(axis=0)
    j_east, j_north = (T_j * east).sum(axis=0), (T_j * north).sum(axis=0)

    area = np.linalg.norm(np.cross(T_i, T_j, axis=0), axis=0)
    sides = np.linalg.norm(T_i, axis=0) * np.linalg.norm(T_j, axis=0)
    det = i_east * j_north - i_north * j_east
    det = np.where((sides > 0) & (area >= 1e-3 * sides), det, np.nan)
    f_east = (j_north * f_i - i_north * f_j) / det
    f_north = (i_east * f_j - j_east * f_i) / det
    return f_east, f_north


def lonlat(
    field: Array,
    lon: Array,
    lat: Array,
    order: int,
    a: float,
    f: float,
    *,
    ring: bool,
    poles: tuple[bool, bool] | None = None,
    sign: int = 1,
) -> tuple[Array, Array]:
    """Eastward and northward derivative per metre of a field (..., nlat, nlon) on a regular grid in degrees.

    With `ring`, longitudes are a full uniform circle, and stencils in latitude continue across the poles, or
    only across those of (south, north) that `poles` names. Eastward derivatives at a pole need the ring. A
    component of a vector has `sign` -1: beyond a pole it is seen from the other side, and at one there is no
    eastward derivative of it.
    """
    field, lon, lat = (np.asarray(values, dtype=np.float64) for values in (field, lon, lat))
    nlon, nlat = lon.size, lat.size
    turn = slice(None, None, -1 if lat[-1] < lat[0] else 1)
    field, lat = field[..., turn, :], lat[turn]  # from south to north
    if ring and nlon % 2:
        raise ValueError("across a pole, the number of longitudes has to be even")
    over_south, over_north = (poles or (True, True)) if ring else (False, False)

    e2 = f * (2 - f)
    root = np.sqrt(1 - e2 * np.sin(np.radians(lat)) ** 2)
    N, M = a / root, a * (1 - e2) / root**3
    south, north = (np.isclose(lat, pole, rtol=0, atol=1e-9) for pole in (-90, 90))

    # Meridians, continued on the other side of the globe; a row at a pole is its own mirror image.
    beyond = sign * np.roll(field, nlon // 2, axis=-1)[..., ::-1, :]
    lat_before, before = (-180 - lat[::-1])[~south[::-1]], beyond[..., ~south[::-1], :]
    lat_after, after = (180 - lat[::-1])[~north[::-1]], beyond[..., ~north[::-1], :]
    if not over_south:
        lat_before, before = lat_before[:0], before[..., :0, :]
    if not over_north:
        lat_after, after = lat_after[:0], after[..., :0, :]
    meridian = np.concatenate([before, field, after], axis=-2)
    f_phi = derivative(meridian, np.concatenate([lat_before, lat, lat_after]), order, axis=-2)
    f_phi = f_phi[..., lat_before.size : lat_before.size + nlat, :]
    f_north = np.degrees(f_phi) / M[:, None]  # per degree to per radian

    f_lam = np.degrees(derivative(field, lon, order, period=360.0 if ring else None))
    radius = np.where(south | north, np.nan, N * np.cos(np.radians(lat)))
    f_east = f_lam / radius[:, None]
    if ring and sign > 0 and (south | north).any():
        if nlon % 4:
            raise ValueError("with a row at a pole, the number of longitudes has to be a multiple of 4")
        quarter = nlon // 4 if lon[-1] > lon[0] else -(nlon // 4)  # 90 degrees to the east
        f_east[..., north, :] = np.roll(f_north[..., north, :], quarter, axis=-1)  # from 90 degrees west
        f_east[..., south, :] = np.roll(f_north[..., south, :], -quarter, axis=-1)
    return f_east[..., turn, :], f_north[..., turn, :]


def along_grid(field: Array, dx: Array, dy: Array, order: int) -> tuple[Array, Array]:
    """Derivatives along the last axis and the one before it, with cell sizes `dx` and `dy`."""
    return derivative(field, None, order, axis=-1) / dx, derivative(field, None, order, axis=-2) / dy


def terrain(
    f: Array, z: Array, fx: Array, zx: Array, order: int, *, s: Array | None = None, axis: int
) -> tuple[Array, Array]:
    """df/dx at constant z and df/dz; `fx` and `zx` are derivatives at constant s, which is along `axis`."""
    f, z = np.broadcast_arrays(f, z)
    f_z = derivative(f, s, order, axis=axis) / derivative(z, s, order, axis=axis)
    return fx - zx * f_z, f_z
