"""Decisions about stages of datasets and components: what is known of their versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain.asking import Circumstances
from epochal_lineage.domain.dataset_metrics import dataset_metrics
from epochal_lineage.domain.gates.policy import Policy
from epochal_lineage.domain.promotions import place_key
from epochal_lineage.domain.shelves import (
    Shelf,
    ShelfAggregate,
    collection_of,
    last_part,
    owner_of,
    run_of,
)
from epochal_lineage.services.deciding import Decisions
from epochal_lineage.services.policies import Policies
from epochal_lineage.services.registry_messages import stream_of
from epochal_lineage.store.datasets import DatasetStore
from epochal_lineage.store.history import HistoryStore
from epochal_lineage.store.promotions import PromotionStore
from epochal_lineage.store.stages import StageStore


@dataclass(frozen=True, slots=True)
class ShelfCircumstances(Circumstances[str]):
    """What was found out, with who had stages before their stream spoke of them."""

    before: Mapping[str, str] = field(default_factory=dict)


class ShelfDecisions(Decisions[Shelf, str]):
    """Gathers facts about versions of datasets and components."""

    def __init__(
        self,
        ledger: Ledger,
        policies: Policies,
        store: PromotionStore,
        stages: StageStore,
        datasets: DatasetStore,
        history: HistoryStore,
        clock: Clock,
        progress: Progress,
    ) -> None:
        super().__init__(ledger, ShelfAggregate(), progress)
        self._known = policies
        self._store = store
        self._stages = stages
        self._datasets = datasets
        self._history = history
        self._clock = clock

    def stream(self, resource: str) -> UUID:
        """Return the stream of a dataset's or a component's stages."""
        return stream_of(f"{resource}/stages")

    def places(self, state: Shelf, found: Circumstances[str] | None) -> Shelf:
        """Return the state with what the log said of its stages elsewhere, long ago."""
        return state.since(found.before) if isinstance(found, ShelfCircumstances) else state

    def version(self, name: str) -> str:
        """Read a version out of its name."""
        return last_part(name)

    async def policy(self, resource: str) -> Policy:
        """Return what the policy in force says of such resources."""
        policy = await self._known.of(owner_of(resource))
        return policy.about(collection_of(resource))

    async def gather(
        self, resource: str, version: str | None, stage: str, alias: str, context: CallContext
    ) -> Circumstances[str]:
        """Find out what gates of a stage look at.

        Raises:
            NotFound: there is no such version.
        """
        # All of it is of other streams: what happened before this was asked is in view.
        await self._progress.wait_for(await self._history.head())
        policy = await self.policy(resource)
        place = policy.place(stage, alias)
        before = await self._stages.held(resource)
        state = (await self.state(resource)).since(before)
        about = "" if version is None else f"{resource}/versions/{version}"
        if about and not await self._stages.there(about):
            raise NotFound(f"there is no {about}", resource=about)
        versions = {one for one in (version, state.holder(stage, alias)) if one is not None}
        found = ShelfCircumstances(
            policy=policy,
            now=self._clock.now(),
            metrics={one: {} for one in versions},
            gone=await self._gone(resource, state, stage),
            before=before,
        )
        if place is None or not about:
            return found
        named = frozenset(name for one in place.metrics for name in one.names)
        return replace(
            found,
            metrics={one: await self._metrics(resource, one, named) for one in versions},
            validations=await self._validations(about, place.validations),
            authors=await self._authors(about, context.actor),
            checks=await self._checks(about) if place.checks else (),
        )

    async def _metrics(
        self, resource: str, version: str, named: Collection[str]
    ) -> dict[str, float]:
        """Return the numbers of a version that thresholds name."""
        row = await self._datasets.version(f"{resource}/versions/{version}") if named else None
        if row is None:
            return {}
        known = dataset_metrics(row.known())
        return {name: known[name] for name in sorted(named) if name in known}

    async def _validations(
        self, version: str, components: Sequence[str]
    ) -> list[pb.GateValidation]:
        """Return the newest run of each component that validated a version."""
        return [
            pb.GateValidation(
                run=one.run,
                component=one.component,
                display_name=one.display_name,
                creator=one.creator,
            )
            for one in await self._store.validated_by(version, components)
        ]

    async def _checks(self, version: str) -> Sequence[pb.RuleResult]:
        row = await self._datasets.version(version)
        return pb.DatasetValidated.FromString(row.validated).results if row is not None else ()

    async def _authors(self, version: str, actor: str) -> Sequence[str]:
        """Return who made a version: who registered it, or started the runs that told of it.

        Whoever started a run that asks for a stage is behind that too.
        """
        resource = version.partition("/versions/")[0]
        people, runs = set[str](), {run_of(actor, owner_of(resource))}
        if collection_of(resource) == "components":
            people.add(await self._stages.component_creator(version))
        else:
            row = await self._datasets.version(version)
            runs |= {row.run, row.maker} if row is not None else set()
        runs.discard("")
        people |= set((await self._store.creators(runs)).values()) if runs else set()
        return sorted(people - {""})

    async def _gone(self, resource: str, state: Shelf, stage: str) -> frozenset[str]:
        """Return versions that had a stage and are deleted; a dataset's never are."""
        held = state.promotions.held.get(place_key(stage, ""), ())
        if not held or collection_of(resource) != "components":
            return frozenset()
        return frozenset(held) - await self._stages.tags(resource)
