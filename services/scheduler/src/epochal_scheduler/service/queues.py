"""QueueService: limits of queues, agents, policies of projects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.clock import Clock
from epochal_kernel.log.ledger import Ledger, Outcome
from epochal_kernel.rpc.context import CallContext

from epochal_scheduler.domain.queueing.limits import QueueKey
from epochal_scheduler.domain.settings import (
    POLICY,
    QUEUE,
    create_queue,
    delete_queue,
    set_policy,
    update_queue,
)
from epochal_scheduler.projections.queues import queue_key, queue_name
from epochal_scheduler.store import AgentView, SchedulerStore
from epochal_scheduler.texts import assert_storable
from epochal_scheduler.working.admitting import Admission
from epochal_scheduler.working.feed import Fact, Feed

AGENT_SILENT_S = 30.0
_NAMES = UUID("6f0d5c2e-2a51-4d3c-9d0a-5a4f1f4e9b10")


def stream_of(name: str) -> UUID:
    """Returns the stream of what is set under a resource name."""
    return uuid5(_NAMES, name)


@dataclass(frozen=True, slots=True)
class QueueServer:
    """Handlers of QueueService."""

    ledger: Ledger
    store: SchedulerStore
    admission: Admission
    feed: Feed
    clock: Clock

    async def create_queue(self, request: pb.CreateQueueRequest, context: CallContext) -> pb.Queue:
        """Sets the limits of a queue for the first time."""
        assert_storable(request)
        name = f"{request.parent}/queues/{request.queue_id}"
        queue = pb.Queue()
        queue.MergeFrom(request.queue)
        queue.name = name
        outcome = await self.ledger.execute(
            QUEUE,
            stream_of(name),
            name,
            lambda state: create_queue(state, queue, context.actor),
            context.command(request, request.request_id),
        )
        self._told(outcome, context)
        return self._view(queue_key(name), outcome.state.queue or queue)

    async def update_queue(self, request: pb.UpdateQueueRequest, context: CallContext) -> pb.Queue:
        """Changes limits."""
        assert_storable(request)
        name = request.queue.name
        outcome = await self.ledger.execute(
            QUEUE,
            stream_of(name),
            name,
            lambda state: update_queue(state, request.queue, request.update_mask, context.actor),
            context.command(request, request.request_id),
        )
        self._told(outcome, context)
        return self._view(queue_key(name), outcome.state.queue or request.queue)

    async def delete_queue(
        self, request: pb.DeleteQueueRequest, context: CallContext
    ) -> pb.DeleteQueueResponse:
        """Removes limits."""
        outcome = await self.ledger.execute(
            QUEUE,
            stream_of(request.name),
            request.name,
            lambda state: delete_queue(state, request.name),
            context.command(request, request.request_id),
        )
        self._told(outcome, context)
        return pb.DeleteQueueResponse()

    async def get_queue(self, request: pb.GetQueueRequest, context: CallContext) -> pb.Queue:
        """Reads a queue as it is now; one nobody has configured has no limits."""
        state, _ = await self.ledger.load(QUEUE, stream_of(request.name))
        return self._view(queue_key(request.name), state.queue or pb.Queue(name=request.name))

    async def list_queues(
        self, request: pb.ListQueuesRequest, context: CallContext
    ) -> pb.ListQueuesResponse:
        """Lists queues that have limits, runs or agents, by name."""
        org = request.parent.removeprefix("orgs/")
        after = paging.unpack(request.page_token)
        size = request.page_size or paging.DEFAULT_PAGE
        found = {view.key: view.queue for view in await self.store.queues(org)}
        for agent in await self.store.agents(AGENT_SILENT_S):
            for queue in agent.queues:
                found.setdefault(QueueKey(org, queue), pb.Queue())
        for key in self.admission.board.keys(org):
            found.setdefault(key, pb.Queue())
        names = sorted(key.queue for key in found if key.queue > after)
        page = [QueueKey(org, name) for name in names[:size]]
        more = len(names) > size
        return pb.ListQueuesResponse(
            queues=[self._view(key, found[key]) for key in page],
            next_page_token=paging.pack(page[-1].queue) if more else "",
        )

    async def list_agents(
        self, request: pb.ListAgentsRequest, context: CallContext
    ) -> pb.ListAgentsResponse:
        """Lists agents that live."""
        agents = await self.store.agents(AGENT_SILENT_S)
        return pb.ListAgentsResponse(agents=[_agent(agent) for agent in agents])

    async def get_project_policy(
        self, request: pb.GetProjectPolicyRequest, context: CallContext
    ) -> pb.ProjectPolicy:
        """Reads what holds for a project."""
        state, _ = await self.ledger.load(POLICY, stream_of(f"{request.name}/policy"))
        return state.policy or pb.ProjectPolicy(name=request.name)

    async def set_project_policy(
        self, request: pb.SetProjectPolicyRequest, context: CallContext
    ) -> pb.ProjectPolicy:
        """Sets what holds for a project."""
        name = request.policy.name
        outcome = await self.ledger.execute(
            POLICY,
            stream_of(f"{name}/policy"),
            name,
            lambda state: set_policy(state, request.policy),
            context.command(request, request.request_id),
        )
        self._told(outcome, context)
        return request.policy

    def _told(self, outcome: Outcome[Any], context: CallContext) -> None:
        """Lets the board and the policies know before the caller does, not when the log tells."""
        context.wrote(outcome.position)
        for event in outcome.events:
            org, now = context.org_id, self.clock.now()
            self.feed.tell(
                Fact(_NAMES, org, "", QUEUE.category, event, outcome.position, now, _NAMES)
            )

    def _view(self, key: QueueKey, limits: pb.Queue) -> pb.Queue:
        queue = pb.Queue()
        queue.MergeFrom(limits)
        queue.name = queue_name(key)
        board = self.admission.board
        queue.waiting, queue.running, used = board.usage(key)
        queue.ClearField("agents")
        queue.agents.extend(board.agents(key.queue))
        amounts = dict(used.of)
        amounts.pop("cost", None)
        queue.used.CopyFrom(
            pb.Resources(
                cpu_millis=round(amounts.pop("cpu", 0.0) * 1000),
                memory_bytes=round(amounts.pop("memory", 0.0)),
                gpus=round(amounts.pop("gpu", 0.0)),
                custom=amounts,
            )
        )
        return queue


def _agent(view: AgentView) -> pb.Agent:
    agent = pb.Agent(
        name=view.name,
        queues=view.queues,
        slots=view.slots,
        free_slots=view.free_slots,
        draining=view.draining,
        labels=dict(view.labels),
        capacity=view.capacity,
    )
    agent.seen_time.FromDatetime(view.seen_at)
    return agent
