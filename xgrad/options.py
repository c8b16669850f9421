"""What a user may ask for, and the check of it: names, orders, rings, spacings. No data are seen here."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np

from . import labels, schemes
from .errors import CoordinateError, XgradError, suggestion

Dims = Hashable | Iterable[Hashable] | None
Periodic = bool | str | Iterable[Hashable] | Mapping[Any, Any]
Rings = bool | str | tuple[Hashable, ...] | dict[Hashable, Any]

_EDGE_ORDERS = tuple(range(1, max(schemes.ORDERS) + 1))
_PERIODIC = "give 'auto', True, False, dimensions, or a mapping {dim: period}"


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """The options that all methods share, checked and each in one form; `of` makes them of what was given.

    Attributes
    ----------
    order : int
        Order of accuracy.
    edge_order : int or None
        Order of accuracy at open ends; None where it is not given, see `at_edges`.
    skipna : bool
        Whether points next to missing values get the stencils of their run.
    periodic : bool, "auto", tuple of names, or dict of name to period
        Which axes are rings.
    spacing : dict of dimension to step or positions
        What is to be used instead of coordinates.
    datetime_unit : str
        Unit of time of derivatives along dates and durations.
    """

    order: int = 2
    edge_order: int | None = None
    skipna: bool = True
    periodic: Rings = "auto"
    spacing: dict[Hashable, Any] = field(default_factory=dict)
    datetime_unit: str = "s"

    @classmethod
    def of(
        cls,
        order: Any,
        edge_order: Any,
        skipna: Any,
        periodic: Any,
        spacing: Any,
        datetime_unit: Any,
    ) -> Options:
        """Check what the user gave."""
        if not isinstance(skipna, bool | np.bool_):
            raise XgradError(f"skipna={shown(skipna)}: choose True or False")
        return cls(
            order=one_of("order", 2 if order is None else order, schemes.ORDERS),
            edge_order=None if edge_order is None else one_of("edge_order", edge_order, _EDGE_ORDERS),
            skipna=bool(skipna),
            periodic=_rings(periodic),
            spacing=_mapping("spacing", spacing, "{dim: step or positions}"),
            datetime_unit=datetime_unit,
        )

    @property
    def at_edges(self) -> int:
        """Order of accuracy at open ends."""
        return self.order if self.edge_order is None else self.edge_order

    def period_of(self, name: Hashable, dim: Hashable) -> Any:
        """What `periodic` says of one coordinate: "auto", True, False, or its period."""
        asked = self.periodic
        if isinstance(asked, dict):
            return asked.get(name, asked.get(dim, False))
        if isinstance(asked, tuple):
            return any(key in asked or key == asked for key in (name, dim))
        return asked

    def check_names(
        self, wanted: Sequence[Hashable] | None, used: Sequence[Hashable], dims: Sequence[Hashable]
    ) -> None:
        """Refuse spacings and periods of names that are not there, or that are not asked for.

        `wanted` are the names that were given, None for all dimensions; `used` are those names and the
        dimensions on which they lie, or all names; `dims` are the dimensions of the object.
        """
        along = list(dims if wanted is None else wanted)
        for key in self.spacing:
            if key not in dims:
                raise CoordinateError(f"spacing= has {key!r}, which is no dimension: {suggestion(key, dims)}")
            if key not in along:
                raise XgradError(f"spacing= has {key!r}, but the derivatives are along {along!r}")
        asked = self.periodic
        if not isinstance(asked, dict | tuple) or (isinstance(asked, tuple) and asked in used):
            return
        for key in asked:
            if key not in used:
                raise XgradError(
                    f"periodic= names {shown(key)}, but the derivatives are along {along!r}; {_PERIODIC}"
                )


def one_of(what: str, value: Any, valid: Sequence[int]) -> int:
    """Return an integer, one of the valid ones."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value not in valid:
        raise XgradError(f"{what}={shown(value)} is not available; choose one of {tuple(valid)}")
    return int(value)


def derivative_order(value: Any, name: Hashable | None = None) -> int:
    """Return the order of a derivative."""
    return one_of("n" if name is None else f"the order along {name!r}, n", value, schemes.DERIVATIVES)


def names_of(asked: Any, known: Sequence[Hashable]) -> list[Hashable]:
    """Return names that are given as one name or as several; a tuple that is itself a known name is one."""
    if isinstance(asked, Mapping):
        raise XgradError(
            f"dims={shown(asked)} is a mapping: give names, and n= for the order of the derivative"
        )
    single = isinstance(asked, str | bytes) or not isinstance(asked, Iterable)
    if single or (_hashable(asked) and asked in known):
        names = [asked]
    else:
        try:
            names = list(asked)
        except TypeError as error:
            raise XgradError(f"dims={shown(asked)}: give names, not a {type(asked).__name__}") from error
    for name in names:
        if not _hashable(name):
            raise XgradError(f"dims={shown(asked)}: give names, not a {type(name).__name__}")
    if isinstance(asked, AbstractSet):
        names.sort(key=lambda name: known.index(name) if name in known else len(known))
    if not names:
        raise XgradError("dims is empty: name the dimensions, or leave dims out for all of them")
    if len(set(names)) < len(names):
        raise XgradError(f"dims={names!r} names one twice")
    return names


def output_names(names: Any) -> dict[Hashable, Hashable]:
    """Return the names that outputs are to have, by dimension."""
    checked = _mapping("names", names, "{dim: name of the output}")
    for key, name in checked.items():
        check_hashable(name, f"names={{{key!r}: ...}}")
    return checked


def check_hashable(name: Any, what: str) -> None:
    """Refuse what cannot name a variable."""
    if name is None or not _hashable(name):
        raise XgradError(f"{what}: {shown(name)} is no name; give a string")


def check_used(names: Mapping[Hashable, Hashable], keys: Sequence[Hashable]) -> None:
    """Refuse names for outputs that will not be there."""
    unused = [key for key in names if key not in keys]
    if unused:
        raise XgradError(f"names= has {unused!r}, but the derivatives are along {list(keys)!r}")


def check_free(name: Hashable, taken: AbstractSet[Hashable | None], remedy: str) -> None:
    """Refuse a name of an output that something else has."""
    if name in taken:
        raise XgradError(f"the result would be called {name!r}, which exists already; {remedy}")


def shown(value: Any) -> str:
    """Return a value as messages quote it: on one line, cut where it is long."""
    text = labels.plain(repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _hashable(name: Any) -> bool:
    """Whether something can be a name."""
    try:
        hash(name)
    except TypeError:
        return False
    return True


def _mapping(what: str, value: Any, form: str) -> dict[Hashable, Any]:
    """Return a mapping as a dict, an empty one for None."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise XgradError(f"{what}={shown(value)}: give a mapping {form}")
    return dict(value)


def _rings(asked: Any) -> Rings:
    """Return `periodic` in one of four forms; a name alone is a tuple of one."""
    if isinstance(asked, bool | np.bool_):
        return bool(asked)
    if isinstance(asked, str):
        return asked if asked == "auto" else (asked,)
    if isinstance(asked, Mapping):
        return dict(asked)
    try:
        names = tuple(asked)
    except TypeError as error:
        raise XgradError(f"periodic={shown(asked)} is not understood; {_PERIODIC}") from error
    if not all(_hashable(name) for name in names):
        raise XgradError(f"periodic={shown(asked)} is not understood; {_PERIODIC}")
    return names
