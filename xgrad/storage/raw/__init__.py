"""Chunks of netCDF-4 files as they are stored: read and written past HDF5, in any number of threads."""

from __future__ import annotations

from xgrad.storage.raw.filters import default_codec
from xgrad.storage.raw.reading import RawEntrypoint, available, raw_variables
from xgrad.storage.raw.writing import raw_targets

__all__ = ["RawEntrypoint", "available", "default_codec", "raw_targets", "raw_variables"]
