"""Upcasters: pure functions that turn yesterday's events into today's.

A stored payload is never rewritten. When the meaning of an event type changes in a way that
protobuf's own rules (buf breaking, FILE) do not cover, the new code registers one function per old
shape; folding, projecting and replaying all see only today's shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from google.protobuf.message import Message

Upcaster = Callable[[Message], Message]


class Upcasters:
    """A table of upcasters by full protobuf name; each result is looked up again."""

    def __init__(self, steps: Mapping[str, Upcaster] | None = None) -> None:
        self._steps = dict(steps or {})

    def upcast(self, message: Message) -> Message:
        """Apply steps until none is registered for the message's type.

        Raises:
            ValueError: the table goes in a circle.
        """
        if not self._steps:
            return message
        seen: set[str] = set()
        while (name := message.DESCRIPTOR.full_name) in self._steps:
            if name in seen:
                raise ValueError(f"upcasters go in a circle at {name}")
            seen.add(name)
            message = self._steps[name](message)
        return message
