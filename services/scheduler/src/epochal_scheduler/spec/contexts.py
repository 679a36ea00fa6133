"""What `{{ }}` can name: globals of the run, and the parameters by name and under `params`.

Globals that only the agent knows (paths, times) stand for themselves as `$(EPOCHAL_...)`, the
form in which Kubernetes expands variables in commands; the local agent does the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from epochal_scheduler.spec.binding import BoundParam
from epochal_scheduler.spec.templates import as_text

LATE_GLOBALS: Final[Mapping[str, str]] = {
    "context_path": "EPOCHAL_CONTEXT_PATH",
    "artifacts_path": "EPOCHAL_ARTIFACTS_PATH",
    "run_artifacts_path": "EPOCHAL_RUN_ARTIFACTS_PATH",
    "run_outputs_path": "EPOCHAL_RUN_OUTPUTS_PATH",
    "store_path": "EPOCHAL_STORE_PATH",
    "base_url": "EPOCHAL_URL",
}
"""Global, and the environment variable of the process that has its value."""


@dataclass(frozen=True, slots=True)
class RunScope:
    """What is known of a run while its spec is compiled."""

    org: str
    project: str
    run_id: UUID
    creator: str
    created_at: datetime

    @property
    def run_name(self) -> str:
        """Resource name of the run."""
        return f"orgs/{self.org}/projects/{self.project}/runs/{self.run_id}"


def build_globals(scope: RunScope, name: str) -> dict[str, JsonValue]:
    """Returns the section `globals`, by the names of the reference; `name` is the operation's."""
    created = scope.created_at.isoformat()
    known: dict[str, JsonValue] = {
        "owner_name": scope.org,
        "username": scope.creator.removeprefix("users/"),
        "project_name": scope.project,
        "project_unique_name": f"{scope.org}.{scope.project}",
        "run_info": f"{scope.org}.{scope.project}.runs.{scope.run_id}",
        "name": name,
        "uuid": str(scope.run_id),
        "namespace": "",
        "run_relative_outputs_path": f"{scope.run_id}/outputs",
        "created_at": created,
        "compiled_at": created,
        "schedule_at": None,
        "cloning_kind": None,
        "original_uuid": None,
        "is_independent": True,
        "iteration": None,
        "ports": [],
        "status": None,
        "condition": None,
    }
    return known | {name: f"$({variable})" for name, variable in LATE_GLOBALS.items()}


def build_context(
    globals_: Mapping[str, JsonValue], params: Mapping[str, BoundParam]
) -> dict[str, JsonValue]:
    """Returns everything that templates of the run may name."""
    arguments = {name: param.as_argument() for name, param in params.items()}
    views: dict[str, JsonValue] = {
        name: {
            "value": param.value,
            "type": str(param.kind),
            "as_str": as_text(param.value),
            "as_arg": arguments[name],
        }
        for name, param in params.items()
    }
    as_args: list[JsonValue] = [
        text for name, text in arguments.items() if text and params[name].is_input
    ]
    return {
        **{name: param.value for name, param in params.items()},
        "globals": dict(globals_),
        "params": {**views, "as_args": as_args},
        "connections": {},
        "init": {},
    }
