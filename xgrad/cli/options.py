"""How options are written on the command line, and what they become in Python."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from xgrad.cli.process import Call
from xgrad.geometry import GEOMETRIES, Metric, TerrainFollowing

KINDS: dict[str, Any] = {"metric": Metric, "terrain-following": TerrainFollowing, **GEOMETRIES}
# A file, a folder, or a URL: as it was given.
PATH = click.Path()


class Names(click.ParamType):
    """Names with commas between them."""

    name = "name,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take the text apart."""
        names = value.split(",")
        if "" in names or len(set(names)) < len(names):
            self.fail(f"{value!r} holds an empty or a repeated name", param, ctx)
        return names


class Pairs(click.ParamType):
    """A mapping, written ``dim:value,dim:value``; a dimension may hold colons, a value may not."""

    def __init__(self, kind: Callable[[str], Any], value: str) -> None:
        self.kind = kind
        self.pair = f"dim:{value}"
        self.name = f"{self.pair},..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take the text apart."""
        pairs: dict[str, Any] = {}
        for text in value.split(","):
            dim, _, number = text.rpartition(":")
            if not dim or not number or dim in pairs:
                self.fail(f"{text!r} in {value!r} is not {self.pair}, with each dim once", param, ctx)
            try:
                pairs[dim] = self.kind(number)
            except ValueError:
                self.fail(f"{number!r} in {value!r} is not a number", param, ctx)
        return pairs


class Size(click.ParamType):
    """A number of bytes, written as people do: ``500MB``, ``2GB``, ``1.5GiB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Count the bytes."""
        match = re.fullmatch(r"(\d+\.?\d*|\.\d+) ?([kMGT]?)(i?)B?", value, re.IGNORECASE | re.ASCII)
        if match is None or (match[3] and not match[2]) or not float(match[1]):
            self.fail(f"{value!r} is no size such as 500MB, 2GB or 1.5GiB", param, ctx)
        power = " kmgt".index(match[2].lower() or " ")
        return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


class Periodic(click.ParamType):
    """Which axes are rings: a word, names of dimensions, or their periods."""

    name = "auto|yes|no|dim,...|dim:period,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take the text apart."""
        words = {"auto": "auto", "yes": True, "no": False}
        if value in words:
            return words[value]
        kind = Pairs(float, "period") if ":" in value else Names()
        return kind.convert(value, param, ctx)


class Geometry(click.ParamType):
    """A geometry by name, with its arguments: ``sphere:radius=6371229``."""

    name = "name[:key=value,...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take the text apart."""
        name, _, text = value.partition(":")
        if name not in KINDS:
            self.fail(f"{name!r} in {value!r} is none of {', '.join(KINDS)}", param, ctx)
        takes = [field.name for field in dataclasses.fields(KINDS[name])]
        arguments: dict[str, Any] = {}
        for pair in text.split(",") if text else ():
            key, _, word = pair.partition("=")
            if not word or key not in takes or key in arguments:
                said = (
                    f"key=value with each key once, of {', '.join(takes)}"
                    if takes
                    else "allowed: it takes nothing"
                )
                self.fail(f"{pair!r} in {value!r} is not {said}", param, ctx)
            arguments[key] = _argument(name, key, word)
        return KINDS[name](**arguments)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the names."""
        return [CompletionItem(name) for name in KINDS if name.startswith(incomplete)]


def _argument(name: str, key: str, word: str) -> Any:
    """Read one argument: a number, a pair dim/size of cell sizes, or a name."""
    if name == "metric":
        dim, _, size = word.partition("/")
        return dim, _number(size)
    return _number(word) if key in ("radius", "a", "f", "figure", "parity") else word


def _number(word: str) -> Any:
    """Return a number, also one like 1/298.257223563; else the word."""
    above, slash, below = word.partition("/")
    try:
        return float(above) / float(below) if slash else float(word)
    except (ValueError, ZeroDivisionError):
        return word


def talk(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all have."""
    function = click.option("--debug", **_KEPT, help="Show where an error arose.")(function)
    return click.option("-q", "--quiet", **_KEPT, help="Show errors only.")(function)


def machine(text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the option --json."""
    return click.option("--json", **_KEPT, help=text)


def _keep(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Keep -q, --debug and --json where the handling of errors finds them."""
    call = ctx.find_object(Call)
    if value and call is not None and param.name is not None:
        setattr(call, param.name, True)


_KEPT: dict[str, Any] = {"is_flag": True, "expose_value": False, "is_eager": True, "callback": _keep}
