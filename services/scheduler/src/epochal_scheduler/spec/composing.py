"""Many documents to one: references inlined, layers merged, patches applied.

The result is a flat operation: what a component says and what is laid over it are one mapping, and
every part still knows the place it came from. The order, from the bottom: the component (composed
itself), the operation's own fields, its flat fields, its `runPatch`; then saved presets; then the
files given after the first, each a layer of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from epochal_scheduler.spec.documents import MAX_NODES, parse_document
from epochal_scheduler.spec.issues import Issue, Mark, SpecError
from epochal_scheduler.spec.library import Library
from epochal_scheduler.spec.merging import STRATEGIES, patch
from epochal_scheduler.spec.nodes import (
    ListNode,
    MapNode,
    Node,
    Origins,
    Places,
    Scalar,
    node_at,
    text_at,
)
from epochal_scheduler.spec.schema.documents import Operation, Polyaxonfile
from epochal_scheduler.spec.schema.lookup import narrow, step
from epochal_scheduler.spec.schema.runtimes import DISTRIBUTED_ROLES
from epochal_scheduler.spec.shortcuts import SHORTCUTS, flat_run, full_form
from epochal_scheduler.spec.suggestions import did_you_mean

DOCUMENT_KINDS = ("component", "operation")
MAX_COMPOSED_NODES = 6 * MAX_NODES
MAX_REFERENCES = 20
REFERENCES = ("hubRef", "pathRef", "urlRef", "dagRef")
_REFERRING = ("matrix", "params", "component", *REFERENCES)
_LAYERING = frozenset({
    *REFERENCES, "component", "isPreset", "patchStrategy", "run", "runPatch", "kind", "version",
    "strictParams", *SHORTCUTS,
})  # fmt: skip
_RUN_KINDS = step((Operation,), "run")
# These say how an operation stands among others: what a component says of itself does not count.
STEP_FIELDS = (
    "name", "dependencies", "trigger", "conditions", "joins", "skipOnUpstreamSkip", "schedule",
)  # fmt: skip
Named = Mapping[str, MapNode]


@dataclass(slots=True)
class Composer:
    """Puts operations together; collects issues, and raises those that leave nothing to go on.

    `presets` are the names that the main operation's templated ones were found to mean.
    """

    library: Library
    issues: list[Issue] = field(default_factory=list)
    presets: Sequence[str] | None = None
    origins: Origins = field(default_factory=Origins)
    nodes: int = 0
    _parsed: dict[str, MapNode] = field(default_factory=dict)

    def compose_files(self, sources: Sequence[bytes]) -> Places:
        """Returns the operation that the sources say together; the first is the main one.

        Raises:
            SpecError: a text is no YAML, or a reference leads nowhere.
        """
        roots = [self._parse(source) for source in sources]
        main = self._document(roots[0])
        if _is_true(main.entries.get("isPreset")):
            message = "a preset does not run; give the file it is for first"
            self._fail(main.marks["isPreset"], "isPreset", "preset_alone", message)
        composed = self.compose(main, {}, ())
        layers = self._presets(composed, self.presets)
        for document in map(self._document, roots[1:]):
            # Once names with templates are known, they are those of all files together.
            layers += [*(self._presets(document) if self.presets is None else ()), document]
        for layer in layers:
            composed = self._layer(self._assert_layer(layer), composed)
        return Places(composed, self.origins)

    def compose(self, document: MapNode, components: Named, stack: tuple[str, ...]) -> MapNode:
        """Returns a document as a flat operation.

        Args:
            document: in full form.
            components: those a `dagRef` may name.
            stack: references on the way here.
        """
        base = self._base(document, components, stack)
        return self._layer(document, base)

    def compose_step(self, node: MapNode, components: Named) -> MapNode:
        """Returns an operation of a DAG as a flat operation."""
        document = full_form(node, self.issues, self.origins)
        composed = self.compose(document, components, ()).without(*STEP_FIELDS)
        for name in STEP_FIELDS:
            if name in document.entries:
                composed = composed.having(name, document.entries[name], document.marks[name])
        for preset in self._presets(composed):
            composed = self._layer(self._assert_layer(preset), composed)
        return composed

    def _parse(self, source: bytes, label: str = "") -> MapNode:
        """Returns the root of a text; of what has a label, the same each time it is used."""
        if label in self._parsed:
            return self._parsed[label]
        index = len(self.origins.roots)
        try:
            root = parse_document(source, index)
        except SpecError as error:
            where = f"in {label}: " if label else ""
            raise SpecError(
                [*self.issues]
                + [Issue(i.mark, i.field, i.rule, where + i.message) for i in error.issues]
            ) from error
        self.origins.roots.append(root)
        if label:
            self.origins.labels[index] = label
            self._parsed[label] = root
        return root

    def _document(self, root: MapNode) -> MapNode:
        """Returns a root in full form, with its kind known."""
        kind = root.entries.get("kind")
        if kind is None:
            inferred = "operation" if root.entries.keys() & set(_REFERRING) else "component"
            root = root.having("kind", Scalar(inferred, inferred, root.mark), root.mark)
        elif not isinstance(kind, Scalar) or kind.value not in DOCUMENT_KINDS:
            shown = kind.text if isinstance(kind, Scalar) else "a collection"
            message = f"no kind '{shown}'; {did_you_mean(shown, DOCUMENT_KINDS)}"
            self._fail(root.marks["kind"], "kind", "unknown_kind", message)
        return full_form(root, self.issues, self.origins)

    def _fail(self, mark: Mark, at: str, rule: str, message: str) -> NoReturn:
        raise SpecError([*self.issues, Issue(mark, at, rule, message)])

    def _base(self, document: MapNode, components: Named, stack: tuple[str, ...]) -> MapNode:
        empty = MapNode({}, {}, document.mark)
        inline = document.entries.get("component")
        if isinstance(inline, MapNode):
            return self.compose(inline, components, stack)
        if inline is not None and not _is_null(inline):
            message = "'component' must be a mapping of fields"
            self.issues.append(self._issue(document, "component", "wrong_type", message))
            return empty
        for kind in REFERENCES:
            name = text_at(document, kind)
            if name is not None:
                return self._referred(document, kind, name, components, stack)
        return empty

    def _referred(
        self, document: MapNode, kind: str, name: str, components: Named, stack: tuple[str, ...]
    ) -> MapNode:
        entry = f"{kind} {name}"
        if entry in stack or len(stack) >= MAX_REFERENCES:
            way = " -> ".join([*stack, entry])
            message = f"components refer to each other in a circle: {way}"
            raise SpecError(
                [*self.issues, self._issue(document, kind, "cyclic_reference", message)]
            )
        if kind == "dagRef":
            found = components.get(name)
            if found is None:
                hint = did_you_mean(name, components)
                why = f"no component of this DAG is named '{name}'; {hint}"
                if not components:
                    why = "only an operation of a DAG with 'components' has some to refer to"
                raise SpecError([*self.issues, self._unknown(document, kind, why.rstrip("; "))])
            return self.compose(found, components, (*stack, entry))
        source = self.library.component(kind, name)
        if source is None:
            raise SpecError([*self.issues, self._unknown(document, kind, self._absent(kind, name))])
        root = self._document(self._parse(source, f"component '{name}'"))
        return self.compose(root, {}, (*stack, entry))

    def _absent(self, kind: str, name: str) -> str:
        hint = did_you_mean(name, self.library.names(kind))
        where = {
            "hubRef": f"no component '{name}' is registered",
            "pathRef": f"the file '{name}' was not given",
            "urlRef": f"'{name}' was not fetched: URLs are read only where that is allowed",
        }[kind]
        return f"{where}; {hint or 'give the component inline'}"

    def _unknown(self, document: MapNode, kind: str, message: str) -> Issue:
        return self._issue(document, kind, "unknown_component", message)

    def _issue(self, document: MapNode, key: str, rule: str, message: str) -> Issue:
        return Places(document, self.origins).issue((key,), rule, message)

    def _assert_layer(self, document: MapNode) -> MapNode:
        for key in ("component", *REFERENCES):
            if key in document.entries:
                message = f"a layer has no '{key}': it is laid over one that has; remove it"
                self.issues.append(self._issue(document, key, "wrong_preset", message))
                document = document.without(key)
        return document

    def _presets(self, document: MapNode, known: Sequence[str] | None = None) -> list[MapNode]:
        """Returns the saved presets that a document names, in order."""
        nodes = document.entries.get("presets")
        items = nodes.items if isinstance(nodes, ListNode) else ()
        names = [item.text for item in items if isinstance(item, Scalar)]
        found = list[MapNode]()
        for name in names if known is None else known:
            source = self.library.presets.get(name)
            if source is not None:
                root = self._parse(source, f"preset '{name}'")
                root = full_form(root, self.issues, self.origins)
                found.append(root.without("presets", "name", "description"))
        return found

    def _layer(self, document: MapNode, base: MapNode) -> MapNode:
        """Returns the base with the document's own fields, flat fields and `runPatch` over it."""
        strategy = text_at(document, "patchStrategy") or "post_merge"
        if strategy not in STRATEGIES:
            hint = did_you_mean(strategy, STRATEGIES)
            message = f"'patchStrategy' cannot be '{strategy}'; {hint}"
            self.issues.append(self._issue(document, "patchStrategy", "unknown_value", message))
            strategy = "post_merge"
        merged = patch(base, document.without(*_LAYERING), strategy, (Polyaxonfile,))
        assert isinstance(merged, MapNode), "both are mappings"
        for key in ("version", "strictParams"):
            own = document.entries.get(key)
            if own is not None and (key not in base.entries or _is_true(own)):
                merged = merged.having(key, own, document.marks[key])
        merged = self._run(document, merged, strategy)
        kind = Scalar("operation", "operation", merged.mark)
        merged = MapNode(merged.entries, merged.marks, document.mark).having(
            "kind", kind, document.marks.get("kind", document.mark)
        )
        self._count(merged)
        return merged

    def _run(self, document: MapNode, merged: MapNode, strategy: str) -> MapNode:
        own = document.entries.get("run")
        if own is not None and not _is_null(own):
            before = merged.entries.get("run")
            run = own if before is None else patch(before, own, strategy, _RUN_KINDS)
            merged = merged.having("run", run, document.marks["run"])
        flat = flat_run(document, self.issues)
        if flat is not None:
            merged = self._patch_run(merged, flat, strategy)
        run_patch = document.entries.get("runPatch")
        if run_patch is None or _is_null(run_patch):
            return merged
        if not isinstance(run_patch, MapNode):
            message = "'runPatch' must be a mapping of fields of 'run'"
            self.issues.append(self._issue(document, "runPatch", "wrong_type", message))
            return merged
        if "run" not in merged.entries:
            message = "'runPatch' needs a 'run' to patch; give a component"
            self.issues.append(self._issue(document, "runPatch", "missing_field", message))
            return merged
        return self._patch_run(merged, run_patch, strategy)

    def _patch_run(self, merged: MapNode, change: MapNode, strategy: str) -> MapNode:
        run = merged.entries.get("run")
        if not isinstance(run, MapNode):
            kind = "service" if "ports" in change.entries else "job"
            made = change.having("kind", Scalar(kind, kind, change.mark), change.mark)
            return merged.having("run", made, change.mark)
        kind = text_at(run, "kind") or "job"
        spread = _spread(change, run, kind)
        change = full_form(spread, self.issues, self.origins, narrow(_RUN_KINDS, kind))
        patched = patch(run, change, strategy, narrow(_RUN_KINDS, kind))
        return merged.having("run", patched)

    def _count(self, document: MapNode) -> None:
        self.nodes += _size(document)
        if self.nodes > MAX_COMPOSED_NODES:
            message = f"components and patches make more than {MAX_COMPOSED_NODES} values"
            raise SpecError([*self.issues, Issue(document.mark, "", "too_many_nodes", message)])


def _spread(change: MapNode, run: MapNode, kind: str) -> MapNode:
    """Returns a patch of one process as a patch of every role that a distributed run has."""
    roles = DISTRIBUTED_ROLES.get(kind)
    if roles is None or not change.entries.keys() & {*SHORTCUTS, "replicas"}:
        return change
    one = MapNode(
        {key: node for key, node in change.entries.items() if key in _ROLE_FIELDS},
        {key: mark for key, mark in change.marks.items() if key in _ROLE_FIELDS},
        change.mark,
    )
    made = change.without(*_ROLE_FIELDS)
    for role in roles:
        there = run.entries.get(role)
        if not isinstance(there, MapNode):
            continue
        if role == "workers":
            each = MapNode(dict.fromkeys(there.entries, one), there.marks, change.mark)
            made = made.having(role, each, change.mark)
        else:
            made = made.having(role, one, change.mark)
    return made


_ROLE_FIELDS = (
    "container", "environment", "init", "connections", "sidecars", "volumes", "replicas",
)  # fmt: skip


def _size(node: Node) -> int:
    if isinstance(node, MapNode):
        return 1 + sum(_size(inner) for inner in node.entries.values()) + len(node.entries)
    if isinstance(node, ListNode):
        return 1 + sum(_size(inner) for inner in node.items)
    return 1


def _is_true(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.value is True


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


def inherit(step_node: MapNode, dag: MapNode) -> MapNode:
    """Returns an operation with environment, connections and volumes of its DAG under its own."""
    run = node_at(step_node, "run")
    shared = MapNode({}, {}, dag.mark)
    for name in ("environment", "connections", "volumes"):
        if name in dag.entries:
            shared = shared.having(name, dag.entries[name], dag.marks[name])
    if not shared.entries or not isinstance(run, MapNode):
        return step_node
    kind = text_at(run, "kind") or "job"
    merged = patch(run, _spread(shared, run, kind), "pre_merge", narrow(_RUN_KINDS, kind))
    return step_node.having("run", merged)
