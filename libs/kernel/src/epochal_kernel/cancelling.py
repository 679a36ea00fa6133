"""Cancellation that cannot be swallowed."""

from __future__ import annotations

import asyncio


def check_cancelled() -> None:
    """End this task if it was cancelled and some library below has swallowed that.

    `asyncio.wait_for` before Python 3.12 drops a cancellation that comes together with its result,
    and a task group that is cancelled while a child fails reports the failure only. A loop that
    goes on after errors would then outlive its service, which waits for it for ever.

    Raises:
        CancelledError: the task was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
