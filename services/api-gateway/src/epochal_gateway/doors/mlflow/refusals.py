"""What MLflow's server has and this door has not, by name: docs/mlflow.md lists the same.

Clients that ask for one of these are told so, and not that they mistyped a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from epochal_gateway.doors.mlflow.errors import (
    ENDPOINT_NOT_FOUND,
    NOT_IMPLEMENTED,
    MlflowError,
    error_response,
)

#: By the beginning of a path below "mlflow/": what it is for.
NOT_SERVED: Final[Mapping[str, str]] = {
    "datasets": "evaluation datasets",
    "experiments/search-datasets": "the list of an experiment's datasets, which only pages ask for",
    "gateway": "the AI gateway",
    "get-online-trace-details": "traces of Databricks",
    "issues": "issues of traces",
    "label-schemas": "label schemas",
    "prompt-optimization": "the optimisation of prompts",
    "review-queues": "review queues",
    "scorers": "scorers",
    "traces/calculate-filter-correlation": "correlations of trace filters",
    "traces/metrics": "metrics of traces",
    "unified-traces": "traces of Databricks",
    "workspaces": "workspaces",
}


def refusal(verb: str, full_path: str, path: str) -> MlflowError:
    """Return the error of a call that is not served.

    Args:
        verb: of HTTP.
        full_path: as it was asked for.
        path: below "mlflow/".
    """
    for beginning, words in NOT_SERVED.items():
        if path == beginning or path.startswith(f"{beginning}/"):
            told = f"{verb} {full_path}: {words} are not served here"
            return MlflowError(f"{told}; docs/mlflow.md lists what is", ENDPOINT_NOT_FOUND)
    return MlflowError(
        f"{verb} {full_path} is not served here: docs/mlflow.md lists what is", ENDPOINT_NOT_FOUND
    )


async def _graphql(_: Request) -> Response:
    return error_response(
        MlflowError(
            "GraphQL is what MLflow's own pages speak, and they are not served here: the REST "
            "calls that docs/mlflow.md lists read the same",
            NOT_IMPLEMENTED,
        )
    )


def routes() -> list[Route]:
    """Return the routes that only refuse."""
    return [Route("/graphql", _graphql, methods=["GET", "POST"])]
