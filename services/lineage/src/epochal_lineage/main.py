"""The lineage process: the only place that builds its parts."""

from __future__ import annotations

import uvloop
from epochal_kernel.runtime.logs import configure_logs
from epochal_kernel.runtime.service import Kernel, Parts, run_service
from epochal_proto.v1.services import AuditService, LineageService, RegistryService

from epochal_lineage.projections import READ_MODEL
from epochal_lineage.services.audit import Audit
from epochal_lineage.services.graph import Graph
from epochal_lineage.services.registry import Registry
from epochal_lineage.settings import LineageSettings
from epochal_lineage.store.audit import AuditStore
from epochal_lineage.store.graph import GraphStore
from epochal_lineage.store.registry import RegistryStore


def main() -> None:
    """Run the lineage service until it is told to stop."""
    settings = LineageSettings()
    configure_logs("lineage", settings.log_level)
    uvloop.run(run(settings))


async def run(settings: LineageSettings) -> None:
    """Run the lineage service in this event loop."""
    await run_service(settings, READ_MODEL, "epochal_lineage", _build)


async def _build(kernel: Kernel) -> Parts:
    store = GraphStore(kernel.pool)
    graph = Graph(kernel.ledger, store, kernel.progress)
    events = AuditStore(kernel.pool)
    registry = Registry(kernel.ledger, RegistryStore(kernel.pool), store, events, kernel.progress)
    audit = Audit(kernel.pool, events, kernel.codec, kernel.client)
    server = kernel.server
    server.unary(LineageService.USE_DATASET, graph.use_dataset)
    server.unary(LineageService.GET_LINEAGE, graph.get_lineage)
    server.unary(RegistryService.REGISTER_MODEL_VERSION, registry.register_model_version)
    server.unary(RegistryService.SET_MODEL_ALIAS, registry.set_model_alias)
    server.unary(RegistryService.DELETE_MODEL_ALIAS, registry.delete_model_alias)
    server.unary(RegistryService.GET_MODEL, registry.get_model)
    server.unary(RegistryService.LIST_MODELS, registry.list_models)
    server.unary(RegistryService.GET_MODEL_VERSION, registry.get_model_version)
    server.unary(RegistryService.LIST_MODEL_VERSIONS, registry.list_model_versions)
    server.unary(AuditService.LIST_EVENTS, audit.list_events)
    server.stream(AuditService.VERIFY_LOG, audit.verify_log)
    server.stream(AuditService.REPLAY_LOG, audit.replay_log)
    return Parts()


if __name__ == "__main__":
    main()
