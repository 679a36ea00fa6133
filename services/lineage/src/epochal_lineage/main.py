"""The lineage process: the only place that builds its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import uvloop
from epochal_kernel.acts import Act
from epochal_kernel.leading import Leader
from epochal_kernel.rpc.server import RpcServer
from epochal_kernel.runtime.logs import configure_logs
from epochal_kernel.runtime.service import Background, Kernel, Parts, run_service
from epochal_proto.v1.services import (
    AuditService,
    DatasetService,
    DatasetStageService,
    GraphService,
    HistoryService,
    LineageService,
    LoggedModelService,
    ModelCardService,
    OpenLineageService,
    PromotionService,
    ProofService,
    RegistryService,
    StageService,
)

from epochal_lineage.openlineage.emitting import Emitter
from epochal_lineage.projections import READ_MODEL
from epochal_lineage.sealing.archiving import LogArchiver, NameArchiver
from epochal_lineage.sealing.keyring import Keyring, forked_origin, witnesses
from epochal_lineage.sealing.places import Bucket, archive_places, checkpoint_places
from epochal_lineage.sealing.publishing import CheckpointPublisher, TilePublisher
from epochal_lineage.sealing.sealer import Sealer
from epochal_lineage.services.audit import Audit
from epochal_lineage.services.datasets import Datasets
from epochal_lineage.services.deciding_models import ModelDecisions
from epochal_lineage.services.deciding_shelves import ShelfDecisions
from epochal_lineage.services.explaining import Explaining
from epochal_lineage.services.graph import Graph
from epochal_lineage.services.graph_queries import GraphQueries
from epochal_lineage.services.history import History
from epochal_lineage.services.logged_models import LoggedModels
from epochal_lineage.services.model_cards import ModelCards
from epochal_lineage.services.model_versions import ModelVersions
from epochal_lineage.services.models import Models
from epochal_lineage.services.moments import Moments
from epochal_lineage.services.openlineage import OpenLineage
from epochal_lineage.services.policies import Policies
from epochal_lineage.services.promoted import Promoted
from epochal_lineage.services.promotions import Promotions
from epochal_lineage.services.proofs import Proofs
from epochal_lineage.services.replaying_decisions import ReplayingDecisions
from epochal_lineage.services.stages import Stages
from epochal_lineage.services.version_files import VersionFiles
from epochal_lineage.settings import LineageSettings
from epochal_lineage.store.audit import AuditStore
from epochal_lineage.store.causes import CauseStore
from epochal_lineage.store.datasets import DatasetStore
from epochal_lineage.store.graph import GraphStore
from epochal_lineage.store.history import HistoryStore
from epochal_lineage.store.logged_models import LoggedModelStore
from epochal_lineage.store.openlineage import OpenLineageStore
from epochal_lineage.store.promotions import PromotionStore
from epochal_lineage.store.registry import RegistryStore
from epochal_lineage.store.sealing import SealStore
from epochal_lineage.store.stages import StageStore


def main() -> None:
    """Run the lineage service until it is told to stop."""
    settings = LineageSettings()
    configure_logs("lineage", settings.log_level)
    uvloop.run(run(settings))


async def run(settings: LineageSettings) -> None:
    """Run the lineage service in this event loop."""

    async def build(kernel: Kernel) -> Parts:
        return _build(kernel, settings)

    await run_service(settings, READ_MODEL, "epochal_lineage", build)


def _build(kernel: Kernel, settings: LineageSettings) -> Parts:
    store = GraphStore(kernel.pool)
    graph = Graph(kernel.ledger, store, kernel.progress, kernel.clock)
    events = AuditStore(kernel.pool)
    audit = Audit(kernel.pool, events, kernel.codec, kernel.subjects, kernel.client)
    logged = LoggedModelStore(kernel.pool)
    server = kernel.server
    server.unary(LineageService.USE_DATASET, graph.use_dataset)
    server.unary(LineageService.LOG_DATASET, graph.log_dataset)
    server.unary(LineageService.USE_MODEL, graph.use_model)
    server.unary(LineageService.GET_LINEAGE, graph.get_lineage)
    _bind_graph(kernel, store)
    moments = Moments(HistoryStore(kernel.pool), kernel.progress)
    known = DatasetStore(kernel.pool)
    _bind_datasets(server, Datasets(kernel.ledger, known, moments, kernel.clock))
    _bind_registry(kernel, store, logged, events)
    _bind_logged(server, LoggedModels(kernel.ledger, logged, store, kernel.progress))
    told = OpenLineage(kernel.appender, OpenLineageStore(kernel.pool), kernel.progress)
    server.unary(OpenLineageService.RECORD_OPEN_LINEAGE, told.record_open_lineage)
    server.unary(OpenLineageService.GET_OPEN_LINEAGE, told.get_open_lineage)
    server.unary(AuditService.LIST_EVENTS, audit.list_events)
    server.stream(AuditService.VERIFY_LOG, audit.verify_log)
    server.stream(AuditService.REPLAY_LOG, audit.replay_log)
    seals = SealStore(kernel.pool)
    _bind_history(
        server, History(kernel.pool, HistoryStore(kernel.pool), events, seals, kernel.codec)
    )
    return Parts(background=[*_seal(kernel, settings), *_emit(kernel, settings)])


def _seal(kernel: Kernel, settings: LineageSettings) -> list[Background]:
    """Bind proofs, and return the work that seals and publishes: one process at a time does it."""
    store = SealStore(kernel.pool)
    fork = kernel.fork
    keyring = Keyring(
        store,
        settings.secret_key.get_secret_value(),
        # A fork never signs with a key it was not born with, nor under the name of its source.
        "" if fork else settings.audit_signing_key.get_secret_value(),
        forked_origin(fork.origin, fork.fork_id) if fork else settings.audit_origin,
    )
    sealer = Sealer(
        kernel.pool,
        store,
        keyring,
        kernel.clock,
        every_events=settings.audit_seal_events,
        every_s=settings.audit_seal_s,
    )
    known = witnesses(settings.audit_witnesses)
    proofs = Proofs(kernel.pool, store, keyring, sealer, known, kernel.appender)
    _bind_proofs(kernel.server, proofs)
    work: list[Background] = [sealer.run]
    if settings.object_store_url:
        # Where a fork has its source's objects, the source's published tree stays the source's.
        below = f"tlog/fork/{fork.fork_id.hex[:16]}/" if fork else "tlog/"
        bucket = Bucket(settings.object_store_url, below)
        work.append(TilePublisher(kernel.pool, store, bucket, kernel.clock).run)
    if kernel.may(Act.PUBLISH) and (places := checkpoint_places(settings.audit_publish)):
        every_s = settings.audit_publish_s
        work.append(CheckpointPublisher(store, places, kernel.clock, every_s).run)
    work += _archive(kernel, settings, store)
    leader = Leader(kernel.pool, kernel.clock, "epochal.sealer")
    return [lambda: leader.run(lambda: _all(work))]


def _archive(kernel: Kernel, settings: LineageSettings, store: SealStore) -> list[Background]:
    """Return the work that keeps the sealed log, and names of people, in places outside."""
    if not kernel.may(Act.PUBLISH):
        return []
    work: list[Background] = [
        NameArchiver(kernel.pool, place, kernel.clock, settings.audit_archive_s).run
        for place in archive_places(settings.audit_archive_names)
    ]
    for place in archive_places(settings.audit_archive):
        archiver = LogArchiver(
            kernel.pool,
            store,
            place,
            kernel.clock,
            every_s=settings.audit_archive_s,
            segment_events=settings.audit_archive_events,
        )
        work.append(archiver.run)
    return work


def _emit(kernel: Kernel, settings: LineageSettings) -> list[Background]:
    """Return the work that tells a receiver elsewhere: one process at a time does it."""
    if not settings.openlineage_url or not kernel.may(Act.PUBLISH):
        return []
    emitter = Emitter(
        kernel.pool,
        kernel.signal,
        kernel.codec,
        kernel.clock,
        url=settings.openlineage_url,
        api_key=settings.openlineage_api_key.get_secret_value(),
        namespace=settings.openlineage_namespace,
    )
    leader = Leader(kernel.pool, kernel.clock, "epochal.openlineage")
    return [lambda: leader.run(emitter.run)]


async def _all(work: Sequence[Background]) -> None:
    async def one(background: Background) -> None:
        await background()

    async with asyncio.TaskGroup() as tasks:
        for background in work:
            tasks.create_task(one(background))


def _bind_proofs(server: RpcServer, proofs: Proofs) -> None:
    server.unary(ProofService.GET_CHECKPOINT, proofs.get_checkpoint)
    server.unary(ProofService.LIST_CHECKPOINTS, proofs.list_checkpoints)
    server.unary(ProofService.GET_PROOF, proofs.get_proof)
    server.stream(ProofService.EXPORT_RECORDS, proofs.export_records)
    server.stream(ProofService.EXPORT_LOG, proofs.export_log)
    server.unary(ProofService.ADD_COSIGNATURE, proofs.add_cosignature)
    server.unary(ProofService.ROTATE_SIGNING_KEY, proofs.rotate_signing_key)


def _bind_history(server: RpcServer, history: History) -> None:
    server.unary(HistoryService.GET_EVENT, history.get_event)
    server.unary(HistoryService.GET_STATE, history.get_state)
    server.unary(HistoryService.COMPARE_STATES, history.compare_states)
    server.unary(HistoryService.CHECK_RULE, history.check_rule)


def _bind_graph(kernel: Kernel, store: GraphStore) -> None:
    moments = Moments(HistoryStore(kernel.pool), kernel.progress)
    queries = GraphQueries(store, moments)
    explaining = Explaining(store, CauseStore(kernel.pool), moments, kernel.codec)
    server = kernel.server
    server.unary(GraphService.GET_GRAPH_NODE, queries.get_graph_node)
    server.unary(GraphService.LIST_GRAPH_NODES, queries.list_graph_nodes)
    server.unary(GraphService.TRAVERSE_GRAPH, queries.traverse_graph)
    server.unary(GraphService.ASSESS_IMPACT, queries.assess_impact)
    server.unary(GraphService.FIND_GRAPH_PATH, queries.find_graph_path)
    server.unary(GraphService.TRAVERSE_COLUMNS, queries.traverse_columns)
    server.unary(GraphService.EXPLAIN_NODE, explaining.explain_node)


def _bind_datasets(server: RpcServer, datasets: Datasets) -> None:
    server.unary(DatasetService.LIST_DATASETS, datasets.list_datasets)
    server.unary(DatasetService.LIST_DATASET_VERSIONS, datasets.list_dataset_versions)
    server.unary(DatasetService.GET_DATASET_VERSION, datasets.get_dataset_version)
    server.unary(DatasetService.COMPARE_DATASET_VERSIONS, datasets.compare_dataset_versions)
    server.unary(DatasetService.VALIDATE_DATASET_VERSION, datasets.validate_dataset_version)


def _bind_registry(
    kernel: Kernel, graph: GraphStore, logged: LoggedModelStore, events: AuditStore
) -> None:
    server, progress, ledger = kernel.server, kernel.progress, kernel.ledger
    registry, store = RegistryStore(kernel.pool), PromotionStore(kernel.pool)
    history = HistoryStore(kernel.pool)
    moments = Moments(history, progress)
    policies, promoted = Policies(ledger), Promoted(store, progress)
    decisions = ModelDecisions(
        ledger, policies, store, history, kernel.client, kernel.clock, progress
    )
    stages = StageStore(kernel.pool)
    shelves = ShelfDecisions(
        ledger, policies, store, stages, DatasetStore(kernel.pool), history, kernel.clock, progress
    )
    _bind_models(server, Models(ledger, registry, decisions, moments, progress))
    _bind_promotions(
        server, Promotions(ledger, store, decisions, shelves, promoted, moments, progress)
    )
    replaying = ReplayingDecisions(history, moments, kernel.codec)
    server.unary(PromotionService.REPLAY_DECISIONS, replaying.replay_decisions)
    _bind_versions(
        server,
        ModelVersions(ledger, registry, logged, graph, events, decisions, moments, progress),
    )
    files = VersionFiles(registry, store, decisions, moments, progress)
    server.unary(RegistryService.SIGN_MODEL_VERSION, files.sign_model_version)
    server.unary(RegistryService.LIST_VERSIONS_OF_RUN, files.list_versions_of_run)
    server.unary(RegistryService.LIST_MODEL_VERSION_FILES, files.list_model_version_files)
    server.unary(RegistryService.LIST_MODEL_VERSION_SIGNATURES, files.list_model_version_signatures)
    _bind_stages(server, Stages(shelves, stages, promoted, moments, progress))
    cards = ModelCards(registry, store, events, decisions, kernel.client, kernel.codec, moments)
    server.unary(ModelCardService.GET_MODEL_CARD, cards.get_model_card)
    server.unary(ModelCardService.WRITE_CARD_SECTION, cards.write_card_section)


def _bind_models(server: RpcServer, models: Models) -> None:
    server.unary(RegistryService.CREATE_MODEL, models.create_model)
    server.unary(RegistryService.UPDATE_MODEL, models.update_model)
    server.unary(RegistryService.TAG_MODEL, models.tag_model)
    server.unary(RegistryService.DELETE_MODEL, models.delete_model)
    server.unary(RegistryService.SET_MODEL_ALIAS, models.set_model_alias)
    server.unary(RegistryService.DELETE_MODEL_ALIAS, models.delete_model_alias)
    server.unary(RegistryService.GET_MODEL, models.get_model)
    server.unary(RegistryService.LIST_MODELS, models.list_models)
    server.unary(RegistryService.SEARCH_MODELS, models.search_models)


def _bind_versions(server: RpcServer, versions: ModelVersions) -> None:
    server.unary(RegistryService.REGISTER_MODEL_VERSION, versions.register_model_version)
    server.unary(RegistryService.UPDATE_MODEL_VERSION, versions.update_model_version)
    server.unary(RegistryService.TAG_MODEL_VERSION, versions.tag_model_version)
    server.unary(RegistryService.SET_MODEL_VERSION_STAGE, versions.set_model_version_stage)
    server.unary(RegistryService.DELETE_MODEL_VERSION, versions.delete_model_version)
    server.unary(RegistryService.GET_MODEL_VERSION, versions.get_model_version)
    server.unary(RegistryService.LIST_MODEL_VERSIONS, versions.list_model_versions)
    server.unary(RegistryService.SEARCH_MODEL_VERSIONS, versions.search_model_versions)


def _bind_promotions(server: RpcServer, promotions: Promotions) -> None:
    server.unary(PromotionService.GET_REGISTRY_POLICY, promotions.get_registry_policy)
    server.unary(PromotionService.SET_REGISTRY_POLICY, promotions.set_registry_policy)
    server.unary(PromotionService.PROMOTE_MODEL_VERSION, promotions.promote_model_version)
    server.unary(PromotionService.APPROVE_PROMOTION, promotions.approve_promotion)
    server.unary(PromotionService.REJECT_PROMOTION, promotions.reject_promotion)
    server.unary(PromotionService.ROLLBACK_MODEL, promotions.rollback_model)
    server.unary(PromotionService.REVIEW_PROMOTION, promotions.review_promotion)
    server.unary(PromotionService.GET_PROMOTION, promotions.get_promotion)
    server.unary(PromotionService.LIST_PROMOTIONS, promotions.list_promotions)


def _bind_stages(server: RpcServer, stages: Stages) -> None:
    server.unary(StageService.PROMOTE_VERSION, stages.promote_version)
    server.unary(StageService.ROLLBACK_STAGE, stages.rollback_stage)
    server.unary(StageService.TAKE_STAGE, stages.take_stage)
    server.unary(StageService.LIST_HELD_STAGES, stages.list_held_stages)
    server.unary(DatasetStageService.SET_DATASET_STAGE, stages.set_dataset_stage)
    server.unary(DatasetStageService.LIST_DATASET_STAGES, stages.list_dataset_stages)


def _bind_logged(server: RpcServer, logged: LoggedModels) -> None:
    server.unary(LoggedModelService.CREATE_LOGGED_MODEL, logged.create_logged_model)
    server.unary(LoggedModelService.FINALIZE_LOGGED_MODEL, logged.finalize_logged_model)
    server.unary(LoggedModelService.ADD_LOGGED_MODEL_PARAMS, logged.add_logged_model_params)
    server.unary(LoggedModelService.TAG_LOGGED_MODEL, logged.tag_logged_model)
    server.unary(LoggedModelService.MEASURE_LOGGED_MODEL, logged.measure_logged_model)
    server.unary(LoggedModelService.DELETE_LOGGED_MODEL, logged.delete_logged_model)
    server.unary(LoggedModelService.GET_LOGGED_MODEL, logged.get_logged_model)
    server.unary(LoggedModelService.SEARCH_LOGGED_MODELS, logged.search_logged_models)
    server.unary(LoggedModelService.LINK_LOGGED_MODELS, logged.link_logged_models)
    server.unary(LoggedModelService.LIST_LINKED_MODELS, logged.list_linked_models)
    server.unary(LoggedModelService.BATCH_LIST_LINKED_MODELS, logged.batch_list_linked_models)


if __name__ == "__main__":
    main()
