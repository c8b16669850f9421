"""The questions that people ask of numpy.gradient, answered with names, units and edges like the middle."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pytest
import sympy as sp
import xarray as xr

import xgrad  # noqa: F401 - registers .grad

EPS = np.finfo(np.float64).eps


def grid(**axes: np.ndarray) -> list[xr.DataArray]:
    """Coordinates that broadcast against each other."""
    return [xr.DataArray(x, dims=dim, coords={dim: x}, name=dim) for dim, x in axes.items()]


def rounding(f: xr.DataArray, dim: Hashable) -> float:
    """What the rounding of f can do to its derivative: eps max|f| times the sum of weights, at most 8/h."""
    return float(8 * EPS * abs(f).max() / abs(f[dim].diff(dim)).min())


# -- V = 2 x^2 + 3 y^2 - 4 z: the electric field of a potential -----------------------------------------


@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize("chunks", [None, {"x": 3, "y": (1, 7, 1), "z": 2}])
def test_gradient_of_a_quadratic_potential_is_exact_up_to_the_edges(stretched, chunks):
    x, y, z = np.linspace(-1, 1, 11), np.linspace(0, 2, 9), np.linspace(-3, 3, 7)
    if stretched:
        x, y, z = np.sinh(x), y**2 + y, np.arctan(z)
    x, y, z = grid(x=x, y=y, z=z)
    for coordinate in (x, y, z):
        coordinate[coordinate.name].attrs["units"] = "m"
    V = (2 * x**2 + 3 * y**2 - 4 * z).rename("V").assign_attrs(units="V")
    if chunks:
        V = V.chunk(chunks)
    result = V.grad.compute(["x", "y", "z"])
    assert list(result.data_vars) == ["dV_dx", "dV_dy", "dV_dz"]
    for dim, exact in [("x", 4 * x), ("y", 6 * y), ("z", -4.0)]:
        derivative = result[f"dV_d{dim}"]
        assert derivative.dims == ("x", "y", "z")
        assert derivative.attrs["units"] == "V m-1"
        assert float(abs(derivative - exact).max()) <= rounding(V, dim)
    E = -result  # the field; numpy's order of axes does not matter any more
    assert float(E.dV_dx.sel(x=x[3], y=y[5], z=z[0])) == pytest.approx(-4 * float(x[3]), rel=1e-12)
    second = V.grad.compute(["x", "y", "z"], n=2)
    for dim, exact in [("x", 4.0), ("y", 6.0), ("z", 0.0)]:
        smallest = float(abs(V[dim].diff(dim)).min())
        assert float(abs(second[f"d2V_d{dim}2"] - exact).max()) <= 8 * rounding(V, dim) / smallest


def test_gradient_of_the_potential_with_first_order_edges_is_numpys():
    x, y, z = grid(x=np.linspace(-1, 1, 11), y=np.linspace(0, 2, 9), z=np.linspace(-3, 3, 7))
    V = (2 * x**2 + 3 * y**2 - 4 * z).rename("V")
    result = V.grad.compute(["x", "y", "z"], edge_order=1)
    theirs = np.gradient(V.values, x.values, y.values, z.values)
    for dim, expected in zip("xyz", theirs, strict=True):
        np.testing.assert_allclose(result[f"dV_d{dim}"].values, expected, rtol=0, atol=rounding(V, dim))
    # One-sided differences of 2 x^2 are off by 2 h at the ends: what order 2 edges avoid
    h = 0.2
    assert float(result.dV_dx[0, 0, 0]) == pytest.approx(-4 + 2 * h)
    assert float(V.grad.compute("x").dV_dx[0, 0, 0]) == pytest.approx(-4)


# -- sin(x + y) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "constant"), [(2, 1 / 3), (4, 1 / 5), (6, 1 / 7), (8, 1 / 9)])
def test_sine_of_a_sum_has_equal_derivatives(order, constant):
    side = np.linspace(0, 2 * np.pi, 61)
    x, y = grid(x=side, y=side)
    f = np.sin(x + y).rename("f")
    result = f.grad.compute(["x", "y"], order=order)
    # error constants of the one-sided stencils at the very ends (1/3, 1/5, ...), the largest of all
    bound = constant * (side[1] - side[0]) ** order + 4 * rounding(f, "x")
    for name in ("df_dx", "df_dy"):
        error = abs(result[name] - np.cos(x + y))
        assert bound / 100 < float(error.max()) <= bound * 1.05
    assert float(abs(result.df_dx - result.df_dy.transpose("y", "x").values).max()) == 0.0
    np.testing.assert_array_equal(f.grad.derivative(x=1).T.values, f.grad.derivative(y=1).values)


def test_sine_of_a_sum_on_a_ring():
    side = 2 * np.pi * np.arange(40) / 40
    x, y = grid(x=side, y=side)
    f = np.sin(x + y).rename("f")
    result = f.grad.derivative(x=1, periodic={"x": 2 * np.pi})
    h = side[1]
    # A centred difference of a sine is cos times sin(h)/h: the same everywhere, the seam included
    np.testing.assert_allclose(result.values, np.cos(x + y).values * np.sin(h) / h, rtol=0, atol=1e-14)
    mixed = f.grad.derivative(x=1, y=1, order=4, periodic=True)
    k = (8 * np.sin(h) - np.sin(2 * h)) / (6 * h)
    np.testing.assert_allclose(mixed.values, -np.sin(x + y).values * k**2, rtol=0, atol=1e-13)


# -- the 7x7 image -----------------------------------------------------------------------------------------


@pytest.fixture
def image() -> xr.DataArray:
    pixels = np.tile(np.array([21, 20, 22, 24, 18, 11, 23], dtype=np.uint8), (7, 1))
    pixels[3, 3] = 99
    return xr.DataArray(pixels, dims=("down", "across"), name="grey")


def test_the_derivative_of_an_image_at_its_bright_pixel(image):
    result = image.grad.compute(["down", "across"], spacing={"down": 1, "across": 1})
    # Its neighbours above and below are equal; those beside it are 22 and 18. The pixel itself is not read.
    assert float(result.dgrey_ddown[3, 3]) == 0.0
    assert float(result.dgrey_dacross[3, 3]) == -2.0
    assert (float(result.dgrey_ddown[2, 3]), float(result.dgrey_ddown[4, 3])) == (37.5, -37.5)
    assert (float(result.dgrey_dacross[3, 2]), float(result.dgrey_dacross[3, 4])) == (39.5, -44.0)


def test_an_image_of_unsigned_bytes_does_not_wrap_round(image):
    spacing = {"down": 1, "across": 1}
    result = image.grad.compute(spacing=spacing, edge_order=1)
    assert list(result.data_vars) == ["dgrey_ddown", "dgrey_dacross"]
    for name, expected in zip(result.data_vars, np.gradient(image.values.astype(float)), strict=True):
        assert result[name].dtype == np.float64
        np.testing.assert_array_equal(result[name].values, expected)
    # 20 - 21 is -1, not 255
    assert float(result.dgrey_dacross[0, 0]) == -1.0
    assert float(image.grad.compute("across", spacing={"across": 1}).dgrey_dacross[0, 0]) == -2.5


def test_an_image_has_no_coordinates_until_it_is_given_some(image):
    with pytest.raises(ValueError, match="'across' has no coordinate"):
        image.grad.compute("across")
    labelled = image.assign_coords(across=("across", 0.5 * np.arange(7), {"units": "mm"}))
    result = labelled.grad.compute("across")
    assert float(result.dgrey_dacross[3, 3]) == -4.0
    assert "units" not in result.dgrey_dacross.attrs  # the image has none


# -- a vector field (3, N, N, N) and its Jacobian ------------------------------------------------------------


def test_jacobian_of_a_vector_field_by_a_component_dimension():
    side = np.linspace(-1, 1, 8)
    x, y, z = grid(x=side, y=side**3 + side, z=side)
    u, v, w = x * y, y * z - x, z**2 + 2 * x * y
    component = xr.DataArray(["u", "v", "w"], dims="component", name="component")
    field = xr.concat([u, v, w], component.to_index()).transpose("component", "x", "y", "z").rename("F")
    assert field.shape == (3, 8, 8, 8)
    derivatives = field.grad.compute(["x", "y", "z"])
    jacobian = derivatives.to_dataarray("along").assign_coords(along=["x", "y", "z"])
    assert jacobian.shape == (3, 3, 8, 8, 8)
    zero = xr.zeros_like(field.isel(component=0, drop=True))
    exact = {
        ("u", "x"): y, ("u", "y"): x, ("u", "z"): 0.0,
        ("v", "x"): -1.0, ("v", "y"): z, ("v", "z"): y,
        ("w", "x"): 2 * y, ("w", "y"): 2 * x, ("w", "z"): 2 * z,
    }  # fmt: skip
    for (of, along), expected in exact.items():
        entry = jacobian.sel(component=of, along=along, drop=True)
        assert float(abs(entry - (zero + expected)).max()) <= rounding(field, along)
    divergence = sum(jacobian.sel(component=c, along=d, drop=True) for c, d in zip("uvw", "xyz", strict=True))
    assert float(abs(divergence - (y + z + 2 * z)).max()) <= 3 * rounding(field, "y")
    # Without dims: strings are no positions, so the components are no axis
    assert list(field.grad.compute().data_vars) == ["dF_dx", "dF_dy", "dF_dz"]


def test_jacobian_agrees_with_numpy_axis_by_axis():
    rng = np.random.default_rng(7)
    values = rng.standard_normal((3, 5, 6, 7))
    axes = {"x": np.arange(5.0), "y": np.cumsum(rng.uniform(0.5, 1, 6)), "z": np.arange(7.0) / 4}
    field = xr.DataArray(values, dims=("component", "x", "y", "z"), coords=axes, name="F")
    result = field.grad.compute(["x", "y", "z"], edge_order=1)
    for theirs, dim in zip(np.gradient(values, *axes.values(), axis=(1, 2, 3)), "xyz", strict=True):
        ours = result[f"dF_d{dim}"].values
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13 * np.abs(theirs).max())


# -- f = [1, 8, 27] at x = [1, 2, 3] -------------------------------------------------------------------------


def test_three_cubes():
    f = xr.DataArray([1, 8, 27], dims="x", coords={"x": [1, 2, 3]}, name="f")
    assert f.grad.compute("x", edge_order=1).df_dx.values.tolist() == [7.0, 13.0, 19.0]
    # the parabola through the three points, 6 x^2 - 11 x + 6, has the derivative 12 x - 11
    assert f.grad.compute("x").df_dx.values.tolist() == [1.0, 13.0, 25.0]
    assert f.grad.derivative(x=2, edge_order=1).values.tolist() == [12.0, 12.0, 12.0]
    with pytest.raises(ValueError, match=r"'x' has 3 points, but 5 are needed.*order=2 would work"):
        f.grad.compute("x", order=4)


# -- 2 x^2 + x/2 with first to fourth central differences ------------------------------------------------


@pytest.mark.parametrize(
    ("n", "exact"),
    [(1, lambda x: 4 * x + 0.5), (2, lambda x: 4 + 0 * x), (3, lambda x: 0 * x), (4, lambda x: 0 * x)],
)
def test_first_to_fourth_derivatives_of_a_parabola(n, exact):
    # Multiples of 1/4: f and all its differences are exact in binary
    x = xr.DataArray(np.arange(-8, 9) / 4, dims="x", name="x")
    f = (2 * x**2 + x / 2).assign_coords(x=x).rename("f")
    result = f.grad.derivative(x=n)
    assert result.name == ("df_dx" if n == 1 else f"d{n}f_dx{n}")
    inside = slice(2, -2)
    np.testing.assert_array_equal(result[inside].values, exact(x).values[inside])
    # One-sided weights are not all exact: 2e-15 of the largest, 17/2 / h^4, times six differences of up to 6
    np.testing.assert_allclose(result.values, exact(x).values, rtol=0, atol=2e-15 * 8.5 * 4.0**n * 6 * 6)


def test_central_differences_of_a_parabola_are_those_of_the_books():
    h = 0.5
    x = h * np.arange(9)
    f = np.cos(x) + 2 * x**2 + x / 2
    array = xr.DataArray(f, dims="x", coords={"x": x}, name="f")
    k = slice(2, -2)
    books = {
        1: (f[3:-1] - f[1:-3]) / (2 * h),
        2: (f[3:-1] - 2 * f[k] + f[1:-3]) / h**2,
        3: (f[4:] - 2 * f[3:-1] + 2 * f[1:-3] - f[:-4]) / (2 * h**3),
        4: (f[4:] - 4 * f[3:-1] + 6 * f[k] - 4 * f[1:-3] + f[:-4]) / h**4,
    }
    for n, expected in books.items():
        result = array.grad.derivative(x=n).values[k]
        np.testing.assert_allclose(result, expected, rtol=0, atol=16 * EPS * np.abs(f).max() / h**n)


# -- SymPy's gradient ---------------------------------------------------------------------------------------

X, Y, Z = sp.symbols("x y z")
SURFACE = sp.exp(sp.sin(X) * Y) / (1 + X**2 + Y**2)
VOLUME = sp.exp(-(X**2) / 2) * sp.cos(Y - Z) + sp.log(4 + X * Z + Y**2) * sp.sin(X)


def stretch(size: int, stretched: bool) -> np.ndarray:
    s = np.linspace(-1, 1, size)
    return np.sinh(1.2 * s) / np.sinh(1.2) if stretched else s


def largest_errors(
    expression: sp.Expr, symbols: tuple[sp.Symbol, ...], size: int, order: int, stretched: bool
):
    """The largest errors along each symbol, (over the inside, over all points)."""
    axes = {str(s): stretch(size, stretched) for s in symbols}
    mesh = np.meshgrid(*axes.values(), indexing="ij")
    f = xr.DataArray(sp.lambdify(symbols, expression)(*mesh), dims=list(axes), coords=axes, name="f")
    result = f.grad.compute(list(axes), order=order)
    errors = []
    for axis, symbol in enumerate(symbols):
        exact = sp.lambdify(symbols, sp.diff(expression, symbol))(*mesh)
        error = np.moveaxis(np.abs(result[f"df_d{symbol}"].values - exact), axis, 0)
        errors.append((error[order // 2 : -order // 2].max(), error.max()))
    return np.array(errors)


@pytest.mark.parametrize("stretched", [False, True], ids=["uniform", "stretched"])
@pytest.mark.parametrize(
    ("order", "sizes"), [(2, (81, 161)), (4, (81, 161)), (6, (81, 161))], ids=["order2", "order4", "order6"]
)
def test_convergence_to_sympys_gradient_in_2d(order, sizes, stretched):
    coarse, fine = (largest_errors(SURFACE, (X, Y), size, order, stretched) for size in sizes)
    assert (fine > 1000 * EPS * 10).all()  # truncation, not rounding, is what is seen
    assert (np.log2(coarse / fine) >= order - 0.1).all(), np.log2(coarse / fine)


@pytest.mark.parametrize(("order", "sizes"), [(2, (29, 57)), (4, (29, 57)), (6, (29, 57))])
def test_convergence_to_sympys_gradient_in_3d(order, sizes):
    coarse, fine = (largest_errors(VOLUME, (X, Y, Z), size, order, False) for size in sizes)
    assert (np.log2(coarse / fine) >= order - 0.1).all(), np.log2(coarse / fine)


def test_a_mixed_derivative_of_sympy():
    sizes, errors = (41, 81), []
    exact = sp.lambdify((X, Y), sp.diff(SURFACE, X, 2, Y))
    for size in sizes:
        axes = {"x": np.linspace(-1, 1, size), "y": np.linspace(-1, 1, size)}
        mesh = np.meshgrid(*axes.values(), indexing="ij")
        f = xr.DataArray(sp.lambdify((X, Y), SURFACE)(*mesh), dims=("x", "y"), coords=axes, name="f")
        result = f.grad.derivative(x=2, y=1, order=4)
        assert result.name == "d3f_dx2dy"
        errors.append(np.abs(result.values - exact(*mesh)).max())
    assert np.log2(errors[0] / errors[1]) >= 3.9
