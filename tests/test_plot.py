"""Pictures: what is drawn is asserted, not how it looks."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import xarray as xr

from xgrad.errors import MissingExtraError, XgradError
from xgrad.plot import panels


@pytest.fixture
def field():
    y, x = np.linspace(0, 1, 12), np.linspace(0, 2, 20)
    values = 280 + y[:, None] ** 2 + 5 * x
    return xr.DataArray(
        values, {"y": ("y", y, {"units": "m"}), "x": x}, ("y", "x"), name="t", attrs={"units": "K"}
    )


@pytest.fixture
def slopes(field):
    return xr.Dataset(
        {f"dt_d{dim}": field.differentiate(dim).assign_attrs(units=f"K {dim}-1") for dim in ("x", "y")}
    )


def drawn(figure):
    """The panels and the colour bars of a figure."""
    maps = [ax for ax in figure.axes if ax.get_title()]
    return maps, [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]


def test_panels_name_what_they_show(field, slopes):
    maps, bars = drawn(panels(field, slopes))
    assert [ax.get_title() for ax in maps] == ["t", "dt_dx", "dt_dy"]
    assert [bar.get_ylabel() for bar in bars] == ["[K]", "[K x-1]", "[K y-1]"]
    assert maps[0].get_ylabel() == "y [m]"
    assert maps[0].get_xlabel() == "x"


def test_derivatives_are_symmetric_about_zero(field, slopes):
    """dt_dx is 5 everywhere: one-signed data that xarray alone would draw with sequential colours."""
    maps, _ = drawn(panels(field, slopes, robust=False))
    for ax in maps[1:]:
        (mesh,) = ax.collections
        low, high = mesh.get_clim()
        assert low == -high
        assert mesh.get_cmap().name == "RdBu_r"
    assert maps[0].collections[0].get_cmap().name == "viridis"
    assert maps[0].collections[0].get_clim() == (field.min(), field.max())


def test_extremes_do_not_set_the_colours(field, slopes):
    slopes["dt_dy"][3, 3] = 1e6
    maps, _ = drawn(panels(field, slopes))
    assert maps[2].collections[0].get_clim()[1] < 10
    maps, _ = drawn(panels(field, slopes, robust=False))
    assert maps[2].collections[0].get_clim()[1] == 1e6


@pytest.mark.parametrize(("columns", "shape"), [(None, (1, 3)), (1, (3, 1)), (2, (2, 2)), (9, (1, 3))])
def test_columns(field, slopes, columns, shape):
    maps, _ = drawn(panels(field, slopes, columns=columns))
    grid = maps[0].get_subplotspec().get_gridspec()
    assert (grid.nrows, grid.ncols) == shape


def test_one_derivative_without_units_or_coordinates(field):
    bare = field.drop_vars(["x", "y"]).drop_attrs()
    maps, bars = drawn(panels(bare, bare.rename("slope")))
    assert [ax.get_title() for ax in maps] == ["t", "slope"]
    assert bars[0].get_ylabel() == ""


def test_nothing_is_left_in_pyplot(field, slopes):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    panels(field, slopes)
    assert plt.get_fignums() == before


def test_other_than_two_dimensions_are_refused(field, slopes):
    with pytest.raises(XgradError, match=r"'dt_dx' has the dimensions \('x',\)"):
        panels(field, slopes["dt_dx"].isel(y=0))
    with pytest.raises(XgradError, match="'t' has the dimensions"):
        panels(field.expand_dims("time"), slopes)


def test_without_matplotlib_the_extra_is_named(field, slopes, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'xgrad\[plot\]'"):
        panels(field, slopes)
