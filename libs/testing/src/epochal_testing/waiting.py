"""Wait for a condition, never for a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, overload

T = TypeVar("T")

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05


class NotInTime(AssertionError):
    """A condition was not true before its deadline."""


@overload
async def until(
    condition: Callable[[], Awaitable[T]], timeout_s: float = 10.0, *, what: str = ""
) -> T: ...


@overload
async def until(condition: Callable[[], T], timeout_s: float = 10.0, *, what: str = "") -> T: ...


async def until(
    condition: Callable[[], T] | Callable[[], Awaitable[T]],
    timeout_s: float = 10.0,
    *,
    what: str = "",
) -> T:
    """Return the first true value of `condition()`, which may be a coroutine function.

    An AssertionError inside the condition counts as "not yet", and is the cause of the failure when
    it is never overcome; any other exception passes through at once.

    Raises:
        NotInTime: it was not true within `timeout_s` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    pause_s = _FIRST_PAUSE_S
    value: object = None
    while True:
        refusal: AssertionError | None = None
        try:
            result = condition()
            value = await result if inspect.isawaitable(result) else result
            if value:
                return cast("T", value)
        except AssertionError as error:
            refusal = error
        if loop.time() >= deadline:
            subject = what or getattr(condition, "__qualname__", repr(condition))
            raise NotInTime(
                f"{subject} was not true within {timeout_s:g} s; last: {refusal or value!r}"
            ) from refusal
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
