"""The graph of a job: results are written by the task that makes them, and neither kept nor sent anywhere."""

from __future__ import annotations

import gc
import itertools
import operator
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

Place = tuple[int, ...]
Region = tuple[slice, ...]
Write = Callable[[Any, Place, Region], None]
Graph = dict[Any, Any]


class Block(NamedTuple):
    """A block of a result: the name of that, its place among the other blocks, and which points it has."""

    name: str
    place: Place
    region: Region


class Job(NamedTuple):
    """What there is to do.

    Attributes
    ----------
    graph : dict
        Tasks by key.
    blocks : dict
        Which blocks are written, by the key to compute for it: one slice of the results after another, across
        the axis with most of them, so that few have neighbours that come much later.
    """

    graph: Graph
    blocks: dict[Any, list[Block]]


class Portion(NamedTuple):
    """A part of a job that can be handed over when those before it were.

    Attributes
    ----------
    graph : dict
        Tasks by key, without those of earlier portions that they read.
    keys : list
        What to compute for the blocks.
    shared : list
        What later portions read of this one.
    done_with : list
        What this portion reads of earlier ones, and none after it.
    """

    graph: Graph
    keys: list[Any]
    shared: list[Any]
    done_with: list[Any]


def job(
    sources: Mapping[str, Any], writes: Mapping[str, Write], done: Container[tuple[str, Place]] = ()
) -> Job:
    """Make the graph that computes Dask arrays and writes their blocks.

    What makes several blocks, as all derivatives of a chunk are made at once, becomes one task with all that
    follows. So no result waits for another task, or travels to one, and Dask has half the tasks to schedule.

    Parameters
    ----------
    sources : mapping of str to dask.array.Array
        What to compute.
    writes : mapping of str to callable
        What writes a block of each.
    done : container of (str, tuple of int)
        Blocks that are left out.

    Returns
    -------
    Job
        The graph, already optimized.
    """
    from dask._task_spec import Task, TaskRef

    todo = [block for block in _blocks(sources) if (block.name, block.place) not in done]
    keys = [(sources[block.name].name, *block.place) for block in todo]
    graph = _optimized(sources, keys)
    readers = Counter(itertools.chain(keys, _read(graph)))
    # New in each run: Dask must not take the tasks of another, which may have failed, for ours.
    run = f"xgrad-write-{uuid.uuid4().hex}"
    found: dict[Any, list[tuple[Block, list[Any]]]] = defaultdict(list)
    for number, (block, key) in enumerate(zip(todo, keys, strict=True)):
        chain, maker = _chain(graph, readers, key)
        write = Task((run, number), writes[block.name], TaskRef(key), block.place, block.region)
        found[write.key if maker is None else maker].append((block, [write, *chain]))
    made = Job(graph, {})
    for maker, some in sorted(found.items(), key=lambda each: _rank(sources, each[1][0][0])):
        # All blocks of one result may begin with the same thing too: with the file.
        several = len({block.name for block, _ in some}) == len(some) > 1
        if several and len(some) == readers[maker]:
            readers[maker] = 1
            shared, _ = _chain(graph, readers, maker)
            _add(made, [block for block, _ in some], [steps for _, steps in some], shared)
        else:
            for block, steps in some:
                _add(made, [block], [steps], [])
    return made


def portions(job: Job, size: int) -> Iterator[Portion]:
    """Cut a job into portions, in a time that grows with its graph only.

    Parameters
    ----------
    job : Job
        What there is to do; its tasks move to the portions.
    size : int
        How many keys each has; the last one may have fewer.

    Yields
    ------
    Portion
        Each task is in the first one that needs it.
    """
    readers = Counter(_read(job.graph))
    left = iter(job.blocks)
    while keys := list(itertools.islice(left, size)):
        graph, needed = {}, list(keys)
        while needed:
            key = needed.pop()
            if key in job.graph:
                graph[key] = task = job.graph.pop(key)
                needed.extend(task.dependencies)
        read = Counter(_read(graph))
        readers.subtract(read)
        shared = [key for key in graph if readers[key]]
        yield Portion(graph, keys, shared, [key for key in read if key not in graph and not readers[key]])


@contextmanager
def uncollected() -> Iterator[Callable[..., None]]:
    """Look for no garbage while large graphs are handled, and give what ends that early.

    They are millions of small objects, all in use: going through them again and again took a third of the
    time before a job of 10⁵ chunks began.
    """
    enabled = gc.isenabled()
    gc.disable()

    def resume(*_: Any) -> None:
        if enabled:
            gc.enable()

    try:
        yield resume
    finally:
        resume()


def _blocks(sources: Mapping[str, Any]) -> Iterator[Block]:
    """Go through all blocks."""
    from dask.array.core import slices_from_chunks

    for name, array in sources.items():
        places = itertools.product(*map(range, array.numblocks))
        for place, region in zip(places, slices_from_chunks(array.chunks), strict=True):
            yield Block(name, place, region)


def _rank(sources: Mapping[str, Any], block: Block) -> list[int]:
    """Return the place of a block, along the axis with most blocks first."""
    along = zip(sources[block.name].numblocks, block.place, strict=True)
    return [index for _, index in sorted(along, key=operator.itemgetter(0), reverse=True)]


def _optimized(sources: Mapping[str, Any], keys: Sequence[Any]) -> Graph:
    """Return what computes the blocks, as Dask would do it."""
    from dask._task_spec import convert_legacy_graph
    from dask.array import Array
    from dask.highlevelgraph import HighLevelGraph
    from dask.utils import ensure_dict

    merged = HighLevelGraph.merge(*(array.dask for array in sources.values()))
    return dict(convert_legacy_graph(ensure_dict(Array.__dask_optimize__(merged, list(keys)))))


def _read(graph: Graph) -> Iterator[Any]:
    """Go through the keys that tasks read, as often as they do."""
    return itertools.chain.from_iterable(task.dependencies for task in graph.values())


def _chain(graph: Graph, readers: Mapping[Any, int], key: Any) -> tuple[list[Any], Any]:
    """Return tasks that only serve the next one, the last first, and the key of what they all begin with.

    That is None if they begin with nothing, or with several.
    """
    chain = []
    while key in graph and readers[key] == 1:
        chain.append(graph[key])
        if len(graph[key].dependencies) != 1:
            return chain, None
        (key,) = graph[key].dependencies
    return chain, key


def _add(made: Job, blocks: list[Block], branches: list[list[Any]], shared: list[Any]) -> None:
    """Add one task that writes blocks, in place of the tasks that it consists of."""
    from dask._task_spec import Task, TaskRef

    steps = [*itertools.chain(*branches), *shared]
    key = branches[0][0].key
    if len(branches) > 1:
        key = (*key, "all")
        steps.append(Task(key, _ended, *(TaskRef(write.key) for write, *_ in branches)))
    for step in steps:
        made.graph.pop(step.key, None)
    made.graph[key] = Task.fuse(*steps, key=key) if len(steps) > 1 else steps[0]
    made.blocks[key] = blocks


def _ended(*_: None) -> None:
    """Take the ends of several branches for one."""
