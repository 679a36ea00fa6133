"""Functions of libraries put in the place of others, and back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_MISSING: Final = object()


class Patches:
    """What was replaced, to be undone; undoing twice is once."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def wrap(
        self, owner: object, name: str, around: Callable[[Callable[P, R]], Callable[P, R]]
    ) -> None:
        """Puts `around(original)` in the place of a function or method that its owner has."""
        original: Callable[P, R] = getattr(owner, name)
        self._put(owner, name, functools.wraps(original)(around(original)))

    def replace(self, owner: object, name: str, around: Callable[[Callable[P, R]], object]) -> None:
        """Puts `around(original)` there as it is, such as a classmethod."""
        original: Callable[P, R] = getattr(owner, name)
        self._put(owner, name, around(original))

    def undo(self) -> None:
        """Puts everything back."""
        while self._undo:
            self._undo.pop()()

    def _put(self, owner: object, name: str, replacement: object) -> None:
        own = vars(owner).get(name, _MISSING)
        setattr(owner, name, replacement)

        def undo() -> None:
            if vars(owner).get(name) is not replacement:
                return  # someone put theirs over ours: leave it, ours does nothing without us
            if own is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, own)

        self._undo.append(undo)
