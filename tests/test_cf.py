"""What a coordinate is, from its attributes alone."""

import math

import pytest

from xgrad.cf import circle, is_longitude

LONGITUDES = [
    *(
        {"units": word}
        for word in ("degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE")
    ),
    {"units": " Degrees_East "},
    {"units": "degrees_east", "standard_name": "longitude", "axis": "X"},
    {"units": "degrees", "standard_name": "longitude"},
    {"units": "degree", "standard_name": "grid_longitude"},
    {"units": "", "standard_name": "longitude"},
    {"standard_name": "longitude"},
    {"units": "degrees", "axis": "X"},
    {"units": "deg", "axis": "x"},
]

OTHERS = [
    {},
    {"units": "degrees"},
    {"axis": "X"},
    {"units": "m", "axis": "X"},
    {"units": "meters", "standard_name": "longitude"},
    {"units": "degrees_north", "standard_name": "latitude"},
    {"units": "degrees", "axis": "Y"},
    {"units": "degrees", "axis": "X", "standard_name": "projection_x_angular_coordinate"},
    {"units": "radian", "axis": "X", "standard_name": "projection_x_angular_coordinate"},
    {"units": "radian", "axis": "X"},
    {"long_name": "longitude", "units": "1"},
    {"units": 360, "axis": None, "standard_name": ["longitude"]},
]


@pytest.mark.parametrize("attrs", LONGITUDES)
def test_longitudes_in_degrees(attrs):
    assert circle(attrs) == 360.0
    assert is_longitude(attrs)


@pytest.mark.parametrize("units", ["radian", "radians", "rad"])
def test_longitudes_in_radians(units):
    assert circle({"units": units, "standard_name": "longitude"}) == math.tau


@pytest.mark.parametrize("attrs", OTHERS)
def test_everything_else(attrs):
    assert circle(attrs) is None
    assert not is_longitude(attrs)
