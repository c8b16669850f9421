"""The command `xgrad`: arguments -> open, compute, write; errors -> one line and an exit code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from xgrad.cli import completing
from xgrad.cli.commands import command
from xgrad.cli.process import end, exit_code, share_memory, watch


def main() -> NoReturn:
    """Run the command that the process was started with, and end the process."""
    if completing.VARIABLE in os.environ:
        end(completing.complete(command, os.environ[completing.VARIABLE]))
    share_memory()
    watch()
    end(run())


def run(args: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments and return its exit code."""
    return exit_code(command, args)
