"""What the pages include but nobody writes: notebooks, figures, the help of commands, the list of modules.

It is made anew with every build, in folders called `generated`, which git ignores.
"""

from __future__ import annotations

import ast
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xgrad
from xgrad.cli.commands import command


def everything(docs: Path) -> None:
    """Make all of it."""
    root = docs.parent
    _check_reference((docs / "reference" / "api.md").read_text(encoding="utf-8"))
    for path in (docs / "reference" / "generated").glob("*.rst"):
        path.unlink()  # it may be of a name that is gone; Sphinx makes the others anew
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        _write(docs / "tutorial" / "generated" / path.name, path.read_text(encoding="utf-8"))
    for name, text in _help_of_commands():
        _write(docs / "reference" / "generated" / f"{name}.txt", text)
    _write(docs / "explanation" / "generated" / "layers.inc", _layers(root))
    for path in sorted((docs / "figures").glob("*.py")):
        target = docs / "explanation" / "generated" / f"{path.stem}.svg"
        figure = runpy.run_path(str(path))["draw"]()
        figure.savefig(target, metadata={"Date": None})


def _check_reference(page: str) -> None:
    """Refuse a reference that leaves out a public name."""
    missing = [name for name in xgrad.__all__ if name not in page]
    if missing:
        raise ValueError(f"docs/reference/api.md does not mention {missing!r}")


def _write(path: Path, text: str) -> None:
    """Write a file unless it is there already, so that Sphinx does not read it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _help_of_commands() -> Iterator[tuple[str, str]]:
    """Return what `--help` says of each command, by file name."""
    settings: dict[str, Any] = {"terminal_width": 96, "max_content_width": 96, "resilient_parsing": True}
    with command.make_context("xgrad", [], **settings) as context:
        yield "xgrad", context.get_help()
        for name, sub in command.commands.items():
            with sub.make_context(name, [], parent=context, **settings) as inner:
                yield f"xgrad-{name}", inner.get_help()


def _layers(root: Path) -> str:
    """Return the import layers, top first, with the first line of each module's docstring."""
    with (root / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    lines = ["| layer | what it does |", "|---|---|"]
    for layer in layers:
        for name in layer.replace("|", " ").split():
            lines.append(f"| `{name}` | {_first_line(root / 'xgrad', name)} |")
    return "\n".join(lines) + "\n"


def _first_line(package: Path, name: str) -> str:
    """Return the first line of a module's docstring."""
    path = package / f"{name}.py"
    source = (path if path.exists() else package / name / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
