"""The `.grad` accessors: they look up, call a function, and hand back what it gives."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar, cast

import xarray as xr

from . import partials, planning
from .geometry import Geometry
from .options import Dims, Periodic
from .plans import Plan

Obj = TypeVar("Obj", xr.DataArray, xr.Dataset, xr.DataTree)
Result = TypeVar("Result", xr.Dataset, xr.DataTree)


def _documentation(function: Callable[..., Any]) -> str:
    """Return what a function's docstring says of the method: not the object, which is there, nor examples."""
    text = inspect.getdoc(function) or ""
    without = re.sub(r"(Parameters\n-+\n)\S.*\n(?: .*\n)+", r"\1", text, count=1)
    return without.partition("\nExamples\n")[0].rstrip() + "\n"


class _Grad(Generic[Obj, Result]):
    """What all accessors share."""

    def __init__(self, obj: Obj) -> None:
        self._obj: Obj = obj

    def __repr__(self) -> str:
        return repr(planning.survey(self._obj))

    def _repr_html_(self) -> str:
        return planning.survey(self._obj)._repr_html_()

    def compute(
        self,
        dims: Dims = None,
        *,
        n: int = 1,
        order: int | None = None,
        edge_order: int | None = None,
        skipna: bool = True,
        periodic: Periodic = "auto",
        geometry: str | Geometry | None = None,
        spacing: Mapping[Hashable, Any] | None = None,
        datetime_unit: str = "s",
        names: Mapping[Hashable, Hashable] | None = None,
    ) -> Result:
        result: Any = partials.compute(
            self._obj,
            dims,
            n=n,
            order=order,
            edge_order=edge_order,
            skipna=skipna,
            periodic=periodic,
            geometry=geometry,
            spacing=spacing,
            datetime_unit=datetime_unit,
            names=names,
        )
        return cast(Result, result)

    def plan(
        self,
        dims: Dims = None,
        *,
        n: int = 1,
        order: int | None = None,
        edge_order: int | None = None,
        skipna: bool = True,
        periodic: Periodic = "auto",
        geometry: str | Geometry | None = None,
        spacing: Mapping[Hashable, Any] | None = None,
        datetime_unit: str = "s",
        names: Mapping[Hashable, Hashable] | None = None,
    ) -> Plan:
        return partials.plan(
            self._obj,
            dims,
            n=n,
            order=order,
            edge_order=edge_order,
            skipna=skipna,
            periodic=periodic,
            geometry=geometry,
            spacing=spacing,
            datetime_unit=datetime_unit,
            names=names,
        )

    compute.__doc__ = _documentation(partials.compute)
    plan.__doc__ = _documentation(partials.plan)


@xr.register_dataarray_accessor("grad")  # type: ignore[no-untyped-call]
class DataArrayGrad(_Grad[xr.DataArray, xr.Dataset]):
    """Derivatives of a DataArray along its named coordinates."""

    def derivative(
        self,
        orders: Mapping[Hashable, int] | None = None,
        *,
        order: int | None = None,
        edge_order: int | None = None,
        skipna: bool = True,
        periodic: Periodic = "auto",
        spacing: Mapping[Hashable, Any] | None = None,
        datetime_unit: str = "s",
        name: Hashable | None = None,
        **dims: int,
    ) -> xr.DataArray:
        return partials.derivative(
            self._obj,
            orders,
            order=order,
            edge_order=edge_order,
            skipna=skipna,
            periodic=periodic,
            spacing=spacing,
            datetime_unit=datetime_unit,
            name=name,
            **dims,
        )

    derivative.__doc__ = _documentation(partials.derivative)


@xr.register_dataset_accessor("grad")  # type: ignore[no-untyped-call]
class DatasetGrad(_Grad[xr.Dataset, xr.Dataset]):
    """Derivatives of all numeric variables of a Dataset that have the named coordinates."""


@xr.register_datatree_accessor("grad")  # type: ignore[no-untyped-call]
class DataTreeGrad(_Grad[xr.DataTree, xr.DataTree]):
    """Derivatives in every node of a DataTree that has the named coordinates."""
