"""Completion of names in a shell: what the input that was typed already has; quick, and silent on errors."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import click
import xarray as xr
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    shell_complete,
)

from xgrad.storage.careful import source

VARIABLE = "_XGRAD_COMPLETE"
SHELLS = ("bash", "zsh", "fish")

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


# What click makes of a shell, mended for values: behind an equals sign, with commas in them, and below "~".


class _Bash(BashComplete):
    """Bash, for which an option, an equals sign and a value are three words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that one."""
        args, incomplete = super().get_completion_args()
        return [arg for arg in args if arg != "="], incomplete


class _Zsh(ZshComplete):
    """Zsh, which would put a value in the place of the option before it."""

    source_template = ZshComplete.source_template.replace(
        "    response=", "    [[ $PREFIX == --*=* ]] && compset -P 1 '*='\n    response=", 1
    ).replace("compadd -U", "compadd")  # which matches nothing, and so keeps nothing either


class _Fish(FishComplete):
    """Fish, which completes whole words, expands no "~" in what it gets as text, and cut names at commas."""

    source_template = """\
function %(complete_func)s
    set -l word (commandline -ct)
    set -l option (string match --regex -- '^--[^=]+=' $word)
    set -lx %(complete_var)s fish_complete
    set -lx COMP_WORDS (commandline -cp)
    set -lx COMP_CWORD $word
    for answer in (%(prog_name)s)
        set -l parts (string split --max 1 , $answer)
        if test $parts[1] = plain
            printf '%%s\\n' "$option$parts[2]"
        else
            complete --do-complete "'' $word"
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


for _class in (_Bash, _Zsh, _Fish):
    add_completion_class(_class)


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
        options: dict[str, Any] = {"engine": engine, "decode_times": False, "decode_coords": "all"}
        with xr.open_dataset(source(given[0], engine), **options) as ds:
            return [name for name in map(str, of(ds)) if name.isprintable() and "," not in name]
    except Exception:
        return []
