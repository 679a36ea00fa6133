"""What a local agent keeps but does not honour, said in warnings."""

from __future__ import annotations

from collections.abc import Iterator

from epochal_scheduler.spec.issues import Issue
from epochal_scheduler.spec.nodes import ListNode, MapNode, Node, Path, Places, Scalar
from epochal_scheduler.spec.schema.runtimes import DISTRIBUTED_ROLES

_KEPT_ONLY = {
    "namespace": "a local agent has no namespaces",
    "build": "images are not built; the process runs in the agent's own environment",
    "plugins.docker": "a local agent starts processes, not containers",
    "plugins.sidecar": "a local agent needs no sidecar",
    "plugins.shm": "a local agent starts processes, not containers",
    "termination.podFailurePolicy": "a local agent has no pods",
    "run.volumes": "volumes are not mounted by a local agent",
    "run.sidecars": "sidecars are not run by a local agent",
    "run.environment": "placement is up to the local agent; labels and annotations are kept",
    "run.replicas": "a local agent runs one process of a service",
    "run.container.image": "a local agent runs the command in its own environment",
    "run.container.resources": "a local agent does not limit resources",
    "run.container.envFrom": "a local agent has no config maps or secrets",
    "run.container.volumeMounts": "volumes are not mounted by a local agent",
    "run.container.volumeDevices": "volumes are not mounted by a local agent",
    "run.container.livenessProbe": "a local agent does not probe",
    "run.container.startupProbe": "a local agent does not probe",
    "run.container.lifecycle": "a local agent runs no lifecycle hooks",
    "run.container.securityContext": "the process has the agent's own rights",
    "run.container.restartPolicy": "use termination.maxRetries",
}
"""Field, and what the reader should know. Everything under a field is meant."""

_INIT_KEPT_ONLY = {
    "dockerfile": "a local agent builds no images",
    "container": "a local agent starts no init containers",
}
_OF_DAG_ONLY = ("dependencies", "trigger", "skipOnUpstreamSkip")


def not_honoured(places: Places, *, in_dag: bool = False) -> Iterator[Issue]:
    """Yields a warning for each part that is kept in the compiled operation but has no effect."""
    root = places.root
    kind = _at(root, ("run", "kind"))
    is_distributed = isinstance(kind, Scalar) and kind.text in DISTRIBUTED_ROLES
    if is_distributed and isinstance(kind, Scalar):
        message = f"a local agent does not start kind '{kind.text}': it needs a cluster"
        yield places.issue(("run", "kind"), "not_honoured", message)
    for field, why in _KEPT_ONLY.items():
        path: Path = tuple(field.split("."))
        node = _at(root, path)
        if node is not None and not _is_idle(field, node):
            message = f"'{path[-1]}' has no effect here: {why}"
            yield places.issue(path, "not_honoured", message)
    init = _at(root, ("run", "init"))
    for index, entry in enumerate(init.items if isinstance(init, ListNode) else ()):
        for name, why in _INIT_KEPT_ONLY.items():
            if isinstance(entry, MapNode) and name in entry.entries:
                message = f"'{name}' has no effect here: {why}"
                yield places.issue(("run", "init", index, name), "not_honoured", message)
    if not in_dag:
        yield from _outside_of_dag(places)


def _outside_of_dag(places: Places) -> Iterator[Issue]:
    for name in _OF_DAG_ONLY:
        node = _at(places.root, (name,))
        if node is not None and not _is_idle(name, node):
            message = f"'{name}' has no effect here: only operations of a DAG depend on others"
            yield places.issue((name,), "not_honoured", message)


def _is_idle(field: str, node: Node) -> bool:
    """Says whether a field asks for nothing."""
    if isinstance(node, Scalar) and node.value in (None, False):
        return True
    if isinstance(node, ListNode):
        return not node.items
    if field == "run.replicas":
        return isinstance(node, Scalar) and node.value == 1
    if not isinstance(node, MapNode):
        return False
    return field == "run.environment" and node.entries.keys() <= {"labels", "annotations"}


def _at(root: Node, path: Path) -> Node | None:
    node: Node | None = root
    for step in path:
        if not isinstance(node, MapNode):
            return None
        node = node.entries.get(str(step))
    return node
