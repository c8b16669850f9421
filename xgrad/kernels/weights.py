"""Finite difference weights: arithmetic that NumPy runs as it stands and Numba compiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fornberg(offsets: Floats, n: int) -> Floats:
    """Weights of the n-th derivative at 0 from values at `offsets`.

    Parameters
    ----------
    offsets : ndarray, shape (taps, rows), float64
        Positions of the taps relative to the point, one column a row; distinct in each column.
    n : int
        Order of the derivative, 0 <= n < taps.

    Returns
    -------
    ndarray, shape (taps, rows), float64
        Weights w with ``f^(n)(0) = sum_k w_k f(offset_k)``, exact for polynomials of degree taps - 1.

    References
    ----------
    B. Fornberg, Generation of finite difference formulas on arbitrarily spaced grids,
    Math. Comp. 51 (1988) 699-706, doi:10.1090/S0025-5718-1988-0935077-0.
    """
    taps, rows = offsets.shape
    table = np.zeros((taps, n + 1, rows))
    table[0, 0] = 1.0
    product = np.ones(rows)
    for i in range(1, taps):
        here, last = offsets[i], offsets[i - 1]
        previous, product = product, np.ones(rows)
        highest = min(i, n)
        for j in range(i):
            gap = here - offsets[j]
            product = product * gap
            if j == i - 1:
                for k in range(highest, 0, -1):
                    table[i, k] = previous * (k * table[j, k - 1] - last * table[j, k]) / product
                table[i, 0] = -previous * last * table[j, 0] / product
            for k in range(highest, 0, -1):
                table[j, k] = (here * table[j, k] - k * table[j, k - 1]) / gap
            table[j, 0] = here * table[j, 0] / gap
    return table[:, n].copy()
