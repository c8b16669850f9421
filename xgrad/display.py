"""Plans as text and as HTML."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from html import escape


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table with notes below; the keys of each row are the columns."""

    title: str
    rows: Sequence[dict[str, str]]
    notes: Sequence[str] = field(default=())


def size(count: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def text(tables: Sequence[Table], left_out: Sequence[tuple[Hashable, str]]) -> str:
    """Return tables as text."""
    lines: list[str] = []
    for table in tables:
        lines.append(_safe(table.title))
        if table.rows:
            columns = [key for key in table.rows[0] if any(row[key] for row in table.rows)]
            cells = [columns, *([_safe(row[key]) for key in columns] for row in table.rows)]
            widths = [max(len(row[k]) for row in cells) for k in range(len(columns))]
            lines += [
                "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                for row in cells
            ]
        lines += [f"  ({_safe(note)})" for note in table.notes]
    lines += [f"left out: {_safe(name)}: {_safe(reason)}" for name, reason in left_out]
    return "\n".join(lines)


def html(tables: Sequence[Table], left_out: Sequence[tuple[Hashable, str]]) -> str:
    """Return tables as HTML; everything that comes from the data is escaped."""
    parts: list[str] = []
    for table in tables:
        parts.append(f"<p><strong>{_escaped(table.title)}</strong></p>")
        if table.rows:
            columns = [key for key in table.rows[0] if any(row[key] for row in table.rows)]
            head = "".join(f"<th style='text-align:left'>{_escaped(key)}</th>" for key in columns)
            body = "".join(
                "<tr>"
                + "".join(f"<td style='text-align:left'>{_escaped(row[key])}</td>" for key in columns)
                + "</tr>"
                for row in table.rows
            )
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        parts += [f"<p><em>{_escaped(note)}</em></p>" for note in table.notes]
    if left_out:
        items = "".join(f"<li>{_escaped(name)}: {_escaped(reason)}</li>" for name, reason in left_out)
        parts.append(f"<p>left out</p><ul>{items}</ul>")
    return f"<div>{''.join(parts)}</div>"


def _safe(value: object) -> str:
    """Return printable text on one line."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def _escaped(value: object) -> str:
    """Return text that HTML shows as it is."""
    return escape(_safe(value), quote=True)
