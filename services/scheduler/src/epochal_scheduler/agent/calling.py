"""The platform over the bus: every call repeated until it is answered for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from zlib import crc32

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.bus import TELEMETRY_SHARDS, Bus
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError, NotFound
from epochal_kernel.ids import Ids
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.method import UnaryMethod
from epochal_proto.v1.services import AgentService, RunService, TrackingService
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_scheduler.domain.attempts import Exited

CALL_S = 2.0
# Longer than the scheduler holds its answer back.
HEARTBEAT_S = 8.0
SEAL_CALL_S = 30.0
FIRST_PAUSE_S = 0.05
MOST_PAUSE_S = 2.0
UNPUBLISHED_WARNING = 5
UNKNOWN_RUN_TIMES = 10

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Platform:
    """The scheduler and the tracker as one agent reaches them; implements both ports."""

    agent: str
    bus: Bus
    client: RpcClient
    clock: Clock
    ids: Ids

    async def claim(self, attempt: pb.AttemptRef) -> bool:
        """See `Scheduler.claim`."""
        request = pb.ClaimAttemptRequest(agent=self.agent, attempt=attempt)
        return await self._accepted(AgentService.CLAIM_ATTEMPT, request, attempt.run)

    async def report_started(self, attempt: pb.AttemptRef, at: datetime) -> bool:
        """See `Scheduler.report_started`."""
        start = Timestamp()
        start.FromDatetime(at)
        request = pb.ReportStartedRequest(agent=self.agent, attempt=attempt, start_time=start)
        return await self._accepted(AgentService.REPORT_STARTED, request, attempt.run)

    async def report_exited(self, attempt: pb.AttemptRef, exited: Exited) -> bool:
        """See `Scheduler.report_exited`."""
        request = pb.ReportExitedRequest(
            agent=self.agent,
            attempt=attempt,
            exit_code=exited.exit_code,
            timed_out=exited.timed_out,
            stopped=exited.stopped,
            message=exited.message,
            outputs=exited.outputs,
            infrastructure=exited.infrastructure,
        )
        return await self._accepted(AgentService.REPORT_EXITED, request, attempt.run)

    async def report_service(self, attempt: pb.AttemptRef, host: str, ports: Sequence[int]) -> bool:
        """See `Scheduler.report_service`."""
        request = pb.ReportServiceRequest(agent=self.agent, attempt=attempt, host=host, ports=ports)
        return await self._accepted(AgentService.REPORT_SERVICE, request, attempt.run)

    async def request_stop(self, run: str, reason: str) -> bool:
        """See `Scheduler.request_stop`."""
        request = pb.StopRunRequest(name=run, reason=reason)
        return await self._accepted(RunService.STOP_RUN, request, run)

    async def heartbeat(self, request: pb.HeartbeatRequest) -> pb.HeartbeatResponse:
        """Tells the scheduler what is held; once, with a deadline.

        Raises:
            EpochalError: no answer this time.
        """
        return await self.client.call(
            AgentService.HEARTBEAT, request, self._context("", HEARTBEAT_S)
        )

    async def open(self, run: str, producer: str) -> pb.ProducerCursor:
        """See `LogPort.open`."""
        request = pb.OpenProducerRequest(run=run, producer=producer)
        pause = _Pause(self.clock)
        while True:
            try:
                return await self._answered(TrackingService.OPEN_PRODUCER, request, run, CALL_S)
            except NotFound:
                # The tracker's view may not have the run yet: it is as young as its claim.
                if pause.times >= UNKNOWN_RUN_TIMES:
                    raise
            await pause()

    async def seal(self, run: str, producer: str, last_batch: int) -> None:
        """See `LogPort.seal`."""
        request = pb.SealProducerRequest(run=run, producer=producer, last_batch=last_batch)
        await self._answered(TrackingService.SEAL_PRODUCER, request, run, SEAL_CALL_S)

    async def record_capture(self, capture: pb.Capture) -> None:
        """See `CapturePort.record_capture`."""
        request = pb.RecordCaptureRequest(run=capture.run, capture=capture)
        await self._answered(TrackingService.RECORD_CAPTURE, request, capture.run, CALL_S)

    async def publish(self, batch: pb.TelemetryBatch) -> None:
        """See `LogPort.publish`."""
        shard = crc32(batch.run.rpartition("/")[2].encode()) % TELEMETRY_SHARDS
        kind = "logs" if batch.kind == pb.TELEMETRY_KIND_LOGS else "points"
        subject, body = f"tel.v1.{kind}.{shard}", batch.SerializeToString()
        message_id = f"{batch.producer}/{batch.epoch}/{batch.batch}"
        pause = _Pause(self.clock)
        while True:
            try:
                await self.bus.publish_durably(subject, body, message_id=message_id)
                return
            except EpochalError as error:
                if pause.times == UNPUBLISHED_WARNING:
                    _log.warning("agent.logs_wait", run=batch.run, error=error.message)
            await pause()

    async def _accepted(
        self, method: UnaryMethod[RequestT, ResponseT], request: Message, run: str
    ) -> bool:
        try:
            await self._answered(method, request, run, CALL_S)
        except EpochalError as error:
            _log.info("agent.refused", method=method.name, run=run, error=error.message)
            return False
        return True

    async def _answered(
        self, method: UnaryMethod[RequestT, ResponseT], request: Message, run: str, timeout_s: float
    ) -> ResponseT:
        """Calls until there is an answer that another call would not change."""
        pause = _Pause(self.clock)
        while True:
            try:
                return await self.client.call(method, request, self._context(run, timeout_s))
            except EpochalError as error:
                if not error.retryable:
                    raise
                _log.debug("agent.repeats", method=method.name, run=run, error=error.message)
            await pause()

    def _context(self, run: str, timeout_s: float) -> CallContext:
        org = run.split("/", 2)[1] if run else ""
        context = CallContext(self.agent, org, self.ids.uuid7(), self.ids)
        context.timeout_s = timeout_s
        return context


class _Pause:
    """Waits longer each time, up to two seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.times = 0

    async def __call__(self) -> None:
        await self._clock.sleep(min(FIRST_PAUSE_S * 2.0 ** min(self.times, 16), MOST_PAUSE_S))
        self.times += 1
