"""ExplainRun: why a run is where it is, computed from what events left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import epochal_proto.v1 as pb
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.reader import LogReader
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_scheduler.domain.queueing.limits import Ask
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.domain.statuses import word
from epochal_scheduler.projections import run_id_of
from epochal_scheduler.working.admitting import Admission
from epochal_scheduler.working.commands import RunCommands
from epochal_scheduler.working.pipelines.worker import PipelineWorker

MOST_AHEAD = 20
_OF_THE_PAST = (
    "it is of the history that this platform was forked with: it stays here as it was then, and "
    "goes on, if it does, where it was made"
)
_STANDS_STILL = (
    "this platform is a fork and executes nothing; EPOCHAL_FORK_ALLOWS=execute allows it"
)


@dataclass(frozen=True, slots=True)
class ExplainServer:
    """Handler of ExplainRun."""

    commands: RunCommands
    reader: LogReader
    codec: EventCodec
    admission: Admission
    pipelines: PipelineWorker
    past: int = 0
    executes: bool = True

    async def explain_run(
        self, request: pb.ExplainRunRequest, context: CallContext
    ) -> pb.RunExplanation:
        """Explains where a run is."""
        run_id = run_id_of(request.name)
        state = await self.commands.load_named(request.name)
        found = pb.RunExplanation(name=state.name, status=state.status)
        head = await self.reader.head()
        found.at_position = head.position
        ask = self.admission.board.waiting(run_id)
        if state.status == pb.RUN_STATUS_QUEUED and ask is not None:
            self._waits(found, ask)
        found.items.extend(self._held(state))
        if state.is_pipeline and not state.is_over:
            summary = self.pipelines.summary(run_id)
            if summary:
                found.items.add(kind="pipeline", message=summary)
            if state.paused:
                found.items.add(kind="paused", message="it is paused: it starts nothing new")
        if state.created.pipeline:
            created = state.created
            found.items.extend(
                self.pipelines.explain_child(created.pipeline, created.step, created.iteration)
            )
        last = 0
        async for record in self.reader.stream("run", run_id):
            last = record.position
            event = await self.codec.decode_payload(record.type, record.payload, record.position)
            item = _of_event(event)
            if item is not None:
                item.time.FromDatetime(record.recorded_at)
                found.items.append(item)
        if self.past and not state.is_over and not (self.executes and last > self.past):
            message = _OF_THE_PAST if last <= self.past else _STANDS_STILL
            found.items.insert(0, pb.ExplanationItem(kind="fork", message=message))
            found.summary = message
            return found
        found.summary = _summary(state, found)
        return found

    def _waits(self, found: pb.RunExplanation, ask: Ask) -> None:
        board = self.admission.board
        ahead = board.ahead(ask)
        found.position = len(ahead) + 1
        found.ahead.extend(other.name for other in ahead[:MOST_AHEAD])
        for blocker in board.blockers(ask):
            found.items.add(kind=blocker.kind, message=blocker.message, resource=blocker.resource)
        pace = self.admission.paces.get(ask.key)
        parallel = board.parallel(ask.key)
        if pace is not None and pace.runs and parallel > 0:
            rounds = (len(ahead) + 1) / parallel
            now = self.admission.commands.clock.now()
            estimate = Timestamp()
            estimate.FromDatetime(now + timedelta(seconds=rounds * pace.mean_s))
            found.estimated_start_time.CopyFrom(estimate)

    @staticmethod
    def _held(state: RunState) -> Iterator[pb.ExplanationItem]:
        if state.status != pb.RUN_STATUS_CREATED:
            return
        if "approval" in state.holds:
            policy = state.created.approval
            who = ", ".join(policy.approvers) or "anyone who may approve runs"
            count = f"{len(state.approvers)} of {max(1, policy.quorum)}"
            eyes = ", not its creator" if policy.four_eyes else ""
            why = f": {policy.reason}" if policy.reason else ""
            message = f"waits for approval by {who}{eyes} ({count} given){why}"
            yield pb.ExplanationItem(kind="approval", message=message)
        if "upload" in state.holds:
            yield pb.ExplanationItem(kind="upload", message="waits for its files to be uploaded")


def _of_event(event: Message) -> pb.ExplanationItem | None:
    """Returns what an event has to say for itself; None for those that only move the run."""
    match event:
        case pb.RunReused(explanation=text, source=source):
            return pb.ExplanationItem(kind="cache", message=text, resource=source)
        case pb.RunSkipped(reason=text):
            return pb.ExplanationItem(kind="skipped", message=text)
        case pb.RunUpstreamFailed(upstream=upstream):
            return pb.ExplanationItem(
                kind="dependency", message=f"{upstream} failed", resource=upstream
            )
        case pb.RunPreempted(reason=text, beneficiary=beneficiary):
            return pb.ExplanationItem(kind="preempted", message=text, resource=beneficiary)
        case pb.RunStopRequested(requester=requester, reason=text):
            kind = "pruned" if text.startswith("pruned") else "stopped"
            return pb.ExplanationItem(kind=kind, message=text, resource=requester)
        case pb.RunRetrying(reason=text, infrastructure=infrastructure):
            fault = "the platform" if infrastructure else "the user's code"
            return pb.ExplanationItem(kind="retry", message=f"{text} (fault of {fault})")
        case pb.RunAttemptLost(agent=agent, reason=text):
            return pb.ExplanationItem(kind="agent_lost", message=text, resource=agent)
        case pb.RunApprovalGiven(approver=approver, reason=text):
            because = f": {text}" if text else ""
            return pb.ExplanationItem(
                kind="approval", message=f"approved{because}", resource=approver
            )
        case pb.RunApprovalDenied(approver=approver, reason=text):
            because = f": {text}" if text else ""
            return pb.ExplanationItem(
                kind="approval", message=f"denied{because}", resource=approver
            )
        case pb.RunResumed(requester=requester, reason=text):
            return pb.ExplanationItem(kind="resumed", message=text or "resumed", resource=requester)
        case pb.RunFailed(message=text):
            return pb.ExplanationItem(kind="failed", message=text)
        case _:
            return None


def _summary(state: RunState, found: pb.RunExplanation) -> str:
    status = word(state.status)
    if state.status == pb.RUN_STATUS_QUEUED and found.position:
        if found.items:
            return f"queued, place {found.position}: {found.items[0].message}"
        return f"queued, place {found.position}: it goes next"
    if state.is_over or state.status == pb.RUN_STATUS_RETRYING:
        last = next((item for item in reversed(found.items) if item.kind != "agent_lost"), None)
        return f"{status}: {last.message}" if last is not None else status
    if found.items and state.status == pb.RUN_STATUS_CREATED:
        return f"{status}: {found.items[0].message}"
    return status
