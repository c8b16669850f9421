"""Names and attributes of derivatives: what CF readers and people are told about a result."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from xgrad.units import derivative_units, has_temperature, is_logarithmic


@dataclass(frozen=True, slots=True)
class Along:
    """
    One factor of a derivative: a coordinate, and how often the field is differentiated along it.

    Parameters
    ----------
    name : hashable
        The name of the coordinate.
    n : int
        The order of the derivative, 1 or more.
    units : str or None
        The unit in which the derivative is expressed: that of a step along the coordinate.
    time : bool
        Whether the coordinate holds instants (not durations).
    attrs : mapping
        The attributes of the coordinate variable.
    """

    name: Hashable
    n: int
    units: str | None
    time: bool
    attrs: Mapping[Any, Any]

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"the order along {self.name!r} is {self.n!r}; it must be 1 or more")


# Attributes that say something of the values, of the storage or of the identity of the field, and would be
# false of its derivative. Everything else is kept: grid_mapping, coordinates, cell_measures, institution, ...
_STALE = frozenset(
    {
        # the range, meaning and quality of the values (CF appendix A; what PSL, NCO and ERDDAP add)
        *("valid_min", "valid_max", "valid_range", "unpacked_valid_range", "actual_range", "actual_min"),
        *("actual_max", "flag_values", "flag_masks", "flag_meanings", "ancillary_variables", "cell_methods"),
        *("standard_error_multiplier", "number_of_observations", "precision", "least_significant_digit"),
        *("significant_digits", "number_of_significant_digits", "quantization", "colorBarMinimum"),
        *("colorBarMaximum", "colorBarScale"),
        # how the values are stored
        *("_FillValue", "missing_value", "fill_value", "scale_factor", "add_offset", "_Unsigned", "dtype"),
        *("_ChunkSizes", "compress", "GRIB_missingValue", "GRIB_dataType"),
        # what the field is: only units, standard_name and long_name are formed anew
        *("units", "standard_name", "long_name", "comment", "units_metadata", "calendar", "axis", "positive"),
        *("bounds", "climatology", "formula_terms", "computed_standard_name", "short_name", "original_name"),
        *("original_units", "display_units", "code", "table", "param", "GRIB_paramId", "GRIB_shortName"),
        *("GRIB_name", "GRIB_units", "GRIB_cfName", "GRIB_cfVarName"),
    }
)
_STALE_PREFIXES = ("_Quantize", "standard_name_", "alternate_standard_name", "proposed_standard_name")

# What `units_metadata` says of a temperature, by section 3.1.2 of CF 1.11.
_DIFFERENCE = "temperature: difference"
_TEMPERATURES = ("temperature: on_scale", _DIFFERENCE, "temperature: unknown")

_ORDINALS = (
    *("", "", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
    *("eleventh", "twelfth"),
)
_TIMES = {1: "", 2: " twice", 3: " three times", 4: " four times"}

# C0 and C1 controls that are no blanks, marks and embeddings of writing direction, lone surrogates
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


def plain(text: object) -> str:
    """
    A text from a file, safe to print: without control characters, on one line.

    Parameters
    ----------
    text : object
        A name or an attribute; anything but a string is written by `str`.

    Returns
    -------
    str
        The text with every run of blanks, tabs and line ends made one blank, and without C0, C1 and
        bidirectional control characters. HTML needs `html.escape` in addition.

    Examples
    --------
    >>> plain("sea\\n surface\\x1b[2J temperature\\u202e")
    'sea surface[2J temperature'
    """
    return " ".join(_UNPRINTABLE.sub("", str(text)).split())


def default_name(field: Hashable | None, orders: Sequence[tuple[Hashable, int]]) -> str:
    """
    The name of a derivative where the user gives none.

    Parameters
    ----------
    field : hashable or None
        The name of the field; an unnamed one is called "f".
    orders : sequence of (hashable, int)
        Each coordinate with the order of the derivative along it.

    Returns
    -------
    str
        The order of the whole is written from two on: "dsst_dlon", "d2sst_dlon2", "d3sst_dlon2dlat".

    Examples
    --------
    >>> default_name("sst", [("lon", 1)]), default_name("sst", [("lon", 2), ("lat", 1)])
    ('dsst_dlon', 'd3sst_dlon2dlat')
    """
    total = sum(n for _, n in orders)
    below = "".join(f"d{plain(name)}{n if n > 1 else ''}" for name, n in orders)
    return f"d{total if total > 1 else ''}{_field_name(field)}_{below}"


def derivative_attrs(
    attrs: Mapping[Any, Any],
    along: Sequence[Along],
    *,
    field: Hashable | None,
    units: str | None,
    comment: str,
    word: str = "",
) -> dict[Any, Any]:
    """
    The attributes of a derivative.

    Parameters
    ----------
    attrs : mapping
        The attributes of the field.
    along : sequence of Along
        The coordinates, in the order of the default name.
    field : hashable or None
        The name of the field.
    units : str or None
        The unit of the field: its `units` attribute, or "s" where its values are datetimes.
    comment : str
        The method, in one line. It replaces the comment of the field; "" leaves none.
    word : str
        Of a derivative in a direction: "eastward", "northward", or words such as "along x". It replaces those
        for the coordinates in the long name.

    Returns
    -------
    dict
        `long_name` always; `units` where one can be formed, and `units_metadata` where those of the field say
        that it is a temperature; `standard_name` where one is formed that the CF table has; the comment; then
        those attributes of the field that are true of its derivative as well.

    Notes
    -----
    A first derivative in time of a quantity X gets the standard name `tendency_of_X`, if that is in the CF
    table and the result has a unit. A datetime axis counts as time unless its standard name is another one
    (forecast_reference_time); a numeric axis does where its standard name is "time". Nothing warns here.
    """
    formed = derivative_units(units, [(factor.units, factor.n) for factor in along])
    standard_name = _standard_name(attrs, along, word) if formed is not None else None
    result: dict[Any, Any] = {"long_name": _long_name(attrs, along, field, units, word)}
    if standard_name is not None:
        result["standard_name"] = standard_name
    if formed is not None:
        result["units"] = formed
    if has_temperature(formed) and _differences(attrs, units, along):
        result["units_metadata"] = _DIFFERENCE
    if comment := plain(comment):
        result["comment"] = comment
    return result | {key: value for key, value in attrs.items() if not _stale(key)}


def _differences(attrs: Mapping[Any, Any], units: str | None, along: Sequence[Along]) -> bool:
    """Whether `units_metadata` lets every temperature in the unit of a derivative be called a difference.

    One that stands alone becomes a difference, whatever it was; its product with something else does not.
    """
    said = [
        (has_temperature(units, alone=True), str(each.get("units_metadata")))
        for each, units in ((attrs, units), *((factor.attrs, factor.units) for factor in along))
        if has_temperature(units)
    ]
    return all(word == _DIFFERENCE or (alone and word in _TEMPERATURES) for alone, word in said)


def _stale(key: object) -> bool:
    """Whether an attribute of the field would be false of its derivative."""
    return key in _STALE or (isinstance(key, str) and key.startswith(_STALE_PREFIXES))


def _standard_name(attrs: Mapping[Any, Any], along: Sequence[Along], word: str) -> str | None:
    """The standard name of a derivative in time or in a direction, if the CF table has it."""
    if not word:
        return _tendency_name(attrs, along)
    name = f"{word}_derivative_of_{attrs.get('standard_name')}"
    return name if name in _standard_names() else None


def _tendency_name(attrs: Mapping[Any, Any], along: Sequence[Along]) -> str | None:
    """The standard name of a first derivative in time, if the CF table has it."""
    if len(along) != 1 or along[0].n != 1:
        return None
    coordinate = along[0].attrs.get("standard_name")
    if coordinate != "time" and (coordinate is not None or not along[0].time):
        return None
    name = f"tendency_of_{attrs.get('standard_name')}"
    return name if name in _standard_names() else None


@cache
def _standard_names() -> frozenset[str]:
    """The CF standard names of derivatives that are shipped with the package."""
    text = files("xgrad").joinpath("standard_names.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


def _long_name(
    attrs: Mapping[Any, Any], along: Sequence[Along], field: Hashable | None, units: str | None, word: str
) -> str:
    """The derivative in words; on logarithmic scales the units too, since no `units` can say them."""
    total = sum(factor.n for factor in along)
    mixed = "mixed " if len(along) > 1 else ""
    ordinal = "" if total == 1 else f"{_ORDINALS[total] if total < len(_ORDINALS) else f'{total}th'} "
    say_units = is_logarithmic(units) or any(is_logarithmic(factor.attrs.get("units")) for factor in along)

    def phrase(attrs: Mapping[Any, Any], name: str, units: object) -> str:
        return _in_words(attrs, name) + (f" in {plain(units)}" if say_units and units else "")

    quantity = phrase(attrs, _field_name(field), units)
    if word:
        return f"derivative of {quantity} {word}" if " " in word else f"{word} derivative of {quantity}"
    by = [
        phrase(factor.attrs, plain(factor.name), factor.units or factor.attrs.get("units"))
        + (_TIMES.get(factor.n, f" {factor.n} times") if mixed else "")
        for factor in along
    ]
    listed = by[0] if len(by) == 1 else f"{', '.join(by[:-1])} and {by[-1]}"
    return f"{ordinal}{mixed}derivative of {quantity} with respect to {listed}"


def _in_words(attrs: Mapping[Any, Any], name: str) -> str:
    """What a variable holds, in words: its long name, else its standard name, else its name."""
    long_name = attrs.get("long_name")
    words = plain(long_name) if isinstance(long_name, str) else ""
    return words or plain(str(attrs.get("standard_name") or "").replace("_", " ")) or name


def _field_name(field: Hashable | None) -> str:
    """The name of the field, "f" where it has none."""
    return "f" if field is None else plain(field)
