"""ModelCardService: cards made from the log, and what people write in them."""

from __future__ import annotations

import json

import epochal_proto.v1 as pb
from epochal_kernel.errors import NotFound
from epochal_kernel.log.events import EventCodec
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.v1.services import RunService

from epochal_lineage.domain import cards, registering
from epochal_lineage.domain.cards import CardFacts, DatasetUse
from epochal_lineage.domain.model import version_number
from epochal_lineage.projections.promotion_rows import FOREVER
from epochal_lineage.services.deciding_models import ModelDecisions
from epochal_lineage.services.moments import Moments
from epochal_lineage.services.promotion_messages import promotion_message
from epochal_lineage.services.registry_messages import model_message, version_message
from epochal_lineage.store.audit import AuditStore, EventQuery
from epochal_lineage.store.promotions import PromotionStore
from epochal_lineage.store.registry import RegistryStore

DATASETS = 100


class ModelCards:
    """Handlers of ModelCardService."""

    def __init__(
        self,
        registry: RegistryStore,
        promotions: PromotionStore,
        events: AuditStore,
        decisions: ModelDecisions,
        client: RpcClient,
        codec: EventCodec,
        moments: Moments,
    ) -> None:
        self._registry = registry
        self._promotions = promotions
        self._events = events
        self._decisions = decisions
        self._client = client
        self._codec = codec
        self._moments = moments

    async def get_model_card(
        self, request: pb.GetModelCardRequest, context: CallContext
    ) -> pb.ModelCard:
        """Make the card of a version, as of a moment; runs are told of as they are now."""
        position = await self._moments.past(request.as_of, "as_of", context)
        model, number = request.name.rpartition("/versions/")[0], version_number(request.name)
        row, owner = (
            await self._registry.version(model, number, position),
            await self._registry.model(model, position),
        )
        if row is None or owner is None:
            raise NotFound(f"there is no {request.name}", resource=request.name)
        version = version_message(row, owner)
        run = await self._run(version.run, context)
        facts = CardFacts(
            model=model_message(owner, ()),
            version=version,
            run=run,
            params={name: _text(value) for name, value in run.params.items()} if run else {},
            datasets=await self._datasets(version.run, position, context),
            files=[
                pb.ModelVersionFile(path=one.path, sha256=one.sha256, size_bytes=one.size_bytes)
                for one in await self._promotions.files(model, number, "", cards.FILES_SHOWN)
            ],
            promotions=[
                promotion_message(one)
                for one in await self._promotions.of_version(model, str(number), position)
            ],
            sections=await self._sections(model, request.name, position),
        )
        return pb.ModelCard(name=request.name, markdown=cards.render(facts))

    async def write_card_section(
        self, request: pb.WriteCardSectionRequest, context: CallContext
    ) -> pb.WriteCardSectionResponse:
        """Write a section."""
        outcome = await self._decisions.plainly(
            request.name.partition("/versions/")[0],
            lambda state: registering.write_card(
                state, request.name, request.section, request.text, context.actor
            ),
            request,
            request.request_id,
            context,
        )
        context.wrote(outcome.position)
        return pb.WriteCardSectionResponse()

    async def _run(self, name: str, context: CallContext) -> pb.Run | None:
        """Return the run, when there is one in the model's organisation."""
        if not name or name.split("/")[1] != context.org_id:
            return None
        try:
            return await self._client.call(RunService.GET_RUN, pb.GetRunRequest(name=name), context)
        except NotFound:
            return None

    async def _datasets(
        self, run: str, position: int | None, context: CallContext
    ) -> list[DatasetUse]:
        if not run:
            return []
        records = await self._events.events(
            EventQuery(
                org_id=context.org_id,
                actors=(),
                resource=run,
                types=(pb.DatasetUsed.DESCRIPTOR.full_name,),
                start=None,
                end=None,
                correlation_id=None,
                after=None,
                descending=False,
                limit=DATASETS,
            )
        )
        found: dict[tuple[str, str], DatasetUse] = {}
        for record in records:
            if position is not None and record.position > position:
                break
            used = await self._codec.decode_payload(record.type, record.payload, record.position)
            assert isinstance(used, pb.DatasetUsed), "only these were asked for"
            family, _, number = used.dataset.partition("/versions/")
            name = used.details.name or family.rpartition("/")[2] or number
            found[name, used.digest] = DatasetUse(name, used.digest, used.uri)
        return list(found.values())

    async def _sections(
        self, model: str, version: str, position: int | None
    ) -> dict[int, tuple[str, str]]:
        """Return what people wrote; of a version before that of its model."""
        rows = {
            (row.name, row.section): row
            for row in await self._promotions.sections(
                [model, version], FOREVER if position is None else position
            )
        }
        found: dict[int, tuple[str, str]] = {}
        for name in (model, version):
            for (of, section), row in rows.items():
                if of == name and row.text:
                    found[section] = (row.text, row.author)
        return found


def _text(value: pb.Value) -> str:
    kind = value.WhichOneof("kind")
    return "" if kind is None else json.dumps(getattr(value, kind), ensure_ascii=False).strip('"')
