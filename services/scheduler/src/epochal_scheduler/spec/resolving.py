"""A composed operation to a complete one: its DAG's operations, hooks and tuner composed too.

After this nothing refers to anything outside: what a run is pinned to has all its parts in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from epochal_scheduler.spec.composing import Composer, inherit
from epochal_scheduler.spec.issues import Issue, SpecError
from epochal_scheduler.spec.library import BUILT_IN_HOOKS
from epochal_scheduler.spec.nodes import (
    ListNode,
    MapNode,
    Node,
    Places,
    Scalar,
    node_at,
    text_at,
)
from epochal_scheduler.spec.shortcuts import full_form
from epochal_scheduler.spec.suggestions import did_you_mean

MAX_PIPELINES = 10
# Params and conditions of a hook are of the run it belongs to: filled in when that has ended.
_OF_HOOK = ("presets", "queue", "namespace")
_OF_TUNER = (*_OF_HOOK, "params")


class Resolver:
    """Completes operations; collects issues and warnings."""

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self.warnings = list[Issue]()

    def resolve(self, operation: MapNode, depth: int = 0) -> MapNode:
        """Returns an operation with everything it refers to in it.

        Raises:
            SpecError: DAGs or hooks are nested too deep, or a reference leads nowhere.
        """
        if depth > MAX_PIPELINES:
            message = (
                f"more than {MAX_PIPELINES} DAGs or hooks within each other, maybe in a circle"
            )
            places = Places(operation, self._composer.origins)
            raise SpecError([*self._composer.issues, places.issue((), "too_deep", message)])
        for name in ("tuner", "template"):
            self._assert_absent(operation, name)
        resolved = self._hooks(operation, depth)
        resolved = self._tuner(resolved, depth)
        run = resolved.entries.get("run")
        if isinstance(run, MapNode) and text_at(run, "kind") == "dag":
            resolved = resolved.having("run", self._dag(run, depth))
        return resolved

    def _assert_absent(self, operation: MapNode, name: str) -> None:
        """Refuses what only resolving itself may attach."""
        places = Places(operation, self._composer.origins)
        if name == "tuner" and name in operation.entries:
            message = "there is no field 'tuner' here; it belongs under 'matrix'"
            self._composer.issues.append(places.issue((name,), "unknown_field", message))
        if name == "template":
            hooks = operation.entries.get("hooks")
            for index, hook in enumerate(hooks.items if isinstance(hooks, ListNode) else ()):
                if isinstance(hook, MapNode) and name in hook.entries:
                    message = "there is no field 'template' in a hook; remove it"
                    path = ("hooks", index, name)
                    self._composer.issues.append(places.issue(path, "unknown_field", message))

    def _dag(self, run: MapNode, depth: int) -> MapNode:
        components = dict(self._components(run))
        operations = run.entries.get("operations")
        if not isinstance(operations, ListNode):
            return run
        made = list[Node]()
        for node in operations.items:
            if isinstance(node, MapNode):
                step = inherit(self._composer.compose_step(node, components), run)
                made.append(self.resolve(step, depth + 1))
            else:
                made.append(node)  # validating says that it is none
        return run.having("operations", ListNode(tuple(made), operations.mark))

    def _components(self, run: MapNode) -> Iterator[tuple[str, MapNode]]:
        nodes = run.entries.get("components")
        seen = set[str]()
        for node in nodes.items if isinstance(nodes, ListNode) else ():
            if not isinstance(node, MapNode):
                continue
            name = text_at(node, "name")
            places = Places(node, self._composer.origins)
            if name is None:
                message = "a component of a DAG needs a name, to be referred to"
                self._composer.issues.append(places.issue(("name",), "missing_field", message))
            elif name in seen:
                message = f"two components of this DAG are named '{name}'; names differ"
                self._composer.issues.append(places.issue(("name",), "duplicate_name", message))
            else:
                seen.add(name)
                yield name, full_form(node, self._composer.issues, self._composer.origins)

    def _hooks(self, operation: MapNode, depth: int) -> MapNode:
        hooks = operation.entries.get("hooks")
        if not isinstance(hooks, ListNode):
            return operation
        made = list[Node]()
        for index, hook in enumerate(hooks.items):
            template = self._hook_template(operation, index, hook, depth)
            if template is not None and isinstance(hook, MapNode):
                hook = hook.having("template", template, hook.mark)
            made.append(hook)
        return operation.having("hooks", ListNode(tuple(made), hooks.mark))

    def _hook_template(
        self, operation: MapNode, index: int, hook: Node, depth: int
    ) -> MapNode | None:
        name = text_at(hook, "hubRef")
        if name is None or not isinstance(hook, MapNode):
            return None
        if self._composer.library.component("hubRef", name) is not None:
            return self._referred(hook, name, _OF_HOOK, depth)
        if name.partition(":")[0] in BUILT_IN_HOOKS:
            return _notifier(hook, name)
        self._warn(operation, ("hooks", index, "hubRef"), name, "the hook will not run")
        return None

    def _tuner(self, operation: MapNode, depth: int) -> MapNode:
        tuner = node_at(operation, "matrix", "tuner")
        name = text_at(tuner, "hubRef")
        if name is None or not isinstance(tuner, MapNode):
            return operation
        if self._composer.library.component("hubRef", name) is None:
            why = "the platform's own search is used"
            if text_at(operation, "matrix", "kind") == "iterative":
                why = "an iterative sweep cannot go on without it"
            self._warn(operation, ("matrix", "tuner", "hubRef"), name, why)
            return operation
        template = self._referred(tuner, name, _OF_TUNER, depth)
        return operation.having("tuner", template, tuner.mark)

    def _referred(
        self, part: MapNode, name: str, handed_on: tuple[str, ...], depth: int
    ) -> MapNode:
        """Returns the operation that a hook or tuner stands for."""
        document = MapNode({}, {}, part.mark)
        kind = Scalar("operation", "operation", part.mark)
        document = document.having("kind", kind).having("hubRef", part.entries["hubRef"])
        document = document.having("name", Scalar(name, name, part.mark))
        for key in handed_on:
            if key in part.entries:
                document = document.having(key, part.entries[key], part.marks[key])
        composed = self._composer.compose_step(document, {})
        return self.resolve(composed.without("hooks"), depth + 1)

    def _warn(
        self, operation: MapNode, path: tuple[str | int, ...], name: str, effect: str
    ) -> None:
        hint = did_you_mean(name, self._composer.library.names("hubRef"))
        message = f"no component '{name}' is registered: {effect}; {hint}".rstrip("; ")
        places = Places(operation, self._composer.origins)
        self.warnings.append(places.issue(path, "unknown_component", message))


def _notifier(hook: MapNode, name: str) -> MapNode:
    """Returns the operation that sends a message: the platform runs it itself."""
    run = MapNode({}, {}, hook.mark).having("kind", Scalar("notifier", "notifier", hook.mark))
    connection = hook.entries.get("connection")
    if connection is not None:
        run = run.having("connections", ListNode((connection,), hook.mark))
    made = MapNode({}, {}, hook.mark).having("kind", Scalar("operation", "operation", hook.mark))
    made = made.having("name", Scalar(name, name, hook.mark)).having("run", run)
    for key in ("queue", "namespace"):
        if key in hook.entries:
            made = made.having(key, hook.entries[key], hook.marks[key])
    return made
