"""Decisions about places: gathers what gates look at, then decides on the model's stream.

Facts of other streams (metrics of runs, validations, signatures, the policy) are read first; what
is of the model itself, its holder above all, is looked at inside the decision, which the log
appends only if nobody else has moved meanwhile. A holder whose metrics were not gathered sends the
decision back for them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Final, NoReturn
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import Aborted, FailedPrecondition, NotFound
from epochal_kernel.log.ledger import Ledger, Outcome
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.v1.services import TrackingService
from google.protobuf.message import Message

from epochal_lineage.domain import promoting
from epochal_lineage.domain.asking import Asked, Circumstances
from epochal_lineage.domain.gates.evaluating import shut_gates
from epochal_lineage.domain.gates.policy import Place, Policy
from epochal_lineage.domain.gates.reading import read_policy
from epochal_lineage.domain.model import ModelAggregate, ModelState
from epochal_lineage.domain.registry_policy import PolicyAggregate
from epochal_lineage.domain.signing import SignatureRefused, fingerprint_of_pem, read_bundle, verify
from epochal_lineage.services.registry_messages import stream_of
from epochal_lineage.store.promotions import PromotionStore

ATTEMPTS: Final = 16
METRICS: Final = 1_000

#: Policies read lately: reading one costs more than a decision.
_read = functools.lru_cache(maxsize=256)(read_policy)


def policy_stream(project: str) -> UUID:
    """Return the stream of a project's policy."""
    return stream_of(f"{project}/registryPolicy")


class Decisions:
    """Gathers facts and decides about places."""

    def __init__(
        self,
        ledger: Ledger,
        store: PromotionStore,
        client: RpcClient,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._client = client
        self._clock = clock
        self._progress = progress
        self._models = ModelAggregate()
        self._policies = PolicyAggregate()

    async def policy(self, project: str) -> Policy:
        """Return the policy that is in force in a project."""
        state, _ = await self._ledger.load(self._policies, policy_stream(project))
        return _read(state.text, state.version)

    async def place(
        self, model: str, asked: Asked, request: Message, request_id: str, context: CallContext
    ) -> Outcome[ModelState]:
        """Ask for a place; the outcome's state says whether the version has it."""
        return await self.decide(
            model,
            asked.version,
            asked.stage,
            asked.alias,
            lambda state, found: promoting.promote(state, model, asked, found),
            context,
            request,
            request_id,
        )

    async def place_or_refuse(
        self, model: str, asked: Asked, request: Message, request_id: str, context: CallContext
    ) -> Outcome[ModelState]:
        """Ask for a place, and raise unless the version has it then.

        Raises:
            FailedPrecondition: a gate is shut, or people must approve first; both are recorded.
        """
        outcome = await self.place(model, asked, request, request_id, context)
        if not promoting.has_place(outcome.state, asked):
            # Whoever is told of the wish can read it.
            await self._progress.wait_for(outcome.position)
            refuse(outcome.events, model)
        return outcome

    async def decide(
        self,
        model: str,
        version: int,
        stage: str,
        alias: str,
        decision: Callable[[ModelState, Circumstances], Sequence[Message]],
        context: CallContext,
        request: Message,
        request_id: str,
    ) -> Outcome[ModelState]:
        """Gather facts and decide, again when the holder changed meanwhile.

        Raises:
            EpochalError: what the decision raised.
        """
        command = context.command(request, request_id)
        attempt = 0
        while True:
            found = await self.gather(model, version, stage, alias, context)
            decided = functools.partial(_decided, decision, found)
            try:
                return await self._ledger.execute(
                    self._models, stream_of(model), model, decided, command
                )
            except Aborted:
                attempt += 1
                if attempt >= ATTEMPTS:
                    raise

    async def plainly(
        self,
        model: str,
        decision: Callable[[ModelState], Sequence[Message]],
        request: Message,
        request_id: str,
        context: CallContext,
    ) -> Outcome[ModelState]:
        """Decide something that looks at nothing but the model's own stream.

        Raises:
            EpochalError: what the decision raised.
        """
        return await self._ledger.execute(
            self._models, stream_of(model), model, decision, context.command(request, request_id)
        )

    async def state(self, model: str) -> ModelState:
        """Return the state of a model's stream."""
        state, _ = await self._ledger.load(self._models, stream_of(model))
        return state

    async def gather(
        self, model: str, version: int, stage: str, alias: str, context: CallContext
    ) -> Circumstances:
        """Find out what gates of a place look at, and no more than they do."""
        project = model.partition("/models/")[0]
        policy = await self.policy(project)
        place = policy.place(stage, alias)
        state = await self.state(model)
        holder = promoting.holder_of(state, stage, alias)
        name = f"{model}/versions/{version}"
        validations: Sequence[pb.GateValidation] = ()
        signed_by: Sequence[str] = ()
        metrics = {one: dict(_recorded(state, one)) for one in {version, holder} if one}
        if place is not None:
            await self._later_metrics(place, state, metrics, context)
            if place.validations:
                validations = await self._validations(name)
            if place.signers:
                signed_by = await self._signers(policy, place, model, version)
        return Circumstances(
            policy=policy,
            now=self._clock.now(),
            metrics=metrics,
            validations=validations,
            signed_by=signed_by,
            authors=await self._authors(state, version) if place is not None else (),
        )

    async def run_metrics(self, run: str, context: CallContext) -> dict[str, float]:
        """Return the newest value of each metric of a run; the first thousand by name."""
        request = pb.ListMetricsRequest(run=run, page_size=METRICS)
        try:
            found = await self._client.call(TrackingService.LIST_METRICS, request, context)
        except NotFound:
            return {}
        return {one.metric: one.last for one in found.metrics}

    async def _later_metrics(
        self,
        place: Place,
        state: ModelState,
        metrics: dict[int, dict[str, float]],
        context: CallContext,
    ) -> None:
        """Add what the runs measured after registration, if a threshold names it."""
        named = {name for threshold in place.metrics for name in threshold.names}
        for number, known in metrics.items():
            version = state.versions.get(number)
            missing = named - known.keys()
            if missing and version is not None and version.run:
                later = await self.run_metrics(version.run, context)
                known.update({name: later[name] for name in missing if name in later})

    async def _validations(self, version: str) -> list[pb.GateValidation]:
        return [
            pb.GateValidation(
                run=one.run,
                component=one.component,
                display_name=one.display_name,
                creator=one.creator,
            )
            for one in await self._store.validations(version)
        ]

    async def _signers(
        self, policy: Policy, place: Place, model: str, version: int
    ) -> Sequence[str]:
        """Return the keys that signed the very files of a version."""
        digests = await self._store.digests(model, version)
        found: list[str] = []
        for text in await self._store.bundles(model, version):
            try:
                signed = read_bundle(text)
            except SignatureRefused:
                continue
            if dict(signed.files) != digests:
                continue
            keys = (policy.keys[name] for name in place.signers)
            found += [fingerprint_of_pem(pem) for pem in keys if verify(signed, pem)]
        return sorted(set(found))

    async def _authors(self, state: ModelState, version: int) -> Sequence[str]:
        """Return who made a version: who registered it, and who started the runs it came by."""
        known = state.versions.get(version)
        if known is None:
            return ()
        runs = {known.run} - {""}
        if "runs/" in known.creator:
            runs.add(known.creator)
        creators = await self._store.creators(runs) if runs else {}
        return sorted({known.creator, *creators.values()} - {""})


def refuse(events: Sequence[Message], model: str) -> NoReturn:
    """Raise for a promotion that did not complete, with what its gates said.

    Raises:
        FailedPrecondition: always.
    """
    evaluated = next(
        (one for one in reversed(events) if isinstance(one, pb.PromotionEvaluated)), None
    )
    if evaluated is None:
        raise FailedPrecondition(
            "the registry policy did not let this through when it was asked first: "
            f"`epochal models promotions {model}` says why",
            reason="PROMOTION_REFUSED",
            resource=model,
        )
    waits = evaluated.outcome == pb.PROMOTION_STATE_OPEN
    name = evaluated.promotion
    raise FailedPrecondition(
        f"{name} waits for approval: {shut_gates(evaluated.results)}. Somebody else approves it "
        f"with `epochal models approve {name}`"
        if waits
        else f"the registry policy refuses it: {shut_gates(evaluated.results)}",
        reason="PROMOTION_OPEN" if waits else "PROMOTION_REFUSED",
        resource=name,
    )


def _decided(
    decision: Callable[[ModelState, Circumstances], Sequence[Message]],
    found: Circumstances,
    state: ModelState,
) -> Sequence[Message]:
    return decision(state, found)


def _recorded(state: ModelState, version: int) -> dict[str, float]:
    known = state.versions.get(version)
    return dict(known.metrics) if known else {}
