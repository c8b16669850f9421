"""units.py against UDUNITS itself (cf-units), and against the hostile strings that files can hold."""

from __future__ import annotations

import math
import string
import time
import warnings

import cf_units
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xgrad import units as module
from xgrad.errors import CoordinateError
from xgrad.units import (
    UnitsWarning,
    check_usable,
    derivative_units,
    is_logarithmic,
    problem,
    warn_unusable,
)

WORDS = module._words()
OWN_LOGARITHMS = {"dB", "dBA", "dBi", "dBsm", "Np"}  # no UDUNITS words
OWN_LOGARITHMS |= {"bel", "bels", "decibel", "decibels", "neper", "nepers"}
LINEAR = sorted(
    [word for word, (_, kind) in WORDS.names.items() if kind != "log"]
    + [word for word, (_, kind) in WORDS.symbols.items() if kind != "log"]
)
COMMON = ["m", "s", "K", "kg", "Pa", "hPa", "degree", "degrees_north", "degC", "degF", "day", "%", "feet"]


def udunits(text: str) -> cf_units.Unit | None:
    """What UDUNITS reads, None where it refuses."""
    try:
        return cf_units.Unit(text)
    except ValueError:
        return None


def same_unit(ours: str, expected: cf_units.Unit) -> bool:
    """Whether one of ours is exactly one of the expected (to rounding in UDUNITS' own products)."""
    read = cf_units.Unit(ours)
    if read == expected:
        return True
    if not read.is_convertible(expected):
        return False
    return math.isclose(read.convert(1.0, expected), 1.0, rel_tol=1e-12)


def size(unit: cf_units.Unit) -> float:
    """The factor of a unit over its SI base units."""
    first = str(unit.definition).split()[0]
    try:
        return abs(float(first))
    except ValueError:
        return 1.0


# -- the specification in examples ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "along", "expected"),
    [
        ("K", [("m", 1)], "K m-1"),
        ("K", [("m", 2)], "K m-2"),
        ("m s-1", [("s", 1)], "m s-2"),
        ("m s**-1", [("s", 1)], "m s-2"),
        ("m s^-1", [("m", 1)], "s-1"),
        ("m/s", [("m", 1)], "s-1"),
        ("m per s", [("m", 1)], "s-1"),
        ("m.s-1", [("km", 1)], "m s-1 km-1"),
        ("m²·s⁻¹", [("m", 1)], "m s-1"),
        ("W/(m2 K)", [("K", 1)], "W m-2 K-2"),
        ("1/(m s)", [("s", 1)], "m-1 s-2"),
        ("(m (s)2)-2", [("s", 1)], "m-2 s-5"),
        ("N-m", [("m", 1)], "N"),
        ("s-1 m", [("K", 1)], "m s-1 K-1"),
        ("m", [("m", 1)], "1"),
        ("1", [("m", 1)], "m-1"),
        ("1", [("1", 2)], "1"),
        ("kg kg-1", [("Pa", 1)], "Pa-1"),
        ("1e-3", [("m", 1)], "1e-3 m-1"),
        ("0.001", [("m", 1)], "0.001 m-1"),
        ("1e6 m3 s-1", [("m", 1)], "1e6 m2 s-1"),
        ("K", [("100 m", 1)], "0.01 K m-1"),
        ("K", [("1e-3", 1)], "1000 K"),
        ("1e-3 m", [("1e-3 100 m", 3)], "m-2"),  # 0.9999999999999999 in floats
        ("%", [("m", 1)], "% m-1"),
        ("ppm", [("day", 1)], "ppm day-1"),
        ("hPa", [("degrees_north", 1)], "hPa degree-1"),
        ("degrees", [("degrees_east", 1)], "1"),
        ("K", [("degrees_E", 2), ("degreeN", 1)], "K degree-3"),
        ("K", [("°", 1)], "K degree-1"),
        ("K", [("degrees_west", 1)], "K degrees_west-1"),  # minus one degree: another unit, kept as it is
        ("degC", [("m", 1)], "K m-1"),
        ("Celsius", [("degrees_north", 1)], "K degree-1"),
        ("degrees_celsius", [("m", 2)], "K m-2"),
        ("°C", [("s", 1)], "K s-1"),
        ("K @ 273.15", [("m", 1)], "K m-1"),
        ("m degC s-1", [("m", 1)], "K s-1"),
        ("mdegC", [("m", 1)], "mK m-1"),
        ("kg", [("celsius", 1)], "kg K-1"),
        ("degF", [("m", 1)], "degF m-1"),
        ("K", [("days since 2000-01-01", 1)], "K day-1"),
        ("K", [("hours since 1990-01-01 00:00:0.0 UTC", 2)], "K hour-2"),
        ("m s-1", [("seconds since 1970-01-01T00:00:00Z", 1)], "m s-2"),
        ("K", [("msec since 1970-01-01", 1)], "K msec-1"),
        ("days since 2000-01-01", [("m", 1)], "day m-1"),
        ("K", [("meters", 1)], "K meters-1"),
        ("K", [("min", 1)], "K min-1"),
        ("K", [("percent", 1)], "K*percent-1"),  # UDUNITS reads " percent" as a division by "cent"
        ("PSI", [("m", 1)], None),  # symbols know upper and lower case, names do not
        ("PASCALS", [("m", 1)], "PASCALS m-1"),
        ("µm", [("m", 1)], "µm m-1"),
        ("K\0", [(" m ", 1)], "K m-1"),
        ("degC", [], "K"),
        ("degrees_north", [], "degree"),
        ("days since 1-1-1", [], "day"),
        ("m m", [], "m2"),
        ("psu", [("m", 1)], None),
        ("K", [("level", 1)], None),
        ("", [("m", 1)], None),
        (None, [("m", 1)], None),
        ("K", [(None, 1)], None),
        ("K", [("m", 1), (" ", 1)], None),
        ("dBZ", [("m", 1)], None),
        ("lg(re 1 mW)", [("m", 1)], None),
        ("m s -1", [("m", 1)], None),  # UDUNITS reads a factor of minus one; nobody means that
        (1, [("m", 1)], None),
        ("m200", [("m-200", 1)], None),  # an exponent that UDUNITS has not
        ("1e300", [("1e-300", 2)], None),
    ],
)
def test_examples(field, along, expected):
    assert derivative_units(field, along) == expected


def test_mixed_partials_do_not_depend_on_how_they_are_grouped():
    once = derivative_units("degC", [("degrees_east", 2), ("m", 1), ("days since 2000-01-01", 1)])
    step = derivative_units("degC", [("degrees_east", 2)])
    step = derivative_units(step, [("m", 1)])
    assert once == derivative_units(step, [("day", 1)]) == "K degree-2 m-1 day-1"


# -- UDUNITS as the oracle -----------------------------------------------------------------------------


def test_every_word_of_the_table_is_one_of_udunits():
    refused = {word for word in (*WORDS.names, *WORDS.symbols) if udunits(word) is None}
    assert refused == OWN_LOGARITHMS


def test_the_kind_of_every_word_is_right():
    degree, celsius, kelvin = map(cf_units.Unit, ("degree", "celsius", "kelvin"))
    for word, (_, kind) in (*WORDS.names.items(), *WORDS.symbols.items()):
        unit = udunits(word)
        if unit is None:
            assert kind == "log", word
        else:
            assert (kind == "degree") == (unit == degree), word
            assert (kind == "celsius") == (unit == celsius), word
            assert (kind in ("celsius", "thermal")) == unit.is_convertible(kelvin), word
            assert (kind == "log") == ("(re" in unit.definition), word


def test_every_prefix_is_one_of_udunits_and_none_is_missing():
    factor = {prefix: udunits(f"{prefix}meter") for prefix in WORDS.prefix_names}
    factor |= {prefix: udunits(f"{prefix}Pa") for prefix in WORDS.prefix_symbols}
    assert None not in factor.values()
    found = {x for x in (*string.ascii_letters, "µ", "μ", "da") if udunits(f"{x}Pa") is not None}
    assert found == WORDS.prefix_symbols


@pytest.mark.parametrize("length", [1, 2])
def test_short_words_are_accepted_exactly_where_udunits_accepts_them(length):
    words = list(string.ascii_letters)
    if length == 2:
        words = [a + b for a in words for b in words]
    for word in words:
        if not is_logarithmic(word):
            assert (derivative_units(word) is not None) == (udunits(word) is not None), word


PARTS = st.sampled_from([*WORDS.prefix_names, *WORDS.prefix_symbols, *LINEAR])


@given(st.lists(PARTS, min_size=1, max_size=3))
@settings(max_examples=400, deadline=None)
def test_prefixed_words_are_accepted_exactly_where_udunits_accepts_them(parts):
    quotes = any(part in "%'\"" for part in parts)  # end a word: no prefix goes with them
    word = parts[-1] if quotes else "".join(parts)
    unit = udunits(word)
    ours = derivative_units(word)
    if is_logarithmic(word):
        assert ours is None
    else:
        assert (ours is not None) == (unit is not None)
        # a difference: the size of one unit, without its origin
        assert ours is None or same_unit(ours + " m-1", cf_units.Unit(f"{word} m-1"))


words = st.one_of(st.sampled_from(COMMON), st.sampled_from(LINEAR))
powers = st.integers(-2, 2).filter(bool)
marks = st.sampled_from(["", "^", "**"])


@st.composite
def products(draw, depth=1):
    """A unit string of the UDUNITS grammar: factors, quotients, groups, exponents in every spelling."""
    text = draw(st.sampled_from(["", "", "", "1e-3 (1)*", "100*", "2.5e6 m."]))
    for index in range(draw(st.integers(1, 3))):
        grouped = depth > 0 and draw(st.integers(0, 4)) == 0
        operand = f"({draw(products(depth=depth - 1))})" if grouped else draw(words)
        # UDUNITS reads " percent" as a division by "cent", " refrigeration_ton" as "since" and an origin
        confusing = operand.lower().startswith(("per", "ref"))
        if index:
            text += draw(st.sampled_from([".", "*", "/"] if confusing else [" ", ".", "*", "/", " per "]))
        text += operand
        power = draw(powers)
        # without a mark "(m)-1.s" has a factor -1.0 for UDUNITS
        mark = draw(st.sampled_from(["^", "**"])) if grouped else draw(marks)
        text += "" if power == 1 else f"{mark}{power}"
    return text


@given(products(), st.lists(st.tuples(products(), st.integers(1, 4)), min_size=1, max_size=2))
@settings(max_examples=1000, deadline=None)
def test_quotients_agree_with_udunits(field, along):
    ours = derivative_units(field, along)
    expected = udunits(field)
    assert expected is not None
    assert ours is not None
    expected = cf_units.Unit(f"({field}) (1)")  # a product: UDUNITS forgets the origin of a temperature
    for text, n in along:
        expected = expected / cf_units.Unit(f"({text}) (1)") ** n
    # beyond the range of floats UDUNITS cannot judge
    assume(1e-150 < size(expected) < 1e150)
    assume(1e-150 < size(cf_units.Unit(ours)) < 1e150)
    # (1): "degF" alone is a difference here, a scale with an origin for UDUNITS
    assert same_unit(f"({ours}) (1)", expected), (ours, str(expected))


@given(products(), products(), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_a_result_is_its_own_difference_unit(field, coordinate, n):
    ours = derivative_units(field, [(coordinate, n)])
    assert derivative_units(ours) == ours
    assert problem(ours) is None


@given(st.text(alphabet="mKs gd1-2^*/.()@%° \te", max_size=12))
@settings(max_examples=1000, deadline=None)
def test_any_text_gives_a_udunits_string_of_the_same_size_or_none(text):
    ours = derivative_units(text)
    theirs = udunits(text)
    if ours is None:
        return
    read = udunits(ours)
    assert read is not None
    if theirs is not None and "@" not in text:
        # a product, where UDUNITS forgets the origin of a temperature
        assert same_unit(f"({ours}) m-1", cf_units.Unit(f"({text.strip()}) m-1"))


# -- what cannot be used -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("psu", "'psu' is no UDUNITS word"),
        ("m of water", "'of' is no UDUNITS word"),
        ("deg", "'deg' is no UDUNITS word"),
        ("dBZ", "'dBZ' is a logarithmic scale"),
        ("dB re 1 uPa", "'dB' is a logarithmic scale"),
        ("0.1 lg(re 1 mW)", "it is a logarithmic scale"),
        ("ln(re 1 Pa)", "it is a logarithmic scale"),
        ("m s -1", "cannot be read from '-1' on"),
        ("m2.5", "the number '.5' follows without a blank"),
        ("(m)-1.s", "cannot be read from ')-1.s' on"),
        ("10-3.m", "cannot be read from '10-3.m' on"),
        ("m//s", "two operators"),
        ("/m", "one at the start"),
        ("m/", "it ends where a unit should follow"),
        ("m^", "cannot be read from '^' on"),
        ("(m", "never closed"),
        ("m)", "never opened"),
        ("()", "empty"),
        ("(m/)", "unfinished"),
        ("kilo" * 20 + "meter", "is no UDUNITS word"),  # beyond any real word; see _MAX_WORD
        ("m256", "exponent beyond 255"),
        ("m123456789", "exponent beyond 255"),
        ("0 m", "zero or too large"),
        ("9223372036854775808 m", "zero or too large"),
        ("1e999", "zero or too large"),
        ("K\x1b[31m", r"cannot be read from '\x1b"),
        (3, "not a string, but int"),
        (["K"], "not a string, but list"),
    ],
)
def test_what_cannot_be_used_is_explained(text, reason):
    assert derivative_units(text) is None
    with pytest.raises(CoordinateError) as caught:
        check_usable("K", text, None)
    assert reason in str(caught.value)
    assert text not in ("dBZ", "ln(re 1 Pa)") or is_logarithmic(text)


def test_all_problems_are_named_at_once():
    with pytest.raises(CoordinateError, match=r"'psu'.*'gpm'"):
        check_usable("psu", "K", "gpm")


@pytest.mark.parametrize("fine", ["K", "1", "", "  ", None, "days since 2000-01-01", "degC"])
def test_what_can_be_used_and_what_is_missing_is_no_problem(fine):
    assert problem(fine) is None
    assert not is_logarithmic(fine)
    check_usable(fine)


def test_one_warning_for_each_string_in_a_process(monkeypatch):
    monkeypatch.setattr(module, "_warned", set())
    with pytest.warns(UnitsWarning) as caught:
        warn_unusable("psu", "K", None, "psu", "dBZ")
    warn_unusable("dBZ", "psu")  # would be an error here
    assert [str(warning.message).split(":")[0] for warning in caught] == ["units 'psu'", "units 'dBZ'"]
    assert all(warning.filename == __file__ for warning in caught)


def test_forming_units_never_warns(monkeypatch):
    monkeypatch.setattr(module, "_warned", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert derivative_units("psu", [("dB", 1)]) is None


LONG = 100_000
HOSTILE = {
    "open": "(" * LONG,
    "nested": "(" * (LONG // 2) + "m" + ")" * (LONG // 2),
    "nested powers": "(" * (LONG // 3) + "m" + ")2" * (LONG // 3),
    "empty groups": "()" * (LONG // 2),
    "groups": "(m)" * (LONG // 3),
    "alternating": "m(" * (LONG // 2),
    "one word": "k" * LONG,
    "prefixes": "kilo" * (LONG // 4) + "m",
    "many words": "m " * (LONG // 2),
    "many unknown words": "qq " * (LONG // 3),
    "quotients": "m/" * (LONG // 2) + "m",
    "digits": "1" * LONG,
    "digits in a word": "m" + "1" * LONG,
    "letters and digits": "m1" * (LONG // 2),
    "stars": "m" + "*" * LONG,
    "carets": "m^" * (LONG // 2),
    "minus": "m" + "-" * LONG,
    "blanks": "m" + " " * LONG + "s",
    "tabs then junk": "m" + "\t" * LONG + "?",
    "since": " since" * (LONG // 6),
    "at": "@" * LONG,
    "logarithms": "lg (" * (LONG // 4),
    "per": "m per " * (LONG // 6),
    "superscripts": "m" + "²" * LONG,
    "control characters": "\x00\x1b[31m\u202e\ud800" * (LONG // 8),
    "dots": "1." * (LONG // 2),
    "exponents": "1e1" * (LONG // 3),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_strings_take_linear_time_and_raise_nothing(name):
    text = HOSTILE[name]
    start = time.perf_counter()
    formed = derivative_units("K", [(text, 4)])
    message = problem(text)
    # about 0.2 s here; quadratic work on 100,000 characters is minutes
    assert time.perf_counter() - start < 5.0
    assert formed is None or udunits(formed) is not None
    if message is not None:
        assert formed is None
        assert len(message) < 400
        assert message.isprintable()


@given(st.text(max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_unicode_text_is_read_or_explained(text):
    message = problem(text)
    if message is None:
        ours = derivative_units(text)
        assert ours is None or udunits(ours) is not None
    else:
        assert message.isprintable()
        assert derivative_units(text) is None
