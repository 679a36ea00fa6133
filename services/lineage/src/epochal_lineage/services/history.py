"""HistoryService: one change, all that stood at a moment, what differs, what never happened."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, NotFound, Violation
from epochal_kernel.log.events import EventCodec, EventRecord
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Pool
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain.rules import RULE_TYPES, Rules
from epochal_lineage.domain.standing import TYPES, AnyStream, Change, Standing
from epochal_lineage.domain.standing_folds import Key
from epochal_lineage.services.audit import shown
from epochal_lineage.services.proofs import checkpoint_message
from epochal_lineage.store.audit import AuditStore, EventQuery
from epochal_lineage.store.history import HistoryStore
from epochal_lineage.store.sealing import SealStore

RELATED: Final = 100
VIOLATIONS: Final = 1_000


class History:
    """Handlers of HistoryService."""

    def __init__(
        self,
        pool: Pool,
        store: HistoryStore,
        events: AuditStore,
        seals: SealStore,
        codec: EventCodec,
    ) -> None:
        self._reader = LogReader(pool)
        self._store = store
        self._events = events
        self._seals = seals
        self._codec = codec

    async def get_event(
        self, request: pb.GetEventRequest, context: CallContext
    ) -> pb.GetEventResponse:
        """Return an event with what it changed."""
        org, _, number = request.name.partition("/events/")
        org_id = org.removeprefix("orgs/")
        record = await self._store.event(org_id, int(number))
        if record is None:
            raise NotFound(f"there is no {request.name}", resource=request.name)
        related = await self._events.events(
            EventQuery(
                org_id=org_id,
                actors=(),
                resource="",
                types=(),
                start=None,
                end=None,
                correlation_id=record.correlation_id,
                after=None,
                descending=False,
                limit=RELATED,
            )
        )
        return pb.GetEventResponse(
            event=await shown(self._codec, record),
            changes=[_change(one) for one in await self._changes(record)],
            related=[
                await shown(self._codec, one) for one in related if one.position != record.position
            ],
        )

    async def get_state(
        self, request: pb.GetStateRequest, context: CallContext
    ) -> pb.GetStateResponse:
        """Return what stood at a moment."""
        position = await self._position(request.at, "at")
        kinds = _kinds(request.kinds)
        standing = await self._standing(request.parent, position)
        return pb.GetStateResponse(
            position=position,
            entries=[
                pb.StateEntry(
                    kind=key.kind,  # type: ignore[arg-type]  # the stubs want the enum's own type
                    name=key.name,
                    fields=dict(entry.fields),
                    position=entry.position,
                    actor=entry.actor,
                )
                for key, entry in sorted(standing.entries.items(), key=lambda one: one[0])
                if not kinds or key.kind in kinds
            ],
        )

    async def compare_states(
        self, request: pb.CompareStatesRequest, context: CallContext
    ) -> pb.CompareStatesResponse:
        """Return what differs between two moments."""
        before = await self._position(request.before, "before")
        after = await self._position(request.after, "after")
        if before > after:
            raise InvalidArgument(
                "the first moment comes after the second",
                violations=[Violation("before", "order", "name the earlier moment first")],
            )
        kinds = _kinds(request.kinds)
        earlier = await self._standing(request.parent, before)
        later = await self._standing(request.parent, after)
        return pb.CompareStatesResponse(
            changes=[
                _change(one)
                for one in earlier.changes_to(later)
                if not kinds or one.key.kind in kinds
            ],
            before_position=before,
            after_position=after,
        )

    async def check_rule(
        self, request: pb.CheckRuleRequest, context: CallContext
    ) -> pb.CheckRuleResponse:
        """Hold a window against a rule; who made what is known from all that came before it."""
        after = await self._position(request.after, "after") if request.HasField("after") else 0
        through = await self._position(request.through, "through")
        rules = Rules(request.rule, request.subject)
        found = pb.CheckRuleResponse(after_position=after, through_position=through)
        types = [f"epochal.v1.{name}" for name in RULE_TYPES[request.rule]]
        org_id = request.parent.removeprefix("orgs/")
        async for record in self._store.events(org_id, types, 0, through):
            event = await self._codec.decode(record)
            rules.learn(event.payload, event.actor)
            inside = event.position > after and _below(event.resource, request.resource)
            if not inside or not rules.concerns(event.payload):
                continue
            found.examined += 1
            broken = rules.breaks(event.payload, event.actor, event.resource)
            if broken and len(found.violations) < VIOLATIONS:
                found.violations.append(await shown(self._codec, record))
        found.holds = not found.violations
        seal = await self._seals.covering(max(1, through))
        if seal is not None:
            found.checkpoint.CopyFrom(await checkpoint_message(self._seals, seal))
        return found

    async def _standing(self, parent: str, position: int) -> Standing:
        standing = Standing()
        org_id = parent.removeprefix("orgs/")
        async for record in self._store.events(org_id, TYPES, 0, position):
            event = await self._codec.decode(record)
            standing.apply(event.payload, event.position, event.actor)
        return standing

    async def _changes(self, record: EventRecord) -> list[Change]:
        """What an event changed: held against its stream as it was just before."""
        before, after, loose = Standing(), Standing(), AnyStream()
        async for one in self._reader.stream(record.category, record.stream_id):
            event = await self._codec.decode(one)
            after.apply(event.payload, event.position, event.actor)
            if event.position == record.position:
                break
            before.apply(event.payload, event.position, event.actor)
            loose.apply(event.payload)
        if record.type in TYPES:
            return before.changes_to(after)
        old = dict(loose.fields)
        last = await self._codec.decode(record)
        loose.apply(last.payload)
        key = Key(pb.STATE_KIND_UNSPECIFIED, record.resource)
        return [
            Change(key, name, old.get(name, ""), value, last.position, last.actor)
            for name, value in sorted(loose.fields.items())
            if old.get(name, "") != value
        ]

    async def _position(self, moment: pb.Moment, field: str) -> int:
        head = await self._store.head()
        if moment.position and moment.HasField("time"):
            raise InvalidArgument(
                f"{field} is a position or a time, not both",
                violations=[Violation(field, "one_of", "give position or time")],
            )
        if moment.HasField("time"):
            return await self._store.position_at(moment.time.ToDatetime(tzinfo=UTC))
        return min(moment.position or head, head)


def _kinds(kinds: Collection[int]) -> frozenset[int]:
    return frozenset(kinds) - {pb.STATE_KIND_UNSPECIFIED}


def _below(resource: str, parent: str) -> bool:
    parent = parent.rstrip("/")
    return not parent or resource == parent or resource.startswith(f"{parent}/")


def _change(one: Change) -> pb.StateChange:
    return pb.StateChange(
        kind=one.key.kind,  # type: ignore[arg-type]  # the stubs want the enum's own type
        name=one.key.name,
        field=one.field,
        before=one.before,
        after=one.after,
        position=one.position,
        actor=one.actor,
    )
