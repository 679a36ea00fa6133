"""What parameters do to the process: variables, init entries, connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from epochal_scheduler.spec.params import BoundParam
from epochal_scheduler.spec.schema.runtimes import DISTRIBUTED_ROLES

# Types whose values an init entry can hold, and its field. A text stands for the entry's main part.
_INIT_FIELDS = {
    "git": ("git", "url"),
    "file": ("file", "content"),
    "dockerfile": ("dockerfile", "image"),
    "tensorboard": ("tensorboard", "uuids"),
    "artifacts": ("artifacts", "files"),
}


def with_params(
    run: dict[str, JsonValue], params: Mapping[str, BoundParam]
) -> dict[str, JsonValue]:
    """Returns a run with what its parameters ask for: `toEnv`, `toInit`, `connection`."""
    exported: list[JsonValue] = [
        {"name": param.to_env, "value": param.env_text()}
        for param in params.values()
        if param.to_env and param.value is not None
    ]
    entries = [entry for param in params.values() for entry in _init_entries(param)]
    connections = [name for param in params.values() for name in _connections(param)]
    if not exported and not entries and not connections:
        return run
    return _in_processes(run, exported, entries, connections)


def _in_processes(
    run: dict[str, JsonValue],
    exported: list[JsonValue],
    entries: list[JsonValue],
    connections: list[str],
) -> dict[str, JsonValue]:
    roles = DISTRIBUTED_ROLES.get(str(run["kind"]))
    if roles is None:
        return run if run["kind"] == "dag" else _process(run, exported, entries, connections)
    made = dict(run)
    for role in roles:
        inner = run.get(role)
        if isinstance(inner, dict) and role == "workers":
            made[role] = {
                name: _process(each, exported, entries, connections)
                for name, each in inner.items()
                if isinstance(each, dict)
            }
        elif isinstance(inner, dict):
            made[role] = _process(inner, exported, entries, connections)
    return made


def _process(
    part: dict[str, JsonValue],
    exported: list[JsonValue],
    entries: list[JsonValue],
    connections: list[str],
) -> dict[str, JsonValue]:
    """Returns one process with more; its own variables come after, so that they win."""
    made = dict(part)
    container = part.get("container")
    if exported and isinstance(container, dict):
        own = container.get("env")
        made["container"] = container | {"env": exported + (own if isinstance(own, list) else [])}
    if entries:
        own = part.get("init")
        made["init"] = (own if isinstance(own, list) else []) + entries
    if connections:
        own = part.get("connections")
        known = own if isinstance(own, list) else []
        made["connections"] = known + [n for n in dict.fromkeys(connections) if n not in known]
    return made


def _init_entries(param: BoundParam) -> Iterator[JsonValue]:
    asked = getattr(param.param, "to_init", None)
    if asked is None and param.declared is not None:
        asked = param.declared.to_init
    if not asked or param.value is None:
        return
    entry = dict[str, JsonValue]()
    name = param.kind.arguments[0].name if param.kind.name == "optional" else param.kind.name
    if name in _INIT_FIELDS:
        section, main = _INIT_FIELDS[name]
        value = param.value
        if not isinstance(value, dict):
            as_list = main in ("uuids", "files") and not isinstance(value, list)
            value = {main: [value] if as_list else value}
        if section == "file":
            value = {"filename": param.name, **value}
        entry[section] = value
    else:
        entry["paths"] = param.value if isinstance(param.value, list) else [param.value]
    connection = _connection(param)
    yield {**entry, "connection": connection} if connection else entry


def _connection(param: BoundParam) -> str | None:
    given: str | None = getattr(param.param, "connection", None)
    return given or (param.declared.connection if param.declared is not None else None)


def _connections(param: BoundParam) -> Iterator[str]:
    name = _connection(param)
    if name and (param.value is not None or param.param is not None):
        yield name


def connection_names(run: JsonValue) -> list[str]:
    """Returns the connections that a run names, for `{{ connections.NAME }}`."""
    found = list[str]()
    if isinstance(run, dict):
        own = run.get("connections")
        found += [name for name in own if isinstance(name, str)] if isinstance(own, list) else []
        entries = run.get("init")
        for entry in entries if isinstance(entries, list) else []:
            name = entry.get("connection") if isinstance(entry, dict) else None
            found += [name] if isinstance(name, str) else []
    return found
