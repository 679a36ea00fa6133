"""What `{{ }}` can name: globals of the run, and the parameters by name and under `params`.

Globals that only the agent knows (paths, times) stand for themselves as `$(EPOCHAL_...)`, the
form in which Kubernetes expands variables in commands; the local agent does the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from epochal_scheduler.spec.params import BoundParam
from epochal_scheduler.spec.values import as_text

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
    """What is known of a run while its spec is compiled.

    Attributes:
        pipeline: id of the run that started this one, or "".
        step: name of the step of a DAG that it is, or "".
        iteration: of an iterative sweep, from 0.
        cloning_kind: `copy`, `restart` or `cache` for a run made from another, or "".
        original_uuid: id of that other run.
        status: of the run that a hook belongs to.
        ports: of a service, as they will be.
        connections: what templates may know of each connection, by name.
    """

    org: str
    project: str
    run_id: UUID
    creator: str
    created_at: datetime
    iteration: int | None = None
    schedule_at: datetime | None = None
    pipeline: str = ""
    step: str = ""
    cloning_kind: str = ""
    original_uuid: str = ""
    status: str = ""
    condition: str = ""
    project_uuid: str = ""
    user_email: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    ports: tuple[int, ...] = ()
    connections: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def run_name(self) -> str:
        """Resource name of the run."""
        return f"orgs/{self.org}/projects/{self.project}/runs/{self.run_id}"


def build_globals(scope: RunScope, name: str) -> dict[str, JsonValue]:
    """Returns the section `globals`, by the names of the reference; `name` is the operation's."""
    created = scope.created_at.isoformat()
    started, finished = scope.started_at, scope.finished_at
    known: dict[str, JsonValue] = {
        "owner_name": scope.org,
        "username": scope.creator.removeprefix("users/"),
        "user_email": scope.user_email,
        "project_name": scope.project,
        "project_unique_name": f"{scope.org}.{scope.project}",
        "project_uuid": scope.project_uuid,
        "run_info": f"{scope.org}.{scope.project}.runs.{scope.run_id}",
        "name": name,
        "uuid": str(scope.run_id),
        "namespace": "",
        "run_relative_outputs_path": f"{scope.run_id}/outputs",
        "created_at": created,
        "compiled_at": created,
        "schedule_at": scope.schedule_at.isoformat() if scope.schedule_at else None,
        "started_at": started.isoformat() if started else None,
        "finished_at": finished.isoformat() if finished else None,
        "duration": (finished - started).total_seconds() if started and finished else None,
        "cloning_kind": scope.cloning_kind or None,
        "original_uuid": scope.original_uuid or None,
        "is_independent": not scope.pipeline,
        "pipeline": scope.pipeline or None,
        "step": scope.step or None,
        "iteration": scope.iteration,
        "ports": list(scope.ports),
        "status": scope.status or None,
        "condition": scope.condition or None,
    }
    return known | {name: f"$({variable})" for name, variable in LATE_GLOBALS.items()}


def build_context(
    globals_: Mapping[str, JsonValue],
    params: Mapping[str, BoundParam],
    connections: Mapping[str, JsonValue],
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
    known = dict(connections)
    return {
        "init": known,
        **{name: param.value for name, param in params.items()},
        "globals": dict(globals_),
        "params": {**views, "as_args": as_args},
        "connections": known,
    }


GLOBAL_NAMES = frozenset(
    build_globals(
        RunScope("o", "p", UUID(int=0), "users/u", datetime(2026, 1, 1)),
        "",
    )
)
"""Names of `globals` that templates and references may use."""
