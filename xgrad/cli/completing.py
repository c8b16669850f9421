"""Completion of names in a shell: what the input that was typed already has; quick, and silent on errors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable

import click
import xarray as xr
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

VARIABLE = "_XGRAD_COMPLETE"
SHELLS = ("bash", "zsh", "fish")

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def script(command: click.Command, shell: str) -> str:
    """Return what a shell reads to complete the command."""
    kind = get_completion_class(shell)
    assert kind is not None
    return kind(command, {}, "xgrad", VARIABLE).source()


def complete(command: click.Command, instruction: str) -> int:
    """Answer a shell that completes the command, and return the exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return shell_complete(command, {}, "xgrad", VARIABLE, instruction)
        except Exception:  # whoever types has nothing of it
            return 1


def names(of: Callable[[xr.Dataset], Iterable[object]]) -> Completer:
    """Return what completes a list of names with commas between them."""

    def completed(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        taken = before.split(",")
        return [
            CompletionItem(f"{before}{comma}{name}")
            for name in _found(ctx, of)
            if name.startswith(last) and name not in taken
        ]

    return completed


def _found(ctx: click.Context, of: Callable[[xr.Dataset], Iterable[object]]) -> list[str]:
    """Return names in the first input, none if it cannot be read."""
    given = ctx.params.get("sources") or ctx.args  # where they are while an option waits for its value
    try:
        engine = "zarr" if os.path.isdir(given[0]) else "netcdf4"  # xarray would load all engines to choose
        with xr.open_dataset(given[0], engine=engine, decode_times=False, decode_coords="all") as ds:
            return [name for name in map(str, of(ds)) if name.isprintable() and "," not in name]
    except Exception:
        return []
