"""Decisions about places of models: metrics of runs, validations, signatures, who made what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.v1.services import TrackingService

from epochal_lineage.domain.asking import Circumstances
from epochal_lineage.domain.gates.policy import Place, Policy
from epochal_lineage.domain.model import ModelAggregate, ModelState, version_number
from epochal_lineage.domain.shelves import owner_of, run_of
from epochal_lineage.domain.signing import SignatureRefused, fingerprint_of_pem, read_bundle, verify
from epochal_lineage.services.deciding import Decisions
from epochal_lineage.services.policies import Policies
from epochal_lineage.services.registry_messages import stream_of
from epochal_lineage.store.history import HistoryStore
from epochal_lineage.store.promotions import PromotionStore

METRICS: Final = 1_000


class ModelDecisions(Decisions[ModelState, int]):
    """Gathers facts about versions of models."""

    def __init__(
        self,
        ledger: Ledger,
        policies: Policies,
        store: PromotionStore,
        history: HistoryStore,
        client: RpcClient,
        clock: Clock,
        progress: Progress,
    ) -> None:
        super().__init__(ledger, ModelAggregate(), progress)
        self._known = policies
        self._store = store
        self._history = history
        self._client = client
        self._clock = clock

    def stream(self, resource: str) -> UUID:
        """Return the stream of a model."""
        return stream_of(resource)

    def places(self, state: ModelState, found: Circumstances[int] | None) -> ModelState:
        """Return the state: a model's stream says all there is."""
        return state

    def version(self, name: str) -> int:
        """Read the number of a version."""
        return version_number(name)

    async def policy(self, project: str) -> Policy:
        """Return the policy that is in force in a project."""
        return await self._known.of(project)

    async def gather(
        self, resource: str, version: int | None, stage: str, alias: str, context: CallContext
    ) -> Circumstances[int]:
        """Find out what gates of a place look at, and no more than they do."""
        policy = await self.policy(owner_of(resource))
        place = policy.place(stage, alias)
        state = await self.state(resource)
        holder = state.holder(stage, alias)
        validations: Sequence[pb.GateValidation] = ()
        signed_by: Sequence[str] = ()
        metrics = {one: dict(_recorded(state, one)) for one in {version, holder} if one is not None}
        if place is not None:
            if place.validations or place.signers:
                # Of other streams: what happened before this was asked is in view.
                await self._progress.wait_for(await self._history.head())
            await self._later_metrics(place, state, metrics, context)
            if place.validations and version is not None:
                validations = await self._validations(f"{resource}/versions/{version}")
            if place.signers and version is not None:
                signed_by = await self._signers(policy, place, resource, version)
        return Circumstances(
            policy=policy,
            now=self._clock.now(),
            metrics=metrics,
            validations=validations,
            signed_by=signed_by,
            authors=()
            if place is None or version is None
            else await self._authors(resource, state, version, context.actor),
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

    async def _authors(
        self, resource: str, state: ModelState, version: int, actor: str
    ) -> Sequence[str]:
        """Return who made a version: who registered it, and who started the runs it came by.

        Whoever started a run that registers it, or that asks for a place, is behind that too.
        """
        known = state.versions.get(version)
        if known is None:
            return ()
        owner = owner_of(resource)
        runs = {known.run, run_of(known.creator, owner), run_of(actor, owner)} - {""}
        creators = await self._store.creators(runs) if runs else {}
        return sorted({known.creator, *creators.values()} - {""})


def _recorded(state: ModelState, version: int) -> dict[str, float]:
    known = state.versions.get(version)
    return dict(known.metrics) if known else {}
