"""What this version runs, what it keeps but does not honour, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from epochal_scheduler.spec.checking import Path
from epochal_scheduler.spec.issues import Issue, dotted
from epochal_scheduler.spec.nodes import MapNode, Node, Scalar, locate
from epochal_scheduler.spec.suggestions import did_you_mean

RUN_KINDS = ("job",)
KNOWN_RUN_KINDS = (
    "job", "service", "dag", "tfjob", "pytorchjob", "mpijob", "raycluster", "daskcluster",
    "notifier", "cleaner", "tuner", "watchdog", "builder", "matrix", "schedule",
)  # fmt: skip
DOCUMENT_KINDS = ("component", "operation")


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A documented field whose meaning cannot be given up without running the wrong thing."""

    field: str
    rule: str
    message: str


_REFUSED = (
    _Refusal("matrix", "unsupported_runtime", "sweeps are not run yet; remove 'matrix'"),
    _Refusal("schedule", "unsupported_runtime", "schedules are not run yet; remove 'schedule'"),
    _Refusal("hubRef", "unsupported_reference", "no hub is connected; give 'component' inline"),
    _Refusal("dagRef", "unsupported_reference", "only a DAG has components to refer to"),
    _Refusal("urlRef", "unsupported_reference", "URLs are not fetched; give 'component' inline"),
    _Refusal("pathRef", "unsupported_reference", "other files are not read; inline 'component'"),
    _Refusal("joins", "unsupported_feature", "joins are not run yet; give the values as params"),
    _Refusal("events", "unsupported_feature", "events do not start runs yet; remove 'events'"),
    _Refusal("dependencies", "unsupported_feature", "only operations of a DAG depend on others"),
    _Refusal("runPatch", "unsupported_feature", "'runPatch' is not applied yet; edit 'run'"),
)

# Field path (without `component.`), and what the reader should know. `run.container` and such are
# prefixes: everything under them is meant.
_KEPT_ONLY = {
    "presets": "presets are kept but not applied",
    "namespace": "a local agent has no namespaces",
    "cache": "runs are not reused yet; each one executes",
    "build": "images are not built; the process runs in the agent's own environment",
    "hooks": "hooks are not run; subscribe to notifications instead",
    "mount": "files are not uploaded; the process sees the agent's file system",
    "plugins.notifications": "use a subscription of the project instead",
    "plugins.docker": "a local agent starts processes, not containers",
    "plugins.sidecar": "a local agent needs no sidecar",
    "termination.ttl": "records of local processes are kept",
    "termination.culling": "only services are culled",
    "termination.probe": "only services are probed",
    "termination.podFailurePolicy": "a local agent has no pods",
    "run.connections": "connections are not mounted by a local agent",
    "run.volumes": "volumes are not mounted by a local agent",
    "run.init": "init steps are not run by a local agent",
    "run.sidecars": "sidecars are not run by a local agent",
    "run.environment": "placement is up to the local agent; labels and annotations are kept",
    "run.container.image": "a local agent runs the command in its own environment",
    "run.container.resources": "a local agent does not limit resources",
    "run.container.envFrom": "a local agent has no config maps or secrets",
    "run.container.ports": "a local agent opens no ports",
    "run.container.volumeMounts": "volumes are not mounted by a local agent",
    "run.container.volumeDevices": "volumes are not mounted by a local agent",
    "run.container.livenessProbe": "a local agent does not probe",
    "run.container.readinessProbe": "a local agent does not probe",
    "run.container.startupProbe": "a local agent does not probe",
    "run.container.lifecycle": "a local agent runs no lifecycle hooks",
    "run.container.securityContext": "the process has the agent's own rights",
    "run.container.restartPolicy": "use termination.maxRetries",
}


def refusals(root: MapNode) -> Iterator[Issue]:
    """Yields an error for each part that is known but not run by this version."""
    for refusal in _REFUSED:
        if refusal.field in root.entries:
            mark = root.marks[refusal.field]
            yield Issue(mark, refusal.field, refusal.rule, refusal.message)
    for path in (("run",), ("component", "run")):
        kind = _at(root, (*path, "kind"))
        if isinstance(kind, Scalar) and isinstance(kind.value, str) and kind.value != "job":
            yield _refuse_kind(root, (*path, "kind"), kind.value)
    for prefix in ((), ("component",)):
        yield from _refuse_waiting(root, prefix)


def _refuse_waiting(root: MapNode, prefix: Path) -> Iterator[Issue]:
    """Approval and templates ask that a run waits; running it at once would be wrong."""
    approved = _at(root, (*prefix, "isApproved"))
    if isinstance(approved, Scalar) and approved.value is not True and approved.value is not None:
        path = (*prefix, "isApproved")
        message = "approvals are not supported yet; the run would not wait: remove 'isApproved'"
        yield Issue(locate(root, path)[0], dotted(path), "unsupported_feature", message)
    template = _at(root, (*prefix, "template", "enabled"))
    if isinstance(template, Scalar) and template.value is True:
        path = (*prefix, "template", "enabled")
        message = "this is a template: fill in its fields, then remove 'template'"
        yield Issue(locate(root, path)[0], dotted(path), "unsupported_feature", message)


def _refuse_kind(root: MapNode, path: Path, kind: str) -> Issue:
    mark = locate(root, path)[0]
    if kind in KNOWN_RUN_KINDS:
        message = f"run.kind '{kind}' is not run yet; use: {', '.join(RUN_KINDS)}"
        return Issue(mark, dotted(path), "unsupported_runtime", message)
    hint = did_you_mean(kind, KNOWN_RUN_KINDS)
    return Issue(mark, dotted(path), "unknown_kind", f"no run.kind '{kind}'; {hint}".rstrip("; "))


def not_honoured(root: MapNode) -> Iterator[Issue]:
    """Yields a warning for each part that is kept in the compiled operation but has no effect."""
    for field, why in _KEPT_ONLY.items():
        for prefix in ((), ("component",)):
            path = (*prefix, *field.split("."))
            node = _at(root, path)
            if node is not None and not _is_idle(field, node):
                message = f"'{path[-1]}' has no effect here: {why}"
                yield Issue(locate(root, path)[0], dotted(path), "not_honoured", message)


def _is_idle(field: str, node: Node) -> bool:
    """Says whether a field asks for nothing, such as a cache that is disabled."""
    if isinstance(node, Scalar) and node.value in (None, False):
        return True
    if not isinstance(node, MapNode):
        return False
    if field == "cache":
        disable = node.entries.get("disable")
        return isinstance(disable, Scalar) and disable.value is True
    return field == "run.environment" and node.entries.keys() <= {"labels", "annotations"}


def _at(root: Node, path: Path) -> Node | None:
    node: Node | None = root
    for step in path:
        if not isinstance(node, MapNode):
            return None
        node = node.entries.get(str(step))
    return node
