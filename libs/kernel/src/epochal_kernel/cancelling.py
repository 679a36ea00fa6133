"""Cancellation that cannot be swallowed."""

from __future__ import annotations

import asyncio


def check_cancelled() -> None:
    """End this task if it was cancelled and some library below has swallowed that.

    `asyncio.wait_for` before Python 3.12 drops a cancellation that comes together with its result.
    A loop that goes on after errors would then outlive its service, which waits for it for ever.
    Not for a task that has caught the failure of a task group: such a task counts as cancelled.

    Raises:
        CancelledError: the task was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
