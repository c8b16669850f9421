"""Zarr stores whose Blosc chunks are whole: Blosc itself reads on beyond the end of one that is cut off.

A chunk that lacked a byte came back without an error, and one that lacked more ended the process
(numcodecs 0.16).
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

# Of a header [Blosc chunk format], whose last four bytes say how long the chunk is.
_HEADER = 16
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


class WholeChunks(LocalStore):
    """A local store that hands over whole chunks only."""

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Read a value."""
        found = await super().get(key, prototype, byte_range)
        return found if byte_range is not None else self._whole(key, found)

    def get_sync(self, key: str, *args: Any, byte_range: Any = None, **options: Any) -> Any:
        """Read a value."""
        found = super().get_sync(key, *args, byte_range=byte_range, **options)
        return found if byte_range is not None else self._whole(key, found)

    def _whole(self, key: str, found: Any) -> Any:
        """Return a value if it is whole, as far as can be told; None stands for a chunk of fill values."""
        folder, _, name = key.rpartition("/")
        if found is None:
            os.stat(self.root)  # a worker of a cluster may not see the store at all
        elif name not in _METADATA and _is_blosc(self.root / folder, self.root):
            says = int.from_bytes(found[:_HEADER].to_bytes()[12:], "little")
            if len(found) < _HEADER or says != len(found):
                raise ValueError(f"its chunk {key!r} has {len(found)} bytes, and says {says}")
        return found


def _is_blosc(folder: Path, root: Path) -> bool:
    """Whether the chunks in a folder of a store were compressed by Blosc last of all."""
    for name, codecs in (("zarr.json", "codecs"), (".zarray", "compressor")):
        try:
            status = os.stat(folder / name)
        except FileNotFoundError:
            continue
        return _ends_with_blosc(folder / name, codecs, (status.st_mtime_ns, status.st_ino))
    return folder not in (root, folder.parent) and _is_blosc(folder.parent, root)


@lru_cache(maxsize=1024)
def _ends_with_blosc(path: Path, codecs: str, state: tuple[int, int]) -> bool:
    """Whether Blosc is the last codec that a file of metadata names."""
    found = json.loads(path.read_text(encoding="utf-8")).get(codecs)
    last = found[-1] if isinstance(found, list) and found else found
    return isinstance(last, dict) and "blosc" in (last.get("name"), last.get("id"))
