"""The `.grad` accessors: they look up, call a function, and hand back what it gives."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Generic, TypeVar

import xarray as xr

from . import partials, planning
from .planning import Dims, Periodic, Plan

Obj = TypeVar("Obj", xr.DataArray, xr.Dataset)


class _Grad(Generic[Obj]):
    """What DataArrays and Datasets share."""

    def __init__(self, obj: Obj) -> None:
        self._obj = obj

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
        spacing: Mapping[Hashable, Any] | None = None,
        datetime_unit: str = "s",
        names: Mapping[Hashable, Hashable] | None = None,
    ) -> xr.Dataset:
        return partials.compute(
            self._obj,
            dims,
            n=n,
            order=order,
            edge_order=edge_order,
            skipna=skipna,
            periodic=periodic,
            spacing=spacing,
            datetime_unit=datetime_unit,
            names=names,
        )

    def plan(
        self,
        dims: Dims = None,
        *,
        n: int = 1,
        order: int | None = None,
        edge_order: int | None = None,
        skipna: bool = True,
        periodic: Periodic = "auto",
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
            spacing=spacing,
            datetime_unit=datetime_unit,
            names=names,
        )

    compute.__doc__ = partials.compute.__doc__
    plan.__doc__ = partials.plan.__doc__


@xr.register_dataarray_accessor("grad")
class DataArrayGrad(_Grad[xr.DataArray]):
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

    derivative.__doc__ = partials.derivative.__doc__


@xr.register_dataset_accessor("grad")
class DatasetGrad(_Grad[xr.Dataset]):
    """Derivatives of all numeric variables of a Dataset that have the named coordinates."""


@xr.register_datatree_accessor("grad")
class DataTreeGrad:
    """Derivatives of every node of a DataTree that has data."""

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def compute(
        self,
        dims: Dims = None,
        *,
        n: int = 1,
        order: int | None = None,
        edge_order: int | None = None,
        skipna: bool = True,
        periodic: Periodic = "auto",
        spacing: Mapping[Hashable, Any] | None = None,
        datetime_unit: str = "s",
        names: Mapping[Hashable, Hashable] | None = None,
    ) -> xr.DataTree:
        return partials.compute(
            self._tree,
            dims,
            n=n,
            order=order,
            edge_order=edge_order,
            skipna=skipna,
            periodic=periodic,
            spacing=spacing,
            datetime_unit=datetime_unit,
            names=names,
        )

    compute.__doc__ = partials.compute.__doc__
