"""What clients ask of a server itself: is it there, which version is it, what can it do.

These answer without a token, as MLflow's own server does: nothing in them is anyone's.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from epochal_gateway.doors.mlflow.writing import JsonObject, json_response

#: The MLflow release whose REST surface this door keeps to. Clients compare it to choose calls.
COMPATIBLE_VERSION: Final = "3.17.2"

SERVER_INFO: Final[JsonObject] = {
    # Clients read it to know that searches are answered by a database, not by files.
    "store_type": "SqlStore",
    "workspaces_enabled": False,
    "trace_archival_enabled": False,
    "multipart_uploads_enabled": False,
    "multipart_downloads_enabled": False,
    "presigned_upload_run_id_supported": False,
    "presigned_upload_model_id_supported": False,
    "features_enabled": {"gateway": False},
}


async def _health(_: Request) -> Response:
    return PlainTextResponse("OK")


async def _version(_: Request) -> Response:
    return PlainTextResponse(COMPATIBLE_VERSION)


async def _server_info(_: Request) -> Response:
    return json_response(SERVER_INFO)


def routes() -> list[Route]:
    """Return the probes' routes."""
    return [
        Route("/health", _health),
        Route("/version", _version),
        Route("/api/3.0/mlflow/server-info", _server_info),
        Route("/ajax-api/3.0/mlflow/server-info", _server_info),
    ]
