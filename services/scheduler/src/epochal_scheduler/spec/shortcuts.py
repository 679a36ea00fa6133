"""The flat root form of Polyaxon 2.18, rewritten to the full form.

A file may put `container`, `cmd`, `env`, `resources` and others at its root, without `run:`. The
rewriting works on nodes, so that errors in the full form still point at the lines of the short one.
"""

from __future__ import annotations

from collections.abc import Mapping

from epochal_scheduler.spec.issues import Issue, Mark
from epochal_scheduler.spec.nodes import ListNode, MapNode, Node, Scalar

_ROOT_TO_RUN = ("environment", "init", "connections", "sidecars", "volumes")
_ROOT_TO_CONTAINER = ("env",)
_SHORTCUTS = frozenset(
    {*_ROOT_TO_RUN, *_ROOT_TO_CONTAINER, "container", "cmd", "resources", "ports"}
)
_REFERENCES = ("component", "hubRef", "dagRef", "urlRef", "pathRef", "matrix", "params")


def expand_shortcuts(root: MapNode) -> tuple[MapNode, list[Issue]]:
    """Returns the root in full form: `kind` is set, and a flat file has its `run`."""
    kind = root.entries.get("kind")
    entries, marks, issues = dict(root.entries), dict(root.marks), list[Issue]()
    used = sorted(entries.keys() & _SHORTCUTS)
    if used and not entries.keys() & {"run", "component", "hubRef"}:
        run = _run(entries, marks, issues)
        for name in used:
            del entries[name], marks[name]
        component_level = {"inputs", "outputs"}
        if isinstance(kind, Scalar) and kind.value == "operation":
            inner = {"run": run} | {k: entries.pop(k) for k in component_level & entries.keys()}
            entries["component"] = _map(inner, run)
            marks["component"] = run.mark
        else:
            entries["run"], marks["run"] = run, run.mark
    if kind is None:
        inferred = "operation" if any(name in entries for name in _REFERENCES) else "component"
        entries["kind"], marks["kind"] = Scalar(inferred, inferred, root.mark), root.mark
    return MapNode(entries, marks, root.mark), issues


def _map(entries: Mapping[str, Node], at: Node) -> MapNode:
    return MapNode(dict(entries), {key: node.mark for key, node in entries.items()}, at.mark)


def _run(entries: dict[str, Node], marks: dict[str, Mark], issues: list[Issue]) -> MapNode:
    first = min((entries[name] for name in entries.keys() & _SHORTCUTS), key=lambda n: n.mark)
    service = "ports" in entries
    kind = "service" if service else "job"
    run: dict[str, Node] = {"kind": Scalar(kind, kind, first.mark)}
    run |= {name: entries[name] for name in _ROOT_TO_RUN if name in entries}
    given = entries.get("container")
    if given is not None and not isinstance(given, MapNode):
        run["container"] = given
        return _map(run, first)
    container: dict[str, Node] = dict(given.entries) if given is not None else {}
    container |= {name: entries[name] for name in _ROOT_TO_CONTAINER if name in entries}
    if "cmd" in entries:
        container |= _shell(entries["cmd"], issues)
    if "resources" in entries:
        container["resources"] = _resources(entries["resources"])
    run["container"] = _map(container, given or first)
    return _map(run, first)


def _shell(cmd: Node, issues: list[Issue]) -> dict[str, Node]:
    lines = cmd.items if isinstance(cmd, ListNode) else (cmd,)
    texts = []
    for line in lines:
        if isinstance(line, Scalar):
            texts.append(line.text)
        else:
            issues.append(Issue(line.mark, "cmd", "wrong_type", "'cmd' is text or a list of text"))
    script = "\n".join(["set -e", *texts])
    command = tuple(Scalar(word, word, cmd.mark) for word in ("/bin/sh", "-c"))
    return {
        "command": ListNode(command, cmd.mark),
        "args": ListNode((Scalar(script, script, cmd.mark),), cmd.mark),
    }


def _resources(node: Node) -> Node:
    """Returns `{requests, limits}` for `{cpu: "1..2", gpu: 1}`; the full form is left as it is."""
    if not isinstance(node, MapNode) or node.entries.keys() & {"requests", "limits"}:
        return node
    requests, limits = dict[str, Node](), dict[str, Node]()
    for name, value in node.entries.items():
        resource = "nvidia.com/gpu" if name == "gpu" else name
        text = value.text if isinstance(value, Scalar) else ""
        low, _, high = text.partition("..")
        if isinstance(value, Scalar) and low:
            requests[resource] = Scalar(low, low, value.mark)
            limits[resource] = Scalar(high or low, high or low, value.mark)
        else:
            limits[resource] = value
    return _map({"requests": _map(requests, node), "limits": _map(limits, node)}, node)
