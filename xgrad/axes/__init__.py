"""A 1-D coordinate -> Axis: ascending positions, uniform or not, open or a ring; and every refusal."""

from .axis import Axis
from .reading import axis_from_coordinate, axis_from_spacing

__all__ = ["Axis", "axis_from_coordinate", "axis_from_spacing"]
