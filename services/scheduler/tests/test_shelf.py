"""Where specs find what they refer to."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from epochal_kernel.errors import InvalidArgument
from epochal_scheduler.projections.components import ComponentRow, component_key
from epochal_scheduler.working.shelf import Shelf

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass
class FakeStore:
    """Components of acme by name and tag."""

    texts: dict = field(default_factory=dict)
    presets: frozenset = frozenset()
    asked: list = field(default_factory=list)

    async def component(self, org, component, tag):
        self.asked.append((org, component, tag))
        text = self.texts.get(f"{component}:{tag}") if org == "acme" else None
        if text is None:
            return None
        preset = component in self.presets
        return ComponentRow(org, component, tag, text, "", preset, "", "users/a", 1, NOW)


HUB = b"kind: operation\nhubRef: %s\n"


async def library(store, *sources, urls=False, files=None):
    return await Shelf(store, urls).library(sources, files or {}, "acme")


async def test_a_component_is_found_by_name_with_and_without_tag_and_owner():
    store = FakeStore({"train:latest": b"kind: component", "train:2": b"kind: component"})
    for name in (b"train", b"acme/train", b"train:2", b"acme/train:2"):
        found = await library(store, HUB % name)
        assert found.components[name.decode()] == b"kind: component"


async def test_what_is_missing_or_of_others_is_left_out_and_asked_for_once():
    store = FakeStore({"train:latest": b"kind: component"})
    found = await library(store, HUB % b"other/train", HUB % b"gone", HUB % b"gone")
    assert found.components == {}
    assert store.asked == [("acme", "gone", "latest")]


async def test_a_preset_is_no_component_and_a_component_no_preset():
    store = FakeStore(
        {"calm:latest": b"isPreset: true", "train:latest": b"kind: component"}, frozenset({"calm"})
    )
    text = b"kind: operation\nhubRef: calm\npresets: [calm, train]\n"
    found = await library(store, text)
    assert found.components == {}
    assert found.presets == {"calm": b"isPreset: true"}


async def test_what_is_referred_to_refers_on_and_circles_end():
    store = FakeStore({"a:latest": HUB % b"b", "b:latest": HUB % b"a"})
    found = await library(store, HUB % b"a")
    assert found.components.keys() == {"a", "b"}


async def test_urls_are_not_fetched_unless_allowed_and_only_the_web_s():
    text = b"kind: operation\nurlRef: %s\n"
    with pytest.raises(InvalidArgument, match="EPOCHAL_SPEC_URLS"):
        await library(FakeStore(), text % b"https://example.org/c.yaml")
    for url in (b"file:///etc/passwd", b"http://127.0.0.1:1/none"):
        with pytest.raises(InvalidArgument, match="cannot be fetched"):
            await library(FakeStore(), text % url, urls=True)


def test_names_of_components_without_a_tag_mean_the_latest():
    name = "orgs/acme/components/train"
    assert component_key(name) == ("acme", "train", "latest")
    assert component_key(f"{name}/versions/2") == ("acme", "train", "2")
