"""From verdicts to events: raises and resolves alerts in the log, once each.

The command's id is made of what was judged, so a verdict that is given again after a crash is the
same command; and the log refuses to raise what is open. That makes at-least-once exactly once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel.ids import Ids
from epochal_kernel.log.commands import CommandContext
from epochal_kernel.log.ledger import Ledger
from google.protobuf.message import Message

from epochal_tracker.domain.alerts import Alerts, AlertsAggregate, raise_alert, resolve_alert
from epochal_tracker.monitoring.store import Watched
from epochal_tracker.monitoring.watching import Proposal

ACTOR = "services/monitor"

_COMMANDS = uuid5(NAMESPACE_URL, "urn:epochal:monitor")


class Proposer:
    """Puts alerts into the log."""

    def __init__(self, ledger: Ledger, ids: Ids) -> None:
        self._ledger = ledger
        self._ids = ids
        self._aggregate = AlertsAggregate()

    async def propose(
        self, run_id: UUID, watched: Watched, proposal: Proposal, producer: UUID, batch: int
    ) -> None:
        """Raise or resolve what the batch of a producer has decided.

        Raises:
            EpochalError: the log cannot be written.
        """
        rule, verdict = proposal.rule, proposal.verdict
        if verdict.raised:
            raised = _raised(watched.name, proposal)
            raised.producer, raised.batch = str(producer), batch
            await self._append(run_id, watched, raised, lambda state: raise_alert(state, raised))
            return
        resolved = pb.MetricAlertResolved(
            run=watched.name,
            rule=rule.name,
            metric=proposal.metric,
            severity=_severity(rule),
            message=verdict.words,
            value=verdict.value,
            step=proposal.step,
        )
        about = f"{producer} {batch}"
        await self._append(
            run_id, watched, resolved, lambda state: resolve_alert(state, resolved), about
        )

    async def stalled(
        self, run_id: UUID, watched: Watched, rule: pb.AlertRule, since_us: int, step: int
    ) -> None:
        """Raise the alert of a run from which nothing has come since a time."""
        raised = pb.MetricAlertRaised(
            run=watched.name,
            rule=rule.name,
            severity=_severity(rule),
            message=rule.message or "no points have come for longer than usual",
            value=math.nan,
            step=step,
            stop_run=rule.stop_run,
        )
        await self._append(
            run_id, watched, raised, lambda state: raise_alert(state, raised), str(since_us)
        )

    async def resolve_all(
        self, run_id: UUID, watched: Watched, names: Sequence[str] | None, words: str, about: str
    ) -> None:
        """Resolve the open alerts of a run, of some rules or of all."""

        def decide(state: Alerts) -> Sequence[Message]:
            events: list[Message] = []
            for name, metric in sorted(state.open):
                if names is None or name in names:
                    rule = pb.AlertRule.FromString(state.rules.get(name, b""))
                    resolved = pb.MetricAlertResolved(
                        run=watched.name,
                        rule=name,
                        metric=metric,
                        severity=_severity(watched.rules.get(name, rule)),
                        message=words,
                        value=math.nan,
                    )
                    events += resolve_alert(state, resolved)
            return events

        marker = pb.MetricAlertResolved(run=watched.name, message=words)
        await self._append(run_id, watched, marker, decide, about)

    async def _append(
        self,
        run_id: UUID,
        watched: Watched,
        event: Message,
        decide: Callable[[Alerts], Sequence[Message]],
        about: str = "",
    ) -> None:
        said = event.SerializeToString(deterministic=True)
        digest = hashlib.sha256(event.DESCRIPTOR.full_name.encode() + said + about.encode())
        context = CommandContext(
            command_id=uuid5(_COMMANDS, digest.hexdigest()),
            org_id=watched.org_id,
            actor=ACTOR,
            correlation_id=self._ids.uuid7(),
            request_sha256=digest.digest(),
        )
        await self._ledger.execute(self._aggregate, run_id, watched.name, decide, context)


def _raised(run: str, proposal: Proposal) -> pb.MetricAlertRaised:
    rule, verdict = proposal.rule, proposal.verdict
    return pb.MetricAlertRaised(
        run=run,
        rule=rule.name,
        metric=proposal.metric,
        severity=_severity(rule),
        message=rule.message or verdict.words,
        value=verdict.value,
        step=proposal.step,
        stop_run=rule.stop_run,
    )


def _severity(rule: pb.AlertRule) -> pb.AlertSeverity:
    return rule.severity or pb.ALERT_SEVERITY_WARNING
