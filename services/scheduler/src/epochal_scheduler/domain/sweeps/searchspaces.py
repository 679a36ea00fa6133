"""Spaces of several parameters, some of which depend on the values of others (`when`).

A parameter whose condition does not hold is left out of the suggestion. A grid over such a space
is still numbered from 0, and trial `i` of it is found by counting, not by listing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from epochal_kernel.errors import InvalidArgument, OutOfRange, Violation

from epochal_scheduler.domain.sweeps.chance import unit
from epochal_scheduler.domain.sweeps.spaces import Listed, Params, Space, Value

MOST_BRANCHES = 100_000


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a sweep, asked for if every parameter in `when` has one of its values."""

    name: str
    space: Space
    when: Mapping[str, Sequence[Value]] | None = None


class SearchSpace:
    """The parameters of a sweep, those first that others depend on.

    Raises:
        InvalidArgument: two parameters have one name, or a condition names an unknown parameter
            or depends on itself.
    """

    def __init__(self, params: Sequence[Param]) -> None:
        self.params = _ordered(params)
        self._parents = {name for param in params for name in param.when or ()}
        self._counts: dict[tuple[int, tuple[int, ...]], int] = {}

    def is_active(self, param: Param, chosen: Params) -> bool:
        """Returns whether a parameter is asked for, given those before it."""
        return all(
            name in chosen and chosen[name] in values for name, values in (param.when or {}).items()
        )

    def sample(self, seed: int, index: int) -> dict[str, Value]:
        """Returns draw number `index`; the same one every time."""
        chosen: dict[str, Value] = {}
        for param in self.params:
            if self.is_active(param, chosen):
                chosen[param.name] = param.space.from_unit(unit(seed, index, param.name))
        return chosen

    @property
    def grid_size(self) -> int:
        """How many combinations there are.

        Raises:
            InvalidArgument: a parameter is a distribution, or conditions branch too much.
        """
        for param in self.params:
            if not isinstance(param.space, Listed):
                raise _bad(param.name, "a grid needs values that can be listed")
        return self._count(0, {}, ())

    def grid_at(self, index: int) -> dict[str, Value]:
        """Returns combination number `index`; the last parameter varies fastest.

        Raises:
            OutOfRange: there are not so many.
        """
        if not 0 <= index < self.grid_size:
            raise OutOfRange(f"the grid has {self.grid_size} combinations, no number {index}")
        chosen: dict[str, Value] = {}
        path: tuple[int, ...] = ()
        for number, param in enumerate(self.params):
            if not self.is_active(param, chosen):
                continue
            space = param.space
            assert isinstance(space, Listed), "grid_size has looked"
            if param.name not in self._parents:
                which, index = divmod(index, self._count(number + 1, chosen, path))
                chosen[param.name] = space.at(which)
                continue
            for which in range(space.size):
                chosen[param.name] = space.at(which)
                below = self._count(number + 1, chosen, (*path, which))
                if index < below:
                    path = (*path, which)
                    break
                index -= below
        return chosen

    def _count(self, number: int, chosen: Params, path: tuple[int, ...]) -> int:
        """Returns how many combinations the parameters from `number` on have.

        `path` holds the indexes chosen for parameters that others depend on: all that matters.
        """
        key = (number, path)
        if key not in self._counts:
            if len(self._counts) > MOST_BRANCHES:
                raise _bad("when", f"conditions branch more than {MOST_BRANCHES} times")
            self._counts[key] = self._count_afresh(number, chosen, path)
        return self._counts[key]

    def _count_afresh(self, number: int, chosen: Params, path: tuple[int, ...]) -> int:
        if number == len(self.params):
            return 1
        param = self.params[number]
        if not self.is_active(param, chosen):
            return self._count(number + 1, chosen, path)
        assert isinstance(param.space, Listed), "grid_size has looked"
        if param.name not in self._parents:
            return param.space.size * self._count(number + 1, chosen, path)
        return sum(
            self._count(number + 1, {**chosen, param.name: param.space.at(which)}, (*path, which))
            for which in range(param.space.size)
        )


def _ordered(params: Sequence[Param]) -> tuple[Param, ...]:
    names = [param.name for param in params]
    if len(set(names)) < len(names):
        raise _bad(next(n for n in names if names.count(n) > 1), "two parameters have this name")
    waiting, placed = list(params), dict[str, Param]()
    while waiting:
        param = next(
            (param for param in waiting if all(name in placed for name in param.when or ())), None
        )
        if param is None:
            first = waiting[0]
            unknown = [name for name in first.when or () if name not in names]
            raise _bad(
                first.name,
                f"there is no parameter {unknown[0]!r}" if unknown else "it depends on itself",
            )
        placed[param.name] = param
        waiting.remove(param)
    return tuple(placed.values())


def _bad(name: str, why: str) -> InvalidArgument:
    field = f"matrix.params.{name}"
    return InvalidArgument(f"{name}: {why}", violations=[Violation(field, "space", why)])
