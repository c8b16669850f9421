"""Heights of levels that follow the terrain: given on the grid, or by the formulas of CF, appendix D."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from .. import chunks
from ..errors import CoordinateError
from .frames import Layout
from .sites import Site

Terms = Mapping[str, xr.Variable]


def _sigma(t: Terms) -> Any:
    return t["eta"] + t["sigma"] * (t["depth"] + t["eta"])


def _s(t: Terms) -> Any:
    a, b, s = t["a"], t["b"], t["s"]
    tanh = np.tanh(a * (s + 0.5)) / (2.0 * np.tanh(0.5 * a)) - 0.5
    stretched = (1.0 - b) * np.sinh(a * s) / np.sinh(a) + b * tanh
    return t["eta"] * (1.0 + s) + t["depth_c"] * s + (t["depth"] - t["depth_c"]) * stretched


def _s_g1(t: Terms) -> Any:
    at_rest = t["depth_c"] * t["s"] + (t["depth"] - t["depth_c"]) * t["c"]
    return at_rest + t["eta"] * (1.0 + at_rest / t["depth"])


def _s_g2(t: Terms) -> Any:
    at_rest = (t["depth_c"] * t["s"] + t["depth"] * t["c"]) / (t["depth_c"] + t["depth"])
    return t["eta"] + (t["eta"] + t["depth"]) * at_rest


def _hybrid_height(t: Terms) -> Any:
    return t["a"] + t["b"] * t["orog"]


def _hybrid_pressure(t: Terms) -> Any:
    return (t["ap"] if "ap" in t else t["a"] * t["p0"]) + t["b"] * t["ps"]


def _pressure_sigma(t: Terms) -> Any:
    return t["ptop"] + t["sigma"] * (t["ps"] - t["ptop"])


# Standard name of the levels -> formula, the terms it needs, the term with its unit. Pressures have that of
# ps; all others are heights, positive upward.
FORMULAS: dict[str, tuple[Callable[[Terms], Any], tuple[str, ...], str]] = {
    "ocean_sigma_coordinate": (_sigma, ("sigma", "eta", "depth"), "depth"),
    "ocean_s_coordinate": (_s, ("s", "eta", "depth", "a", "b", "depth_c"), "depth"),
    "ocean_s_coordinate_g1": (_s_g1, ("s", "c", "eta", "depth", "depth_c"), "depth"),
    "ocean_s_coordinate_g2": (_s_g2, ("s", "c", "eta", "depth", "depth_c"), "depth"),
    "atmosphere_hybrid_height_coordinate": (_hybrid_height, ("a", "b", "orog"), "orog"),
    "atmosphere_hybrid_sigma_pressure_coordinate": (_hybrid_pressure, ("b", "ps"), "ps"),
    "atmosphere_sigma_coordinate": (_pressure_sigma, ("sigma", "ps", "ptop"), "ps"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Heights:
    """Heights (or depths, or pressures) of all points, not yet computed.

    Attributes
    ----------
    name : Hashable
        What they are called.
    dims : tuple of Hashable
        Their dimensions, in the order of the data.
    units : str or None
        Their unit.
    terms : dict of str to Variable
        What they are made of.
    formula : callable
        Makes them of the terms.
    levels : Hashable or None
        The 1-D coordinate of the levels where a formula has one.
    """

    name: Hashable
    dims: tuple[Hashable, ...]
    units: str | None
    terms: Terms
    formula: Callable[[Terms], Any]
    levels: Hashable | None = None
    attrs: Mapping[Any, Any] = field(default_factory=dict)

    def variable(self, layout: Layout) -> xr.Variable:
        """Make them in float64, chunked like the data."""
        fitted = {}
        for key, term in self.terms.items():
            data = (
                chunks.like(term._data, layout.chunks_of(term.dims)) if term.dims else np.asarray(term.values)
            )
            fitted[key] = xr.Variable(term.dims, data).astype(np.float64)
        made: xr.Variable = self.formula(fitted).transpose(*self.dims)
        return made


def given(site: Site, z: Any) -> Heights:
    """Take the heights that the user names or gives."""
    name, variable = site.variable(z, "z")
    site.refuse_foreign(variable, f"z={name!r}")
    if variable.dtype.kind not in "fiu":
        raise CoordinateError(f"z={name!r} has dtype {variable.dtype}: numbers are needed")
    return Heights(
        "z" if name is None else name,
        _ordered(site, variable.dims),
        variable.attrs.get("units"),
        {"z": variable},
        lambda terms: terms["z"],
        attrs=variable.attrs,
    )


def by_formula(site: Site) -> Heights:
    """Find levels with `formula_terms`, and the formula of CF for them."""
    found = [
        name
        for name, c in site.array.coords.items()
        if c.attrs.get("standard_name") in FORMULAS
        and ("formula_terms" in c.attrs or "formula_terms" in c.encoding)
    ]
    if len(found) != 1:
        what = f"{len(found)} coordinates with them, {found!r}" if found else "none"
        raise CoordinateError(
            f"the heights of the levels of {site.array.name!r} are not given, and of coordinates whose "
            f"formula_terms say them there are {what}: give them, as in xgrad.TerrainFollowing(z='z_rho')"
        )
    levels = site.array.coords[found[0]]
    kind = levels.attrs["standard_name"]
    formula, needed, unit_of = FORMULAS[kind]
    words = str(levels.attrs.get("formula_terms", levels.encoding.get("formula_terms"))).split()
    names = {key.rstrip(":").lower(): name for key, name in zip(words[::2], words[1::2], strict=False)}
    if kind == "atmosphere_hybrid_sigma_pressure_coordinate":
        needed = (*needed, "ap") if "ap" in names else (*needed, "a", "p0")
    missing = [key for key in needed if key not in names]
    if missing:
        raise CoordinateError(
            f"the formula_terms of {found[0]!r}, {' '.join(words)!r}, lack {missing!r} of {kind}"
        )
    terms = {}
    for key in needed:
        if names[key] not in site.known:
            raise CoordinateError(
                f"the formula_terms of {found[0]!r} name {names[key]!r}, which is not there: call .grad on "
                'the Dataset, or open the file with decode_coords="all"'
            )
        _, terms[key] = site.variable(names[key], key)
        site.refuse_foreign(terms[key], f"the term {key} of {found[0]!r}, {names[key]!r},")
    dims = _ordered(site, [dim for term in terms.values() for dim in term.dims])
    name, attrs = ("pressure", {}) if unit_of == "ps" else ("z", {"positive": "up"})
    return Heights(name, dims, terms[unit_of].attrs.get("units"), terms, formula, found[0], attrs)


def _ordered(site: Site, dims: Sequence[Hashable]) -> tuple[Hashable, ...]:
    """Return dimensions in the order of the data."""
    return tuple(dim for dim in site.dims if dim in dims)
