"""Files: opened lazily in bounded chunks, written whole or not at all."""

from __future__ import annotations

from xgrad.storage.progress import Progress
from xgrad.storage.reading import open
from xgrad.storage.targets import check_target
from xgrad.storage.writing import write

__all__ = ["Progress", "check_target", "open", "write"]
