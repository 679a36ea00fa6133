"""From a queued run to a work item that agents can pull."""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.bus import WORK, Bus, StreamSpec, adapting
from epochal_kernel.errors import EpochalError, Unavailable
from epochal_kernel.failpoints import failpoint

from epochal_scheduler.domain import attempts
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.queues import work_subject
from epochal_scheduler.run_tokens import mint_run_token
from epochal_scheduler.working.commands import RunCommands, Target

MAX_REMEMBERED = 10_000
DAY_S = 86_400
CHECK_S = 5.0

_log = structlog.get_logger(__name__)


class Dispatcher:
    """Releases runs and publishes their work items."""

    def __init__(
        self, commands: RunCommands, bus: Bus, secret: str, token_days: int, max_bytes: int
    ) -> None:
        self._commands = commands
        self._bus = bus
        self._secret = secret
        self._token_days = token_days
        self._stream = StreamSpec(
            WORK, ("work.v1.>",), max_bytes, work_queue=True, refuse_when_full=True
        )
        self._published: OrderedDict[UUID, int] = OrderedDict()

    async def run(self) -> None:
        """Keeps the stream: makes it if it is not there, now and whenever it is lost."""
        while True:
            await self._bus.wait_connected(timeout_s=None)
            try:
                await self._bus.ensure_stream(self._stream)
            except EpochalError as error:
                _log.debug("scheduler.no_work_stream", error=error.message)
                await self._commands.clock.sleep(CHECK_S / 10)
                continue
            await self._commands.clock.sleep(CHECK_S)

    async def release(self, target: Target) -> None:
        """Releases a run to the agents of its queue, and publishes its work item.

        Raises:
            EpochalError: not done, or not published; the task about it is still there.
        """
        self._published.pop(target.run_id, None)
        outcome = await self._commands.execute(target, attempts.release)
        if outcome.state.status == pb.RUN_STATUS_SCHEDULED:
            await self.publish_first(target, outcome.state)

    async def publish_first(self, target: Target, state: RunState) -> None:
        """Publishes the work item of a run that was released just now.

        Raises:
            Unavailable, DeadlineExceeded: as `publish`; the task about it is still there.
        """
        failpoint("dispatch.before_publish")
        self._published[target.run_id] = await self.publish(target, state)
        if len(self._published) > MAX_REMEMBERED:
            self._published.popitem(last=False)
        failpoint("dispatch.after_publish")

    def take_published(self, run_id: UUID) -> int | None:
        """Returns where the work item of a run released here lately is, once."""
        return self._published.pop(run_id, None)

    async def publish(self, target: Target, state: RunState, lost: int | None = None) -> int:
        """Publishes the work item of a scheduled run; returns its sequence in the stream.

        Twice is once: the broker knows the message id, and the claim is fenced.

        Args:
            target: the run.
            state: of the run.
            lost: sequence at which it was, if the broker has lost it.

        Raises:
            Unavailable, DeadlineExceeded: the broker may or may not have it.
        """
        expires_s = int(self._commands.clock.now().timestamp()) + self._token_days * DAY_S
        item = pb.WorkItem(
            run=state.name,
            attempt=state.attempt,
            fence=state.fence,
            compiled_json=state.created.compiled_json,
            display_name=state.created.display_name,
            timeout_s=state.timeout_s,
            run_token=mint_run_token(self._secret, state.name, state.attempt, expires_s),
            traceparent=target.traceparent,
            origin=state.created.origin,
            origin_kind=state.created.origin_kind,
            ttl_s=state.created.ttl_s,
            upload=state.created.upload,
        )
        return await self._bus.publish_durably(
            work_subject(state.queue),
            item.SerializeToString(),
            message_id=f"{target.run_id}/{state.attempt}/{lost or 0}",
        )

    async def is_waiting(self, sequence: int) -> bool:
        """Returns whether a work item is still in the stream.

        Raises:
            Unavailable: the broker does not answer.
        """
        try:
            with adapting():
                await self._bus.jetstream.get_msg(WORK, sequence)
        except Unavailable as error:
            if error.reason == "BUS_REFUSED":  # no such message, or no such stream
                return False
            raise
        return True
