"""What comes of trials, and how it is told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Outcome(NamedTuple):
    """What came of a trial.

    Attributes
    ----------
    row : str
        With which others it is counted.
    words : sequence of str
        What happened, to be counted too.
    problems : list of str
        What was wrong.
    seconds : float
        How long the run took to stop.
    """

    row: str
    words: Sequence[str]
    problems: list[str]
    seconds: float = 0.0


def report(outcomes: Iterable[Outcome]) -> list[str]:
    """Print a line for each row, and return what was wrong."""
    rows: dict[str, list[Outcome]] = defaultdict(list)
    for each in outcomes:
        rows[each.row].append(each)
    problems = []
    for row, these in rows.items():
        wrong = [f"{row}: {problem}" for each in these for problem in each.problems]
        words = Counter(word for each in these for word in each.words)
        said = [f"{len(wrong)} problems", *(f"{word} {count}" for word, count in sorted(words.items()))]
        if slowest := max(each.seconds for each in these):
            said.append(f"stopped within {slowest:.2f} s")
        print(f"{row:36} {len(these):4} trials: {', '.join(said)}", flush=True)
        problems += wrong
    return problems
