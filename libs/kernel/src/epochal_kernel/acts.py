"""What a platform does of its own accord, and which of it a fork was allowed (see `log.forks`)."""

from __future__ import annotations

from enum import StrEnum

from epochal_kernel.errors import InvalidArgument, Violation


class Act(StrEnum):
    """What a platform does of its own accord, and a fork does not unless it is allowed."""

    EXECUTE = "execute"
    """Runs go to agents, pipelines and schedules go on, metrics are judged, old data is expired."""
    NOTIFY = "notify"
    """Channels are told: webhooks, mail, chat."""
    PUBLISH = "publish"
    """Checkpoints go to places outside, OpenLineage events to a receiver."""


def allowed_acts(text: str) -> frozenset[Act]:
    """Read what a fork may do: names with commas between.

    Raises:
        InvalidArgument: a name is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Act)]
    if unknown:
        known = ", ".join(Act)
        raise InvalidArgument(
            f"EPOCHAL_FORK_ALLOWS: a fork cannot be allowed {unknown[0]!r}; there is {known}",
            violations=[Violation("EPOCHAL_FORK_ALLOWS", "known_act", known)],
        )
    return frozenset(Act(name) for name in names)
