"""String algebra on UDUNITS: the unit of a derivative from the units of the field and of its coordinates.

Symbols are kept as written and never rescaled: "K" over "km" is "K km-1". A unit that cannot be formed is
`None`, never a guess; `problem` says why, `warn_unusable` and `check_usable` say it to the user. The only
words that change are those whose difference has another name than the scale itself: every spelling of
degree becomes `degree`, degrees Celsius become `K`, and "days since 2000-01-01" becomes `day`.

Strings are untrusted: one regular expression takes them apart in time linear in their length, without
recursion, and exponents and word lengths are bounded.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from xgrad.errors import CoordinateError, caller_level


class UnitsWarning(UserWarning):
    """A `units` attribute with which no unit of a derivative can be formed."""


def derivative_units(units: object, along: Iterable[tuple[object, int]] = ()) -> str | None:
    """
    Form the unit of a derivative, in UDUNITS words.

    Parameters
    ----------
    units : str or None
        The unit of the field, as its `units` attribute says it.
    along : iterable of (str or None, int)
        The unit of each coordinate and the order of the derivative along it. Empty: the unit of a
        *difference* of the field, e.g. "K" for "degC" and "day" for "days since 2000-01-01".

    Returns
    -------
    str or None
        Positive exponents first, both in input order; "1" where everything cancels. `None` where a unit
        is missing, empty, logarithmic, or no UDUNITS word. Never warns: see `warn_unusable`.

    Notes
    -----
    Equal words are merged, different words for one unit ("m" and "meters") are not. Numeric factors stay in
    front, as written where there is one and multiplied where there are several.

    Examples
    --------
    >>> derivative_units("m s-1", [("s", 1)])
    'm s-2'
    >>> derivative_units("degC", [("degrees_east", 2), ("m", 1)])
    'K degree-2 m-1'
    >>> derivative_units("psu", [("m", 1)]) is None
    True
    """
    factors: list[tuple[str, int]] = []
    for text, power in ((units, 1), *((unit, -n) for unit, n in along)):
        found = _read(text).factors
        if found is None:
            return None
        factors += [(factor, exponent * power) for factor, exponent in found]
    return _render(factors)


def problem(units: object) -> str | None:
    """Why no unit can be formed with this `units` attribute; None if it can, and if there is none."""
    reason = _read(units).problem
    return None if reason is None else f"units {_shown(units)}: {reason}"


def has_temperature(units: object, *, alone: bool = False) -> bool:
    """
    Whether this is a unit of temperature, or a product with one.

    Parameters
    ----------
    units : str or None
        A `units` attribute.
    alone : bool
        Whether there may be nothing else but numbers in it.

    Returns
    -------
    bool
        False too where the unit cannot be read.

    Examples
    --------
    >>> has_temperature("W m-2 K-1"), has_temperature("W m-2 K-1", alone=True)
    (True, False)
    """
    powers = [(word, power) for word, power in _read(units).factors or () if word[0] not in ".0123456789"]
    thermal = [power for word, power in powers if _resolve(word)[2] in ("celsius", "thermal")]
    return [power for _, power in powers] == thermal == [1] if alone else bool(thermal)


def is_logarithmic(units: object) -> bool:
    """Whether this is a logarithmic scale, such as "dBZ", whose differences have no unit."""
    return _read(units).logarithmic


def warn_unusable(*units: object) -> None:
    """Warn of each `units` attribute with which no unit can be formed, once per string and process."""
    for found in units:
        message = problem(found)
        if message is not None and message not in _warned:
            _warned.add(message)
            warnings.warn(
                f"{message}; the derivative gets no `units` attribute. Set attrs['units'] to UDUNITS words, "
                "such as 'K', 'm s-1' or '1e-3'.",
                UnitsWarning,
                stacklevel=caller_level(),
            )


def check_usable(*units: object) -> None:
    """Raise a CoordinateError that names every `units` attribute with which no unit can be formed."""
    problems = [message for message in map(problem, units) if message is not None]
    if problems:
        raise CoordinateError(
            f"no unit of a derivative can be formed: {'; '.join(problems)}. "
            "Set attrs['units'] to UDUNITS words, such as 'K', 'm s-1' or '1e-3'."
        )


_warned: set[str] = set()


class _UnusableError(Exception):
    """A unit string that cannot be used; the text says why, in the words of `problem`."""


class _LogarithmicError(_UnusableError):
    """A logarithmic scale."""

    def __init__(self, scale: str) -> None:
        super().__init__(f"{scale} is a logarithmic scale, whose differences have no unit")


_MAX_POWER = 255  # as in UDUNITS
_MAX_DIGITS = 18  # UDUNITS reads integers into 64 bits
_MAX_KEPT = 128  # characters of a string that is remembered
_MAX_WORD = 64  # the longest UDUNITS name has 24 letters; a bound keeps the search for prefixes linear

_LETTER = "A-Za-z_°µμπΩ\u2126Å\u212bå℃℉ö\u2032\u2033"  # the escapes: ohm, angstrom, prime, double prime
_SUPERSCRIPTS = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
_TOKEN = re.compile(
    rf"""
      (?P<open>\() [ ]?
    | (?: (?P<number> (?>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?) )
        | (?P<word> [%'"] | [{_LETTER}] (?:[{_LETTER}0-9]*[{_LETTER}])? )
        | [ ]? (?P<close>\)) )
      # "(m)-1.s" is read as the factor -1.0 by UDUNITS, but "m-1.s" is not: refused where it is doubtful
      (?(word)|(?![+-]?[0-9]+[.eE]))
      (?P<power> (?:\^|\*\*)?[+-]?[0-9]+ | [⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+ )?
    | (?P<divide> [ ]?/[ ]? | [ ][Pp][Ee][Rr][ ](?=[^ ]) )
    | (?P<times> [ ]?(?:[*·]|\.(?![0-9]))[ ]? | -(?=[{_LETTER}(]) | [ ] )
    """,
    re.VERBOSE,
)
_LOGARITHM = re.compile(r"(?<![A-Za-z_])(?:lg|ln|lb|log) ?\( ?re(?![A-Za-z_])", re.IGNORECASE)
_SHIFT = re.compile(r" ?@ ?| (?:since|after|from|ref) ", re.IGNORECASE)
# UDUNITS takes " per" for a division even in "K percent-1", and " ref" for an origin
_MISREAD = re.compile(" (?=per|ref)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a `units` attribute says: its factors, or else why there are none; neither where it is missing."""

    factors: tuple[tuple[str, int], ...] | None
    problem: str | None = None
    logarithmic: bool = False


def _read(units: object) -> _Reading:
    """Read a `units` attribute; short ones are remembered, since each call needs the same few many times."""
    if units is None:
        return _Reading(None)
    if not isinstance(units, str):
        return _Reading(None, f"not a string, but {type(units).__name__}")
    return _reading(units) if len(units) <= _MAX_KEPT else _reading.__wrapped__(units)


@lru_cache(maxsize=256)
def _reading(units: str) -> _Reading:
    """Read a `units` string."""
    text = _stripped(units)
    if not text:
        return _Reading(None)
    try:
        return _Reading(tuple(_parse(text)))
    except _UnusableError as error:
        return _Reading(None, str(error), isinstance(error, _LogarithmicError))


def _parse(text: str) -> list[tuple[str, int]]:
    """The words and numbers of a unit string with their exponents, in the order of the string."""
    if _LOGARITHM.search(text):
        raise _LogarithmicError("it")
    shift = _SHIFT.search(text)
    if shift is None:
        return _product(text, whole=True)
    return _product(text[: shift.start()], whole=False)


def _product(text: str, *, whole: bool) -> list[tuple[str, int]]:
    """The factors of a product of units; not `whole`: what stands before an origin, "since 2000-01-01"."""
    tokens = list(_tokens(text))
    closing = _closing_powers(tokens)
    factors: list[tuple[str, int]] = []
    outer = [1]  # the exponents of the open groups, their signs included
    sign = 1
    operand = False  # whether the last token was one
    for index, token in enumerate(tokens):
        power = outer[-1] * sign * (closing[index] if token["open"] else _power(token))
        if abs(power) > _MAX_POWER:
            raise _UnusableError(f"an exponent beyond {_MAX_POWER}")
        if token["divide"] or token["times"]:
            if not operand:
                raise _UnusableError("two operators in a row, or one at the start")
            sign = -1 if token["divide"] else 1
            operand = False
            continue
        if token["open"]:
            outer.append(power)
        elif token["close"]:
            outer.pop()
        elif token["word"]:
            factors.append((_word(token["word"], whole), power))
        elif operand:
            raise _UnusableError(f"the number {_shown(token['number'])} follows without a blank")
        else:
            factors.append((_number(token["number"]), power))
        if token["close"] and not operand:
            raise _UnusableError("an empty or unfinished parenthesis")
        sign = 1
        operand = not token["open"]
    if not operand:
        raise _UnusableError("it ends where a unit should follow")
    return factors


def _tokens(text: str) -> Iterator[re.Match[str]]:
    """The tokens of a unit string, one after the other."""
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise _UnusableError(f"it cannot be read from {_shown(text[position:])} on")
        yield token
        position = token.end()


def _closing_powers(tokens: list[re.Match[str]]) -> dict[int, int]:
    """For each opening parenthesis the exponent behind its closing one; refuses what is unbalanced."""
    powers: dict[int, int] = {}
    pending: list[int] = []
    for index, token in enumerate(tokens):
        if token["open"]:
            pending.append(index)
        elif token["close"]:
            if not pending:
                raise _UnusableError("a parenthesis that was never opened")
            powers[pending.pop()] = _power(token)
    if pending:
        raise _UnusableError("a parenthesis that is never closed")
    return powers


def _power(token: re.Match[str]) -> int:
    """The exponent of a token, 1 where none is written."""
    text = token["power"]
    if text is None:
        return 1
    digits = text.translate(_SUPERSCRIPTS).lstrip("*^")
    if len(digits) > 8:
        raise _UnusableError(f"an exponent beyond {_MAX_POWER}")
    return int(digits)


def _number(text: str) -> str:
    """A numeric factor, checked to be an ordinary positive number."""
    if not (0.0 < float(text) < math.inf) or (text.isdigit() and len(text) > _MAX_DIGITS):
        raise _UnusableError(f"the factor {_shown(text)} is zero or too large")
    return text


@dataclass(frozen=True, slots=True)
class _Words:
    """The UDUNITS words, each with the singular by which it goes and its kind."""

    names: dict[str, tuple[str, str]]  # keys in lower case, plurals included
    symbols: dict[str, tuple[str, str]]
    prefix_names: frozenset[str]
    prefix_symbols: frozenset[str]


@cache
def _words() -> _Words:
    """Read the table of words that is shipped with the package."""
    table: dict[str, list[str]] = {}
    key = ""
    for line in files("xgrad").joinpath("unit_words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        label, colon, rest = line.partition(": ")
        if colon:
            key = label
        table.setdefault(key, []).extend((rest if colon else line).split())
    names: dict[str, tuple[str, str]] = {}
    symbols: dict[str, tuple[str, str]] = {}
    for kind in ("degree", "celsius", "thermal", "log", "plain"):
        for entry in table[f"{kind} name"]:
            singular, _, plural = entry.partition("/")
            for form in (singular, plural or _plural(singular)):
                names[form.lower()] = (singular, kind)
        symbols.update((symbol, (symbol, kind)) for symbol in table[f"{kind} symbol"])
    return _Words(names, symbols, frozenset(table["prefix name"]), frozenset(table["prefix symbol"]))


def _plural(name: str) -> str:
    """The plural that UDUNITS forms."""
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + ("es" if name.endswith(("s", "x", "z", "ch", "sh")) else "s")


@lru_cache(maxsize=4096)
def _word(word: str, whole: bool) -> str:
    """The word for a difference of this unit: as written, but for degrees, degrees Celsius and origins."""
    prefix, singular, kind = _resolve(word)
    if kind == "log":
        raise _LogarithmicError(_shown(word))
    if kind == "degree":
        return f"{prefix}degree"
    if kind == "celsius":
        return f"{prefix}K"
    if whole:
        return word
    return "s" if prefix + singular in ("second", "sec") else prefix + singular


def _resolve(word: str) -> tuple[str, str, str]:
    """Prefix, singular and kind of a word, found in the order of UDUNITS: whole words before prefixes."""
    words = _words()
    rest, symbol_seen = word, False
    while rest and len(word) <= _MAX_WORD:
        # names are known in any case, but only of ASCII letters
        name = rest.lower() if rest.isascii() else rest
        entry = words.names.get(name) or words.symbols.get(rest)
        if entry is not None:
            return word[: len(word) - len(rest)], *entry
        step = next((len(prefix) for prefix in words.prefix_names if name.startswith(prefix)), 0)
        if not step and not symbol_seen:
            symbol_seen = True
            step = next((size for size in (2, 1) if rest[:size] in words.prefix_symbols), 0)
        if not step:
            break
        rest = rest[step:]
    raise _UnusableError(f"{_shown(word)} is no UDUNITS word")


def _render(factors: list[tuple[str, int]]) -> str | None:
    """Merge equal words and write the product; None where a number or an exponent leaves its range."""
    numbers: list[tuple[str, int]] = []
    powers: dict[str, int] = {}
    for text, power in factors:
        if text[0] in ".0123456789":
            numbers.append((text, power))
        else:
            powers[text] = powers.get(text, 0) + power
    factor = _factor(numbers) if numbers else ""
    if factor is None or any(abs(power) > _MAX_POWER for power in powers.values()):
        return None
    positive = [text if power == 1 else f"{text}{power}" for text, power in powers.items() if power > 0]
    negative = [f"{text}{power}" for text, power in powers.items() if power < 0]
    product = " ".join([*([factor] if factor else []), *positive, *negative]) or "1"
    return _MISREAD.sub("*", product)


def _factor(numbers: list[tuple[str, int]]) -> str | None:
    """The product of the numeric factors: "" for one, as written where there is a single factor."""
    try:
        value = math.prod(float(text) ** power for text, power in numbers)
    except OverflowError:
        return None
    if not (0.0 < value < math.inf):
        return None
    if len(numbers) == 1 and numbers[0][1] == 1:
        return numbers[0][0] if value != 1.0 else ""
    text = f"{value:.15g}"  # less one digit: 1e-3 x 1e3 is 1 whatever the rounding
    return text if text != "1" else ""


def _stripped(text: str) -> str:
    """Single blanks inside, none around, and no padding NUL of a fixed-width attribute."""
    return re.sub(r"[ \t\r\n\f\v]+", " ", text.rstrip("\0 \t\r\n\f\v")).strip()


def _shown(value: object) -> str:
    """A value as messages quote it: escaped, and cut where it is long."""
    text = repr(value[:40]) if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 and (not isinstance(value, str) or len(value) <= 40) else f"{text[:60]}..."
