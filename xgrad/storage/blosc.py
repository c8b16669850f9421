"""Zarr stores whose Blosc chunks are whole: Blosc itself reads on beyond the end of one that is cut off.

A chunk that lacked a byte came back without an error, and one that lacked more ended the process
(numcodecs 0.16).
"""

from __future__ import annotations

import json
import os
from functools import cache
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
        """Return a value if it is whole, as far as that can be told."""
        folder, _, name = key.rpartition("/")
        if found is not None and name not in _METADATA and _is_blosc(self.root / folder, self.root):
            says = int.from_bytes(found[:_HEADER].to_bytes()[12:], "little")
            if len(found) < _HEADER or says != len(found):
                raise ValueError(f"its chunk {key!r} has {len(found)} bytes, and says {says}")
        return found


@cache
def _is_blosc(folder: Path, root: Path) -> bool:
    """Whether the chunks in a folder of a store were compressed by Blosc last of all."""
    for name, codecs in (("zarr.json", "codecs"), (".zarray", "compressor")):
        if os.path.exists(folder / name):
            found = json.loads((folder / name).read_text(encoding="utf-8")).get(codecs)
            last = found[-1] if isinstance(found, list) and found else found
            return isinstance(last, dict) and "blosc" in (last.get("name"), last.get("id"))
    return folder not in (root, folder.parent) and _is_blosc(folder.parent, root)
