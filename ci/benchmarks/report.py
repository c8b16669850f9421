"""Results as Markdown: a table for each case, a summary for each group, the goals."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .contest import SECONDS, Result
from .goals import Verdict

_FLOORS = ("floor", "fresh floor")


def save(
    path: Path, machine: Mapping[str, Any], results: Sequence[Result], verdicts: Sequence[Verdict]
) -> None:
    """Write a run to a JSON file, with every single value."""
    run = {
        "machine": machine,
        "results": [asdict(result) for result in results],
        "goals": [{**asdict(verdict), "verdict": verdict.word} for verdict in verdicts],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> tuple[Mapping[str, Any], list[Result]]:
    """Read a run from a JSON file: its machine and its results."""
    run = json.loads(path.read_text(encoding="utf-8"))
    return run["machine"], [Result(**result) for result in run["results"]]


def case(result: Result) -> Iterator[str]:
    """Write what one case gave: all contestants, metric by metric."""
    yield f"## {result.group}: {result.case}\n\n{result.work}\n"
    for metric in result.metrics():
        reference = [result.reference, *(name for name in _FLOORS if name != result.reference)]
        over = [name for name in reference if metric in result.values.get(name, {})]
        rows = [
            (
                name,
                _number(metric, statistics.median(measured[metric])),
                " – ".join(_number(metric, end(measured[metric])) for end in (min, max)),
                *(f"{result.ratio(metric, name, other):.2f}" for other in over),
            )
            for name, measured in result.values.items()
            if metric in measured
        ]
        yield from _table([metric, "median", "least – most", *(f"/ {name}" for name in over)], rows)
    for name, reason in result.left_out.items():
        yield f"Left out: {name} ({reason}).\n"


def goals(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """Write what became of the goals; of each the worst case."""
    rows = [
        (
            verdict.text,
            verdict.bound,
            "" if verdict.measured is None else f"{verdict.measured:.3g}",
            verdict.word,
            verdict.where,
        )
        for verdict in verdicts
    ]
    yield from _table(["goal", "bound", "measured", "", "worst case"], rows)


def summary(results: Sequence[Result]) -> Iterator[str]:
    """Write a table for each group and metric: the reference's own figure, all others as multiples of it."""
    kinds = {(each.group, each.reference, metric): None for each in results for metric in each.metrics()}
    for group, reference, metric in kinds:
        chosen = [each for each in results if (each.group, each.reference) == (group, reference)]
        chosen = [each for each in chosen if metric in each.metrics()]
        names = list(dict.fromkeys(name for each in chosen for name in each.values if name != reference))
        rows = [
            (
                each.case,
                _number(metric, statistics.median(each.values[reference][metric])),
                *(
                    f"{each.ratio(metric, name, reference):.2f}" if name in each.values else ""
                    for name in names
                ),
            )
            for each in chosen
        ]
        unit = "time" if metric == SECONDS else metric
        yield f"### {group}, {unit}\n"
        yield from _table(["case", reference, *(f"{name} ÷" for name in names)], rows)


def machine(about: Mapping[str, Any]) -> Iterator[str]:
    """Write where and when a run was made."""
    yield (
        f"{about['cpu']}, {about['cores']} cores, {about['memory'] / 2**30:.0f} GiB, {about['system']}; "
        f"Python {about['python']}, "
        + ", ".join(f"{name} {about['packages'][name]}" for name in _NAMED if name in about["packages"])
        + f"; {about['date']}, size {about['size']}, {about['repeats']} rounds.\n"
    )


_NAMED = ("numpy", "xarray", "dask", "distributed", "numba", "findiff", "metpy", "xgcm", "xgrad")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write a table that can be read as it is."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
    yield ""


def _number(metric: str, value: float) -> str:
    """Write a value with three digits and its unit where that is not the metric's name."""
    if metric != SECONDS:
        return f"{value:.3g}"
    factor, unit = next(
        each for each in ((1, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns")) if value * each[0] >= 1
    )
    return f"{value * factor:.3g} {unit}"
