"""From a compiled operation to the command that creates its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_scheduler.domain.approving import APPROVAL, OVERLAP, UPLOAD
from epochal_scheduler.domain.creating import CreateRun, Reuse
from epochal_scheduler.domain.run import PIPELINES
from epochal_scheduler.spec.compiled import CompiledOperation
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.store import SchedulerStore
from epochal_scheduler.values import to_value
from epochal_scheduler.working.alerting import rules_of
from epochal_scheduler.working.caching import CacheLevels, cache_key, is_used, reuse
from epochal_scheduler.working.policies import Policies
from epochal_scheduler.working.resources import resources_of

KINDS = {
    "job": pb.RUN_KIND_JOB,
    "tuner": pb.RUN_KIND_JOB,
    "builder": pb.RUN_KIND_JOB,
    "service": pb.RUN_KIND_SERVICE,
    "dag": pb.RUN_KIND_DAG,
    "matrix": pb.RUN_KIND_MATRIX,
    "schedule": pb.RUN_KIND_SCHEDULE,
    "trigger": pb.RUN_KIND_TRIGGER,
    "notifier": pb.RUN_KIND_SYSTEM,
    "cleaner": pb.RUN_KIND_SYSTEM,
    "watchdog": pb.RUN_KIND_SYSTEM,
}
_CACHED = frozenset({pb.RUN_KIND_JOB})


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asks for beside the spec."""

    display_name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    queue: str = ""
    priority: int = 0
    cache: pb.CacheUse = pb.CACHE_USE_UNSPECIFIED
    awaits_upload: bool = False
    needs_approval: bool = False
    backfill: pb.BackfillRange | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a run comes from."""

    pipeline: str = ""
    step: str = ""
    iteration: int = 0
    origin: str = ""
    origin_kind: str = ""
    edges: Sequence[pb.RunEdge] = ()
    schedule_time: datetime | None = None
    reuse: Reuse | None = None
    fork_steps: Sequence[str] = ()
    operation_json: str = ""
    overlaps: bool = False
    upload: str = ""


@dataclass(frozen=True, slots=True)
class RunMaker:
    """Makes the commands; reads policies and results."""

    store: SchedulerStore
    policies: Policies
    clock: Clock
    caches: bool = True
    infrastructure_retries: int = 3

    async def make(
        self,
        compiled: CompiledOperation,
        scope: RunScope,
        wishes: Wishes = Wishes(),
        provenance: Provenance = Provenance(),
    ) -> CreateRun:
        """Returns the command that creates the run of a compiled operation.

        Raises:
            Unavailable: policies and results cannot be read.
        """
        created = self._created(compiled, scope, wishes, provenance)
        if compiled.plan.is_skipped:
            return CreateRun(created, skipped_because="its condition is false")
        project = scope.run_name.partition("/runs/")[0]
        if created.kind == pb.RUN_KIND_SYSTEM:
            return _system(created, compiled, scope.status)
        found = provenance.reuse
        if created.kind in _CACHED and found is None:
            found = await self._find(compiled, created, project, wishes)
        if created.HasField("approval") and not created.approval.four_eyes:
            created.approval.four_eyes = (await self.policies.of(project)).four_eyes
        return CreateRun(created, reuse=found)

    async def _find(
        self, compiled: CompiledOperation, created: pb.RunCreated, project: str, wishes: Wishes
    ) -> Reuse | None:
        if wishes.awaits_upload:  # the key would leave out the code that is still to come
            return None
        policy = await self.policies.of(project)
        levels = CacheLevels(
            wishes.cache,
            policy.cache,
            deployment=self.caches,
            in_pipeline=bool(created.pipeline) and not created.HasField("schedule_time"),
        )
        used = is_used(compiled, levels)
        created.cache_key = cache_key(compiled, project, created.upload)
        created.uses_cache = used
        if not used:
            return None
        row = await self.store.result(project, created.cache_key)
        return None if row is None else reuse(compiled, row, self.clock.now())

    def _created(
        self,
        compiled: CompiledOperation,
        scope: RunScope,
        wishes: Wishes,
        provenance: Provenance,
    ) -> pb.RunCreated:
        plan = compiled.plan
        kind = KINDS.get(plan.runtime, pb.RUN_KIND_CLUSTER)
        if kind == pb.RUN_KIND_SYSTEM and plan.container is not None:
            kind = pb.RUN_KIND_JOB
        if wishes.backfill is not None:
            kind = pb.RUN_KIND_BACKFILL
        termination = plan.termination
        created = pb.RunCreated(
            name=scope.run_name,
            display_name=wishes.display_name or plan.name or _made_up_name(scope),
            kind=kind,
            creator=scope.creator,
            params={name: to_value(value) for name, value in compiled.params.items()},
            tags={**dict.fromkeys(plan.tags or (), "true"), **wishes.tags},
            compiled_json=compiled.canonical_json,
            spec_digest=compiled.digest,
            max_retries=compiled.max_retries,
            timeout_s=compiled.timeout_s,
            queue=wishes.queue or plan.queue,
            priority=wishes.priority,
            pipeline=provenance.pipeline,
            step=provenance.step,
            iteration=provenance.iteration,
            origin=provenance.origin,
            origin_kind=provenance.origin_kind,
            edges=provenance.edges,
            cost=plan.cost or 0.0,
            ttl_s=(termination and termination.ttl) or 0,
            description=plan.description or "",
            has_hooks=bool(plan.hooks or (plan.plugins and plan.plugins.notifications)),
            concurrency=_concurrency(compiled) if kind in PIPELINES else 0,
            cache_use=wishes.cache,
            fork_steps=provenance.fork_steps,
            operation_json=provenance.operation_json,
            upload=scope.run_name if wishes.awaits_upload else provenance.upload,
            paused=plan.schedule is not None and plan.schedule.paused,
        )
        if kind not in PIPELINES:
            created.alert_rules.extend(rules_of(plan.alerts or ()))
        if provenance.schedule_time is not None:
            created.schedule_time.FromDatetime(provenance.schedule_time)
        if wishes.backfill is not None:
            created.backfill.CopyFrom(wishes.backfill)
        container = getattr(plan.run, "container", None)
        if kind not in PIPELINES and container is not None and container.resources:
            created.resources.CopyFrom(resources_of(container.resources))
        created.retry.CopyFrom(self._retry(compiled))
        self._hold(created, compiled, wishes, provenance)
        return created

    def _retry(self, compiled: CompiledOperation) -> pb.RetryPolicy:
        given = compiled.plan.retry
        policy = pb.RetryPolicy(
            user=compiled.max_retries, infrastructure=self.infrastructure_retries
        )
        if given is None:
            return policy
        if given.user is not None:
            policy.user = given.user
        if given.infrastructure is not None:
            policy.infrastructure = given.infrastructure
        if given.backoff is not None:
            policy.factor = given.backoff.factor or 0.0
            if given.backoff.first is not None:
                policy.first.CopyFrom(_duration(given.backoff.first))
            if given.backoff.most is not None:
                policy.most.CopyFrom(_duration(given.backoff.most))
        return policy

    @staticmethod
    def _hold(
        created: pb.RunCreated,
        compiled: CompiledOperation,
        wishes: Wishes,
        provenance: Provenance,
    ) -> None:
        plan = compiled.plan
        asked = plan.approval is not None and plan.is_approved is not True
        if asked or plan.is_approved is False or wishes.needs_approval:
            created.holds.append(APPROVAL)
            created.approval.quorum = 1
            approval = plan.approval
            if approval is not None:
                created.approval.approvers.extend(approval.approvers or ())
                created.approval.quorum = approval.quorum
                created.approval.four_eyes = approval.four_eyes
                created.approval.reason = approval.reason or ""
                if approval.expires is not None:
                    created.approval.expires.CopyFrom(_duration(approval.expires))
        if wishes.awaits_upload:
            created.holds.append(UPLOAD)
        if provenance.overlaps:
            created.holds.append(OVERLAP)


def tracked(
    scope: RunScope,
    params: Mapping[str, pb.Value],
    wishes: Wishes,
    start_time: Timestamp | None,
) -> CreateRun:
    """Returns the command that creates a run whose process is the caller's own."""
    start = Timestamp()
    start.FromDatetime(scope.created_at)
    return CreateRun(
        pb.RunCreated(
            name=scope.run_name,
            display_name=wishes.display_name or _made_up_name(scope),
            kind=pb.RUN_KIND_TRACKED,
            creator=scope.creator,
            params=params,
            tags=wishes.tags,
            start_time=start_time or start,
        )
    )


def _system(created: pb.RunCreated, compiled: CompiledOperation, status: str) -> CreateRun:
    """Returns a run that the platform itself carries out: telling someone, and nothing else."""
    runtime = compiled.plan.runtime
    if runtime != "notifier":
        why = f"a '{runtime}' without a container has nothing to run here; give it a container"
        return CreateRun(created, failed_because=why)
    connections = list(getattr(compiled.plan.run, "connections", None) or ())
    if not connections:
        why = "a 'notifier' without a container tells its connections, and it names none"
        return CreateRun(created, failed_because=why)
    message = compiled.params.get("message")
    told = pb.RunNotificationRequested(
        run=created.origin or created.name,
        status=status,
        connections=[str(name) for name in connections],
        message=str(message) if message is not None else created.description,
        key="notifier",
    )
    return CreateRun(created, tells=told)


def _concurrency(compiled: CompiledOperation) -> int:
    plan = compiled.plan
    if plan.runtime == "matrix" and plan.matrix is not None:
        return plan.matrix.concurrency or 0
    return getattr(plan.run, "concurrency", None) or 0


def _duration(span: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def _made_up_name(scope: RunScope) -> str:
    return f"run-{scope.run_id.hex[-8:]}"
