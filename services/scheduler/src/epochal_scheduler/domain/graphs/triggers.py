"""The trigger rules, on counts that are kept as steps end.

The rules are Polyaxon's `_check_upstream_trigger`, with three things said where it leaves them
open, so that the end of a graph never depends on who was first:

- A skipped step counts as done, and neither as failed nor as succeeded; it does not stand in the
  way of `all_succeeded` (as Polyaxon documents it; its server fails the step). Who wants it to
  sets `skipOnUpstreamSkip`, which skips the step as long as it has not started.
- `one_succeeded` and `one_failed` fail only when everything needed has ended. Polyaxon lets the
  first that ends decide.
- An event that can no longer happen fails the step when everything needed has ended. In Polyaxon
  the step would wait for ever.

Only `failed` is failed for a trigger, as there: behind an `upstream_failed` step, use a
`*_done` trigger.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import epochal_proto.v1 as pb

from epochal_scheduler.domain.graphs.steps import Trigger
from epochal_scheduler.domain.statuses import Status, word


class Verdict(Enum):
    """What the rules say of a step that has not started."""

    WAIT = "wait"
    READY = "ready"
    SKIP = "skip"
    FAIL = "fail"


@dataclass(slots=True)
class Tally:
    """Counts over what a step needs.

    `needed`, `ended`, `succeeded`, `failed` and `skipped` count plain needs, `events_left` those
    that have not happened; `open` counts needs of both kinds whose step has not ended, and
    `any_skipped` holds for both kinds.
    """

    needed: int = 0
    ended: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    events_left: int = 0
    open: int = 0
    any_skipped: bool = False

    def count(self, status: Status) -> None:
        """Counts a plain need whose step has ended as `status`."""
        self.ended += 1
        self.succeeded += status == pb.RUN_STATUS_SUCCEEDED
        self.failed += status == pb.RUN_STATUS_FAILED
        self.skipped += status == pb.RUN_STATUS_SKIPPED


def judge(trigger: Trigger, tally: Tally, *, skips: bool) -> Verdict:
    """Returns what the rules say; only READY and SKIP can come before everything has ended.

    Args:
        trigger: of the step.
        tally: of what it needs.
        skips: whether a skipped upstream skips the step.
    """
    if skips and tally.any_skipped:
        return Verdict.SKIP
    if not tally.events_left and holds(trigger, tally):
        return Verdict.READY
    return Verdict.WAIT if tally.open else Verdict.FAIL


def holds(trigger: Trigger, tally: Tally) -> bool:
    """Returns whether the plain needs satisfy the trigger; without any they do."""
    if not tally.needed:
        return True
    if trigger is Trigger.ONE_SUCCEEDED:
        return tally.succeeded > 0
    if trigger is Trigger.ONE_FAILED:
        return tally.failed > 0
    if trigger is Trigger.ONE_DONE:
        return tally.ended > 0
    if tally.ended < tally.needed:
        return False
    if trigger is Trigger.ALL_SUCCEEDED:
        return tally.succeeded + tally.skipped == tally.needed
    if trigger is Trigger.ALL_FAILED:
        return tally.failed == tally.needed
    return True


def blames(trigger: Trigger, status: Status) -> bool:
    """Returns whether a needed step that ended as `status` is why the trigger does not hold."""
    if trigger in (Trigger.ALL_FAILED, Trigger.ONE_FAILED):
        return status != pb.RUN_STATUS_FAILED
    if trigger is Trigger.ONE_SUCCEEDED:
        return status != pb.RUN_STATUS_SUCCEEDED
    return status not in (pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_SKIPPED)


def why_failed(trigger: Trigger, upstream: str, status: Status) -> str:
    """Returns the sentence that goes with FAIL."""
    return f"{upstream} ended as {word(status)}, and the trigger is {trigger.value}"
