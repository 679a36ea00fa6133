"""The gateway process: the only place that builds its parts."""

from __future__ import annotations

import asyncio

import uvloop
from epochal_kernel.log.reader import LogReader
from epochal_kernel.runtime.health import serve_http
from epochal_kernel.runtime.logs import configure_logs
from epochal_kernel.runtime.service import VERSION, Kernel, Parts, run_service
from epochal_proto.v1.services import AccessService, ArtifactService, ProjectService

from epochal_gateway import bootstrap
from epochal_gateway.app import build_app
from epochal_gateway.doors.artifacts_door import ArtifactDoor
from epochal_gateway.doors.dispatch import Dispatcher
from epochal_gateway.doors.grpc_door import GrpcDoor
from epochal_gateway.doors.limits import RateLimiter
from epochal_gateway.doors.mlflow.artifact_parts import ArtifactParts
from epochal_gateway.doors.mlflow.artifact_places import ArtifactPlaces
from epochal_gateway.doors.mlflow.artifact_proxy import ArtifactProxy
from epochal_gateway.doors.mlflow.door import MlflowDoor
from epochal_gateway.doors.mlflow.otlp import OtlpDoor
from epochal_gateway.doors.mlflow.resetting import Resetting, assert_loopback
from epochal_gateway.doors.mlflow.run_names import RunNames
from epochal_gateway.doors.mlflow.serving import mlflow_routes
from epochal_gateway.doors.mlflow.session import Platform
from epochal_gateway.doors.openlineage_door import OpenLineageDoor
from epochal_gateway.doors.reading import ReadLog
from epochal_gateway.doors.rest_door import RestDoor
from epochal_gateway.doors.service_access import ServiceAccess
from epochal_gateway.doors.service_door import ServiceDoor
from epochal_gateway.doors.service_sockets import ServiceSockets
from epochal_gateway.identity.authentication import Authenticator
from epochal_gateway.identity.authorization import Authorizer
from epochal_gateway.identity.directory import Directory
from epochal_gateway.objects import Objects, open_store
from epochal_gateway.projections import READ_MODEL
from epochal_gateway.services.access import Access
from epochal_gateway.services.erasing import EraseReactor, Erasing
from epochal_gateway.services.objects import ObjectDeletion
from epochal_gateway.services.projects import Projects
from epochal_gateway.settings import GatewaySettings
from epochal_gateway.store import AccessStore


def main() -> None:
    """Run the gateway until it is told to stop."""
    settings = GatewaySettings()
    configure_logs("gateway", settings.log_level)
    uvloop.run(run(settings))


async def run(settings: GatewaySettings) -> None:
    """Run the gateway in this event loop."""

    async def build(kernel: Kernel) -> Parts:
        return await _build(kernel, settings)

    await run_service(settings, READ_MODEL, "epochal_gateway", build)


async def _build(kernel: Kernel, settings: GatewaySettings) -> Parts:
    store = AccessStore(kernel.pool, kernel.past)
    directory = Directory(store)
    _bind(kernel, Access(kernel.ledger, store, directory, kernel.progress, kernel.clock))
    _bind_erasures(kernel, Erasing(kernel.ledger, directory, kernel.subjects, kernel.progress))
    _bind_projects(kernel, Projects(kernel.ledger, store, directory, kernel.progress))
    authenticator = Authenticator(
        directory, settings.run_token_secret.get_secret_value(), kernel.clock
    )
    authorizer = Authorizer(directory)
    dispatcher = Dispatcher(
        authenticator=authenticator,
        authorizer=authorizer,
        limiter=RateLimiter(settings.rate_per_s, settings.rate_burst, kernel.clock),
        local=kernel.server,
        remote=kernel.client,
        bus=kernel.bus,
        ids=kernel.ids,
    )
    store_url = settings.object_store_url or (settings.data_dir / "objects").absolute().as_uri()
    objects = Objects(open_store(store_url), settings.max_artifact_bytes)
    deletion = ObjectDeletion(objects, kernel.clock)
    kernel.server.unary(ArtifactService.DELETE_OBJECTS, deletion.delete_objects)
    grpc_door = GrpcDoor(
        dispatcher,
        settings.gateway_host,
        settings.gateway_grpc_port,
        settings.max_message_bytes,
    )
    access = ServiceAccess(
        dispatcher,
        authorizer,
        kernel.ledger,
        kernel.bus,
        kernel.clock,
        elsewhere=store.runs_elsewhere,
    )
    services = ServiceDoor(access)
    mlflow = MlflowDoor(
        Platform(
            dispatcher, authorizer, directory, kernel.progress, RunNames(LogReader(kernel.pool))
        ),
        mlflow_routes(),
        settings.max_message_bytes,
    )
    reads = ReadLog(directory, kernel.ledger, kernel.ids)
    artifacts = ArtifactDoor(dispatcher, authorizer, objects, kernel.client, kernel.ids, reads)
    places = ArtifactPlaces()
    mlflow.add(OtlpDoor(mlflow.session, settings.max_message_bytes).routes())
    mlflow.add(ArtifactProxy(mlflow.session, artifacts, places).routes())
    mlflow.add(ArtifactParts(mlflow.session, artifacts, objects, places, kernel.ids).routes())
    if settings.allow_test_reset:
        assert_loopback(settings.gateway_host)
        mlflow.add(Resetting(mlflow, kernel.ledger).routes())
    app = build_app(
        RestDoor(dispatcher, settings.max_message_bytes),
        artifacts,
        mlflow,
        OpenLineageDoor(dispatcher, settings.max_message_bytes),
        services,
        ServiceSockets(access),
        kernel.health,
        VERSION,
        settings.gateway_public_grpc or f"{settings.gateway_host}:{grpc_door.port}",
        kernel.fork,
    )
    ready = asyncio.Event()
    kernel.health.add("bootstrap", lambda: "" if ready.is_set() else "not done yet")

    async def serve() -> None:
        try:
            await serve_http(
                app, settings.gateway_host, settings.gateway_http_port, on_bound=lambda _: None
            )
        finally:
            await services.close()

    async def begin() -> None:
        secret = settings.bootstrap_token.get_secret_value()
        if secret:
            position = await bootstrap.bootstrap(kernel.ledger, secret)
            await kernel.progress.wait_for(position, timeout_s=60)
        await directory.load()
        ready.set()

    return Parts(
        reactors=[EraseReactor()],
        listeners=[directory],
        background=[serve, grpc_door.run, begin],
        forgets=[directory.load],
    )


def _bind(kernel: Kernel, access: Access) -> None:
    server = kernel.server
    server.unary(AccessService.CREATE_ORGANIZATION, access.create_organization)
    server.unary(AccessService.GET_ORGANIZATION, access.get_organization)
    server.unary(AccessService.LIST_ORGANIZATIONS, access.list_organizations)
    server.unary(AccessService.GET_CALLER, access.get_caller)
    server.unary(AccessService.SET_MEMBER, access.set_member)
    server.unary(AccessService.REMOVE_MEMBER, access.remove_member)
    server.unary(AccessService.LIST_MEMBERS, access.list_members)
    server.unary(AccessService.CREATE_TOKEN, access.create_token)
    server.unary(AccessService.LIST_TOKENS, access.list_tokens)
    server.unary(AccessService.REVOKE_TOKEN, access.revoke_token)


def _bind_erasures(kernel: Kernel, erasing: Erasing) -> None:
    server = kernel.server
    server.unary(AccessService.ERASE_SUBJECT, erasing.erase_subject)
    server.unary(AccessService.GET_ERASURE, erasing.get_erasure)
    server.unary(AccessService.LIST_ERASURES, erasing.list_erasures)


def _bind_projects(kernel: Kernel, projects: Projects) -> None:
    server = kernel.server
    server.unary(ProjectService.CREATE_PROJECT, projects.create_project)
    server.unary(ProjectService.GET_PROJECT, projects.get_project)
    server.unary(ProjectService.LIST_PROJECTS, projects.list_projects)
    server.unary(ProjectService.UPDATE_PROJECT, projects.update_project)
    server.unary(ProjectService.ARCHIVE_PROJECT, projects.archive_project)
    server.unary(ProjectService.RESTORE_PROJECT, projects.restore_project)
    server.unary(ProjectService.SET_PROJECT_TAGS, projects.set_project_tags)


if __name__ == "__main__":
    main()
