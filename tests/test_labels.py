"""labels.py: what stays true of a derivative is kept, what is said anew is right, nothing else is left."""

from __future__ import annotations

import re
from importlib.resources import files
from xml.etree import ElementTree

import cf_units
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xgrad import labels
from xgrad.labels import Along, default_name, derivative_attrs, plain


def along(name="lon", n=1, units="degree", *, time=False, **attrs):
    return Along(name, n, units, time, attrs)


TIME = along("time", units="s", time=True, standard_name="time", long_name="Time")
LON = along("lon", units="degree", long_name="longitude", standard_name="longitude")
LAT = along("lat", units="degree", standard_name="grid_latitude")


def attrs_of(attrs, *factors, field="sst", units="K", comment="order 2"):
    return derivative_attrs(attrs, factors, field=field, units=units, comment=comment)


# -- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "orders", "name"),
    [
        ("sst", [("lon", 1)], "dsst_dlon"),
        ("sst", [("lon", 2)], "d2sst_dlon2"),
        ("sst", [("lon", 4)], "d4sst_dlon4"),
        ("f", [("x", 1), ("y", 1)], "d2f_dxdy"),
        ("f", [("lon", 2), ("lat", 1)], "d3f_dlon2dlat"),
        (None, [("x", 1)], "df_dx"),
        (7, [(0, 1)], "d7_d0"),
        (("a", 1), [("x", 1)], "d('a', 1)_dx"),
        ("s\x1b[31mst\u202e", [("lo\nn", 1)], "ds[31mst_dlo n"),
    ],
)
def test_default_names(field, orders, name):
    assert default_name(field, orders) == name


# -- units ---------------------------------------------------------------------------------------------


def test_units_are_those_of_the_quotient_and_absent_where_there_are_none():
    assert attrs_of({"units": "K"}, LON)["units"] == "K degree-1"
    assert attrs_of({}, along(n=2), along("z", 1, "m"), units="degC")["units"] == "K degree-2 m-1"
    assert attrs_of({}, TIME, units="s")["units"] == "1"
    for field, coordinate in [(None, "m"), ("K", None), ("psu", "m"), ("dBZ", "m"), ("", "m")]:
        result = attrs_of({"units": field, "original_units": "K"}, along(units=coordinate), units=field)
        assert not {"units", "original_units"} & set(result)


ON_SCALE, DIFFERENCE, UNKNOWN = (f"temperature: {word}" for word in ("on_scale", "difference", "unknown"))


@pytest.mark.parametrize(
    ("units", "said", "factors", "expected"),
    [
        pytest.param("K", ON_SCALE, [LON], DIFFERENCE, id="kelvin"),
        pytest.param("degC", ON_SCALE, [TIME], DIFFERENCE, id="degrees Celsius"),
        pytest.param("0.1 degF", ON_SCALE, [LON], DIFFERENCE, id="tenths"),
        pytest.param("K", ON_SCALE, [along(n=2)], DIFFERENCE, id="second derivative"),
        pytest.param("K", DIFFERENCE, [LON, LAT], DIFFERENCE, id="of a difference"),
        pytest.param("K", UNKNOWN, [LON], DIFFERENCE, id="whatever it was"),
        pytest.param("K m-1", DIFFERENCE, [LON], DIFFERENCE, id="of a gradient"),
        pytest.param("K m", ON_SCALE, [LON], None, id="a product on its scale"),
        pytest.param("K2", ON_SCALE, [LON], None, id="a square on its scale"),
        pytest.param("K", None, [LON], None, id="nothing said"),
        pytest.param("K", "temperature", [LON], None, id="no word of CF"),
        pytest.param("K", ["a", "b"], [LON], None, id="no string"),
        pytest.param("m", ON_SCALE, [LON], None, id="no temperature"),
        pytest.param(None, ON_SCALE, [LON], None, id="no unit"),
        pytest.param("K", ON_SCALE, [along(units="K", units_metadata=ON_SCALE)], None, id="they cancel"),
        pytest.param(
            "m", None, [along(units="K", units_metadata=ON_SCALE)], DIFFERENCE, id="of a coordinate"
        ),
        pytest.param("degF", ON_SCALE, [along(units="K")], None, id="one of two"),
    ],
)
def test_temperatures_become_differences_where_they_are_said_to_be_some(units, said, factors, expected):
    attrs = {} if said is None else {"units_metadata": said}
    assert attrs_of(attrs, *factors, units=units).get("units_metadata") == expected


# -- standard names ------------------------------------------------------------------------------------


DIRECTED = {
    "eastward_derivative_of_eastward_wind",
    "eastward_derivative_of_northward_sea_ice_velocity",
    "eastward_derivative_of_northward_wind",
    "northward_derivative_of_eastward_sea_ice_velocity",
    "northward_derivative_of_eastward_wind",
    "northward_derivative_of_northward_wind",
    "upward_derivative_of_eastward_wind",
    "upward_derivative_of_northward_wind",
}


def test_the_table_holds_derivatives_of_cf_names_only():
    names = labels._standard_names()
    tendencies = {name for name in names if name.startswith("tendency_of_")}
    assert len(tendencies) > 100
    assert {"tendency_of_air_temperature", "tendency_of_eastward_wind"} <= tendencies
    assert names - tendencies == DIRECTED
    assert all(name.isascii() and name == name.strip() for name in names)
    assert not any("_due_to_" in name for name in names)


def test_the_table_is_that_of_cf():
    checker = pytest.importorskip("compliance_checker", reason="it ships the CF standard name table")
    table = ElementTree.parse(files(checker) / "data" / "cf-standard-name-table.xml").getroot()
    known = {entry.get("id") for entry in table.findall("entry")}
    for name in labels._standard_names():
        assert name in known
        assert re.fullmatch(r"(?:tendency|\w+ward_derivative)_of_(\w+)", name)[1] in known


def test_a_tendency_gets_its_standard_name():
    result = attrs_of({"standard_name": "air_temperature"}, TIME)
    assert result["standard_name"] == "tendency_of_air_temperature"
    assert cf_units.Unit(result["units"]).is_convertible("K s-1")


@pytest.mark.parametrize(
    ("factors", "standard_name", "units"),
    [
        pytest.param([LON], "air_temperature", "K", id="not time"),
        pytest.param([along("time", 2, "s", time=True)], "air_temperature", "K", id="second derivative"),
        pytest.param([TIME, LON], "air_temperature", "K", id="mixed"),
        pytest.param([TIME], "sea_surface_temperature", "K", id="not in the CF table"),
        pytest.param([TIME], "air_temperature standard_error", "K", id="a modifier"),
        pytest.param([TIME], "air_temperature", None, id="no unit"),
        pytest.param([TIME], None, "K", id="none"),
        pytest.param([TIME], ["air_temperature"], "K", id="not a string"),
        pytest.param(
            [along("reftime", 1, "s", time=True, standard_name="forecast_reference_time")],
            "air_temperature",
            "K",
            id="another time",
        ),
        pytest.param([along("t", 1, "day")], "air_temperature", "K", id="not known to be time"),
    ],
)
def test_no_other_standard_name_is_made_up(factors, standard_name, units):
    attrs = {} if standard_name is None else {"standard_name": standard_name}
    assert "standard_name" not in attrs_of(attrs, *factors, units=units)


def test_time_is_known_by_type_or_by_standard_name():
    decoded = along("t", 1, "h", time=True)
    numeric = along("t", 1, "day", standard_name="time")
    for factor in (decoded, numeric):
        assert "standard_name" in attrs_of({"standard_name": "air_temperature"}, factor)


# -- long names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attrs", "factors", "words"),
    [
        ({"long_name": "Sea Surface Temperature", "standard_name": "x_y"}, [LON],
         "derivative of Sea Surface Temperature with respect to longitude"),
        ({"standard_name": "air_temperature"}, [LAT],
         "derivative of air temperature with respect to grid latitude"),
        ({}, [along("x")], "derivative of sst with respect to x"),
        ({}, [along("x", 2)], "second derivative of sst with respect to x"),
        ({}, [along("x", 4)], "fourth derivative of sst with respect to x"),
        ({}, [along("x"), along("y")], "second mixed derivative of sst with respect to x and y"),
        ({}, [along("x", 2), along("y")], "third mixed derivative of sst with respect to x twice and y"),
        ({}, [along("x", 3), along("y", 4), along("z")],
         "eighth mixed derivative of sst with respect to x three times, y four times and z"),
        ({}, [along(name, 4) for name in "wxyz"],
         "16th mixed derivative of sst with respect to "
         "w four times, x four times, y four times and z four times"),
        ({"long_name": " ", "standard_name": 3}, [along("x", long_name=7)],
         "derivative of 3 with respect to x"),
        ({"long_name": "a\x1b[2J\u202eb\nc"}, [along("x\x07")], "derivative of a[2Jb c with respect to x"),
    ],
)  # fmt: skip
def test_long_names_are_words(attrs, factors, words):
    assert attrs_of(attrs, *factors)["long_name"] == words


def test_logarithmic_scales_are_said_in_words():
    attrs = {"long_name": "reflectivity", "units": "dBZ"}
    height = along("z", 1, "m", long_name="height")
    result = attrs_of(attrs, height, units="dBZ")
    assert result["long_name"] == "derivative of reflectivity in dBZ with respect to height in m"
    level = Along("level", 1, None, False, {"units": "dB"})
    assert attrs_of({}, level)["long_name"] == "derivative of sst in K with respect to level in dB"


def test_an_unnamed_field_is_called_f():
    assert attrs_of({}, LON, field=None)["long_name"] == "derivative of f with respect to longitude"


# -- what is dropped and what is kept ------------------------------------------------------------------

OF_THE_VALUES = {
    "valid_min": 0.0, "valid_max": 1.0, "valid_range": [0, 1], "actual_range": [0, 1],
    "flag_values": [0, 1], "flag_masks": [1, 2], "flag_meanings": "a b",
    "cell_methods": "time: mean", "ancillary_variables": "sst_error", "standard_error_multiplier": 2,
    "units_metadata": "leap_seconds: utc", "number_of_significant_digits": 2, "colorBarMaximum": 3.0,
    "least_significant_digit": 1, "precision": 2, "_QuantizeBitRoundNumberOfSignificantBits": 8,
}  # fmt: skip
OF_THE_STORAGE = {
    "scale_factor": 0.1, "add_offset": 2.0, "_FillValue": -9999, "missing_value": -9999, "_Unsigned": "true",
    "dtype": "bool", "_ChunkSizes": [1, 2], "calendar": "noleap", "GRIB_missingValue": 1,
}  # fmt: skip
OF_THE_QUANTITY = {
    "short_name": "sst", "original_name": "ST", "axis": "X", "positive": "up", "bounds": "x_bnds",
    "standard_name_url": "https://example.org/sst", "GRIB_paramId": 167, "GRIB_units": "K", "code": 34,
    "formula_terms": "a: b", "climatology": "c_bnds", "display_units": "degC", "original_units": "degF",
}  # fmt: skip
STILL_TRUE = {
    "grid_mapping": "crs", "coordinates": "lon lat", "cell_measures": "area: areacella",
    "institution": "MOHC", "source": "model", "references": "doi", "history": "made", "description": "d",
    "GRIB_gridType": "regular_ll", "stagger": "X", "my_attr": np.array([1, 2]), 5: "not even a name",
}  # fmt: skip


@pytest.mark.parametrize("factor", [LON, TIME], ids=["space", "time"])
def test_what_is_false_of_the_derivative_is_dropped_and_the_rest_kept(factor):
    attrs = OF_THE_VALUES | OF_THE_STORAGE | OF_THE_QUANTITY | STILL_TRUE
    result = attrs_of(attrs, factor)
    assert {key: result.pop(key) for key in STILL_TRUE} == STILL_TRUE
    assert set(result) == {"long_name", "units", "comment"}


def test_the_input_is_left_alone():
    attrs = {"units": "K", "valid_min": 1, "comment": "c", "history": "h"}
    before = dict(attrs)
    attrs_of(attrs, LON)
    assert attrs == before


def test_the_comment_is_replaced_and_is_one_plain_line():
    assert attrs_of({"comment": "skin temperature"}, LON, comment="order\n2\x00")["comment"] == "order 2"
    assert "comment" not in attrs_of({"comment": "skin temperature"}, LON, comment="")


def test_the_order_of_the_attributes_does_not_depend_on_the_input_order():
    attrs = {"standard_name": "air_temperature", "source": "s", "units": "K", "comment": "c"}
    expected = ["long_name", "standard_name", "units", "comment", "source"]
    assert list(attrs_of(attrs, TIME)) == expected
    assert list(attrs_of(dict(reversed(attrs.items())), TIME)) == expected


def test_an_order_below_one_is_no_derivative():
    with pytest.raises(ValueError, match="order along 'lon' is 0"):
        along(n=0)


# -- plain text ----------------------------------------------------------------------------------------


@given(st.text(st.characters(), max_size=40))
def test_plain_text_has_no_control_characters_and_stays_plain(text):
    result = plain(text)
    assert plain(result) == result
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in result)
    assert not any("\u2028" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" for c in result)
    assert not set(result) & set("\u061c\u200e\u200f")
    result.encode()


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=40))
def test_plain_text_keeps_letters_digits_and_signs(text):
    assert plain(text) == text


def test_plain_text_of_any_object():
    assert plain(3) == "3"
    assert plain(("a", "b\x1b")) == "('a', 'b\\x1b')"
    assert plain("  two\t lines\r\n") == "two lines"
