"""What a spec refers to: components of the registry, files, URLs, saved presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from epochal_scheduler.spec.documents import parse_document
from epochal_scheduler.spec.nodes import ListNode, MapNode, Node, Scalar, node_at

BUILT_IN_HOOKS = frozenset({
    "notifier", "slack", "discord", "mattermost", "pagerduty", "teams", "email", "webhook",
    "hipchat",
})  # fmt: skip
"""Components of hooks that the platform runs itself: they send a message to a connection."""


@dataclass(frozen=True, slots=True)
class Library:
    """What was fetched for a spec before compiling it.

    Components are found by `hubRef` as written (`org/name:tag`, `name:tag`, `name`), by
    `path:FILE` and by `url:URL`. A `hubRef` without organisation is looked up in `organization`,
    one without tag has the tag `latest`.
    """

    components: Mapping[str, bytes] = field(default_factory=dict)
    presets: Mapping[str, bytes] = field(default_factory=dict)
    organization: str = ""

    def component(self, kind: str, name: str) -> bytes | None:
        """Returns the source of a component by the field that names it, such as `hubRef`."""
        if kind != "hubRef":
            return self.components.get(f"{kind.removesuffix('Ref')}:{name}")
        path, _, tag = name.partition(":")
        known = [name, f"{path}:{tag or 'latest'}"]
        if "/" not in path and self.organization:
            known += [f"{self.organization}/{at}" for at in known]
        if self.organization and path.startswith(self.organization + "/"):
            known += [at.removeprefix(self.organization + "/") for at in known]
        if not tag or tag == "latest":
            known += [at.removesuffix(":latest") for at in known]
        return next((self.components[at] for at in known if at in self.components), None)

    def names(self, kind: str) -> list[str]:
        """Returns the names of the components that a field could have named."""
        prefix = "" if kind == "hubRef" else kind.removesuffix("Ref") + ":"
        if not prefix:
            return [at for at in self.components if not at.startswith(("path:", "url:"))]
        return [at.removeprefix(prefix) for at in self.components if at.startswith(prefix)]


@dataclass(frozen=True, slots=True)
class References:
    """What must be fetched before a spec can be compiled."""

    hub: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()
    presets: frozenset[str] = frozenset()

    def __or__(self, other: References) -> References:
        return References(
            self.hub | other.hub,
            self.paths | other.paths,
            self.urls | other.urls,
            self.presets | other.presets,
        )

    def __bool__(self) -> bool:
        return bool(self.hub or self.paths or self.urls or self.presets)


def collect_references(sources: Sequence[bytes]) -> References:
    """Returns all that these sources refer to, one level deep.

    What was fetched may refer to more: call again on it, until nothing new comes. What cannot be
    fetched is left out of the library, and compiling says what that means: a missing component is
    an error, a missing hook a warning. Names with templates are not returned; compiling finds
    them in the library if they are there.

    Raises:
        SpecError: a source is no YAML, or breaks one of its bounds.
    """
    found = dict[str, set[str]](hubRef=set(), pathRef=set(), urlRef=set(), presets=set())
    for index, source in enumerate(sources):
        for kind, name in _references(parse_document(source, index), 0):
            if "{{" not in name:
                found[kind].add(name)
    hub, paths, urls, presets = (frozenset(names) for names in found.values())
    return References(hub, paths, urls, presets)


_MAX_NESTING = 30


def _references(document: Node | None, depth: int) -> Iterator[tuple[str, str]]:
    if not isinstance(document, MapNode) or depth > _MAX_NESTING:
        return
    yield from _named(document)
    for section in ("hooks", "build", ("matrix", "tuner")):
        path = (section,) if isinstance(section, str) else section
        for inner in _each(node_at(document, *path)):
            if isinstance(inner, Scalar) and section == "hooks":
                yield "hubRef", inner.text
            yield from _named(inner)
    yield from _references(node_at(document, "component"), depth + 1)
    for section in ("operations", "components"):
        for inner in _each(node_at(document, "run", section)):
            yield from _references(inner, depth + 1)


def _each(node: Node | None) -> tuple[Node, ...]:
    if isinstance(node, ListNode):
        return node.items
    return (node,) if node is not None else ()


def _named(node: Node) -> Iterator[tuple[str, str]]:
    if not isinstance(node, MapNode):
        return
    for kind, spelling in (("hubRef", "hub_ref"), ("pathRef", "path_ref"), ("urlRef", "url_ref")):
        for key in (kind, spelling):
            name = node.entries.get(key)
            if isinstance(name, Scalar) and isinstance(name.value, str):
                yield kind, name.value
    for preset in _each(node.entries.get("presets")):
        if isinstance(preset, Scalar) and isinstance(preset.value, str):
            yield "presets", preset.value
