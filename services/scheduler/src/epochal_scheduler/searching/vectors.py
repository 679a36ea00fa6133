"""Parameters as points of the unit cube, for samplers that know only numbers.

A number or an ordered list has one coordinate, a list without order one for each of its values. A
parameter that is not asked for lies in the middle, where it tells a model nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from epochal_scheduler.domain.sweeps.searchspaces import Param, SearchSpace
from epochal_scheduler.domain.sweeps.spaces import Listed, Params, Value


class Cube:
    """Translates between parameters and points."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._widths = [_width(param) for param in space.params]
        self.dimensions = sum(self._widths)

    def point(self, params: Params) -> np.ndarray:
        """Returns the point of some parameters, of shape (dimensions,)."""
        parts: list[Sequence[float]] = []
        for param, width in zip(self._space.params, self._widths, strict=True):
            if param.name not in params:
                parts.append([0.5] * width)
            elif width == 1:
                parts.append([param.space.to_unit(params[param.name])])
            else:
                assert isinstance(param.space, Listed), "only lists are wide"
                chosen = param.space.index(params[param.name])
                parts.append([float(number == chosen) for number in range(width)])
        return np.concatenate(parts) if parts else np.zeros(0)

    def params(self, point: np.ndarray) -> dict[str, Value]:
        """Returns the parameters at, or nearest to, a point."""
        chosen: dict[str, Value] = {}
        first = 0
        for param, width in zip(self._space.params, self._widths, strict=True):
            part = point[first : first + width]
            first += width
            if not self._space.is_active(param, chosen):
                continue
            if width == 1:
                chosen[param.name] = param.space.from_unit(float(part[0]))
            else:
                assert isinstance(param.space, Listed), "only lists are wide"
                chosen[param.name] = param.space.at(int(np.argmax(part)))
        return chosen


def _width(param: Param) -> int:
    space = param.space
    return space.size if isinstance(space, Listed) and not space.is_ordered else 1
