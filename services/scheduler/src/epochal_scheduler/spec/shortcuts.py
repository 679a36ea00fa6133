"""Short forms, rewritten to the full form.

The rewriting works on nodes, so that errors in the full form still point at the lines of the short
one: spelling (`max_retries`), single values for lists, bare repositories and connections in `init`,
`from:to` mounts, variables as a mapping, and the flat root form of Polyaxon 2.18.
"""

from __future__ import annotations

import re

from epochal_scheduler.spec.issues import Issue, Mark
from epochal_scheduler.spec.nodes import ListNode, MapNode, Node, Origins, Places, Scalar
from epochal_scheduler.spec.schema.documents import Hook, Polyaxonfile
from epochal_scheduler.spec.schema.initializing import Init, Mount
from epochal_scheduler.spec.schema.io import Param
from epochal_scheduler.spec.schema.lookup import Kinds, models, narrow, step, table
from epochal_scheduler.spec.schema.running import Container, EnvVar

_LISTS = frozenset({
    "tags", "presets", "dependencies", "connections", "ports", "approvers", "init", "operations",
})  # fmt: skip
_GIT_URL = re.compile(r"(https?|ssh|git|file)://.+|git@.+:.+|.+\.git")
_PARAM_FIELDS = frozenset(table(Param))


def full_form(
    root: MapNode, issues: list[Issue], origins: Origins, kinds: Kinds = (Polyaxonfile,)
) -> MapNode:
    """Returns a document, or a part of one, with every short form but the flat one written out."""
    made = _Rewriter(issues, origins).rewrite(root, kinds)
    assert isinstance(made, MapNode), "a mapping stays one"
    return made


class _Rewriter:
    """Walks a document beside its grammar."""

    def __init__(self, issues: list[Issue], origins: Origins) -> None:
        self._issues, self._origins = issues, origins

    def rewrite(self, node: Node, kinds: Kinds) -> Node:
        known = models(kinds)
        if known and isinstance(node, Scalar) and node.value is not None:
            node = _expand_scalar(node, known)
        if isinstance(node, MapNode):
            return self._mapping(node, kinds)
        if isinstance(node, ListNode):
            inner = step(kinds, 0)
            return ListNode(tuple(self.rewrite(item, inner) for item in node.items), node.mark)
        return node

    def _mapping(self, node: MapNode, kinds: Kinds) -> Node:
        known = models(kinds)
        kind = node.entries.get("kind")
        if isinstance(kind, Scalar) and len(known) > 1:
            known = models(narrow(kinds, kind.text))
        if Param in known and not node.entries.keys() & _PARAM_FIELDS and node.entries:
            return MapNode({"value": node}, {"value": node.mark}, node.mark)
        names = {old: new for model in known for old, (new, _) in table(model).items()}
        entries, marks = dict[str, Node](), dict[str, Mark]()
        for key, value in node.entries.items():
            name = names.get(key, key)
            if name in entries:
                message = f"'{name}' is here twice, as '{key}' too; keep one"
                place = Places(node, self._origins)
                self._issues.append(place.issue((key,), "duplicate_key", message))
                continue
            inner = step(tuple(known) or kinds, key)
            value = self._as_list(name, value, inner) if known else value
            if Container in known and name == "env":
                value = _variables(value)
            entries[name], marks[name] = self.rewrite(value, inner), node.marks[key]
        return MapNode(entries, marks, node.mark)

    @staticmethod
    def _as_list(name: str, node: Node, kinds: Kinds) -> Node:
        """Returns a list of one for a single value where a list of names is meant."""
        single = isinstance(node, Scalar) and node.value is not None and "{{" not in node.text
        if name in _LISTS and (single or (name == "init" and isinstance(node, MapNode))):
            return ListNode((node,), node.mark)
        if name == "mount" and (single or isinstance(node, MapNode)) and kinds:
            return ListNode((node,), node.mark)
        return node


def _expand_scalar(node: Scalar, known: list[type]) -> Node:
    if Param in known:
        return _one("value", node)
    if Hook in known:
        return _one("hubRef", node)
    if Init in known and isinstance(node.value, str) and "{{" not in node.text:
        if _GIT_URL.fullmatch(node.value):
            return _one("git", _one("url", node))
        return _one("connection", node)
    if Mount in known and isinstance(node.value, str):
        source, colon, target = node.value.partition(":")
        entries: dict[str, Node] = {"from": Scalar(source, source, node.mark)}
        if colon and target:
            entries["to"] = Scalar(target, target, node.mark)
        return MapNode(entries, dict.fromkeys(entries, node.mark), node.mark)
    return node


def _one(key: str, node: Node) -> MapNode:
    return MapNode({key: node}, {key: node.mark}, node.mark)


def _variables(node: Node) -> Node:
    """Returns `[{name: A, value: b}]` for `{A: b}`."""
    if not isinstance(node, MapNode) or node.entries.keys() & table(EnvVar).keys():
        return node
    items = [
        MapNode(
            {"name": Scalar(name, name, node.marks[name]), "value": value},
            {"name": node.marks[name], "value": node.marks[name]},
            node.marks[name],
        )
        for name, value in node.entries.items()
    ]
    return ListNode(tuple(items), node.mark)


_RUN_FIELDS = ("environment", "init", "connections", "sidecars", "volumes", "ports")
SHORTCUTS = frozenset({*_RUN_FIELDS, "container", "cmd", "env", "resources"})
"""Fields of the flat form."""


def flat_run(root: MapNode, issues: list[Issue]) -> MapNode | None:
    """Returns the part of `run` that the flat fields of a document say; None without any."""
    used = sorted(root.entries.keys() & SHORTCUTS)
    if not used:
        return None
    first = min((root.marks[name] for name in used), key=lambda mark: (mark.line, mark.column))
    run = MapNode({}, {}, first)
    for name in _RUN_FIELDS:
        if name in root.entries:
            run = run.having(name, root.entries[name], root.marks[name])
    given = root.entries.get("container")
    if given is not None and not isinstance(given, MapNode):
        return run.having("container", given, root.marks["container"])
    container = given if given is not None else MapNode({}, {}, first)
    if "env" in root.entries:
        container = container.having("env", _variables(root.entries["env"]), root.marks["env"])
    if "cmd" in root.entries:
        for name, words in _shell(root.entries["cmd"], issues).items():
            container = container.having(name, words, root.marks["cmd"])
    if "resources" in root.entries:
        lowered = _resources(root.entries["resources"], issues)
        container = container.having("resources", lowered, root.marks["resources"])
    if container.entries:
        run = run.having("container", container, root.marks.get("container", first))
    return run


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


def _resources(node: Node, issues: list[Issue]) -> Node:
    """Returns `{requests, limits}` for `{cpu: "1..2", gpu: 1}`; the full form is left as it is.

    `1..2` is request and limit, `1..` and `1` only a request, `..2` only a limit; counts such as
    GPUs are both, since Kubernetes wants them equal.
    """
    if not isinstance(node, MapNode) or node.entries.keys() & {"requests", "limits"}:
        return node
    requests, limits = MapNode({}, {}, node.mark), MapNode({}, {}, node.mark)
    for name, value in node.entries.items():
        resource = "nvidia.com/gpu" if name == "gpu" else name
        text = value.text.strip() if isinstance(value, Scalar) else ""
        low, dots, high = (part.strip() for part in text.partition(".."))
        if not low and not high:
            message = f"'{name}' needs a number, or a range such as 1..2"
            issues.append(Issue(value.mark, f"resources.{name}", "invalid_value", message))
            continue
        if not dots and name not in ("cpu", "memory"):
            high = low
        if low:
            requests = requests.having(resource, Scalar(low, low, value.mark), node.marks[name])
        if high:
            limits = limits.having(resource, Scalar(high, high, value.mark), node.marks[name])
    made = MapNode({}, {}, node.mark)
    for section, content in (("requests", requests), ("limits", limits)):
        if content.entries:
            made = made.having(section, content)
    return made
