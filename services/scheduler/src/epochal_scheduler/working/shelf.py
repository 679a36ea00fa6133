"""Fetches what specs refer to: registered components and presets, the caller's files, URLs."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.projections.store import Progress

from epochal_scheduler.spec.library import BUILT_IN_HOOKS, Library, collect_references
from epochal_scheduler.store import SchedulerStore

MAX_ROUNDS = 10
MAX_FETCHED = 200
URL_S = 10.0
MAX_URL_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where specs find what they refer to.

    Attributes:
        store: has what is registered.
        urls_allowed: whether URLs may be fetched.
        progress: how far the store is; without it, what it has is taken.
    """

    store: SchedulerStore
    urls_allowed: bool = False
    progress: Progress | None = None

    async def library(
        self, sources: Sequence[bytes], files: Mapping[str, bytes], org: str
    ) -> Library:
        """Returns all that the sources refer to, and what that refers to.

        What is not there is left out: compiling says where it was named.
        A stage or a component that was given before this is called is found as it was given.

        Raises:
            InvalidArgument: a URL is named, and fetching is off or failed; or too much is named.
            SpecError: a text is no YAML.
        """
        components: dict[str, bytes] = {f"path:{name}": text for name, text in files.items()}
        presets: dict[str, bytes] = {}
        missing: set[str] = set()
        without: set[str] = set()
        texts = [*sources, *files.values()]
        for _ in range(MAX_ROUNDS):
            wanted = collect_references(texts)
            if (wanted.hub or wanted.presets) and self.progress is not None:
                await self.progress.wait_for(await self.store.head())
            texts = []
            for name in sorted(wanted.hub - components.keys() - missing):
                text = await self._component(name, org)
                _keep(name, text, components, missing, texts)
            for name in sorted(wanted.presets - presets.keys() - without):
                text = await self._preset(name, org)
                _keep(name, text, presets, without, texts)
            for url in sorted(wanted.urls):
                if f"url:{url}" not in components:
                    components[f"url:{url}"] = await self._url(url)
                    texts.append(components[f"url:{url}"])
            if not texts:
                break
            if len(components) + len(presets) > MAX_FETCHED:
                message = f"the spec refers to more than {MAX_FETCHED} components"
                raise InvalidArgument(message, violations=[Violation("spec", "too_many", message)])
        return Library(components, presets, org)

    async def _component(self, name: str, org: str) -> bytes | None:
        path, _, tag = name.partition(":")
        path, _, stage = path.partition("@")
        owner, _, component = path.rpartition("/")
        if owner not in ("", org):
            return None  # other organisations' components are theirs
        if stage and not tag:
            held = await self.store.component_stages(org, [component])
            tag = next((one for (_, one), stages in held.items() if stage in stages), "")
            if not tag:
                return None
        row = await self.store.component(org, component, tag or "latest")
        if row is None and component in BUILT_IN_HOOKS:
            return None
        return row.spec if row is not None and not row.is_preset else None

    async def _preset(self, name: str, org: str) -> bytes | None:
        path, _, tag = name.partition(":")
        row = await self.store.component(org, path, tag or "latest")
        return row.spec if row is not None and row.is_preset else None

    async def _url(self, url: str) -> bytes:
        if not self.urls_allowed:
            message = (
                f"'{url}' is not fetched: urlRef is off here; register the component and use "
                "hubRef, or have the platform's operator set EPOCHAL_SPEC_URLS=true"
            )
            raise InvalidArgument(message, violations=[Violation("urlRef", "not_allowed", message)])
        return await asyncio.to_thread(_fetch, url)


def _keep(
    name: str, text: bytes | None, into: dict[str, bytes], missing: set[str], texts: list[bytes]
) -> None:
    if text is None:
        missing.add(name)
    else:
        into[name] = text
        texts.append(text)


def _fetch(url: str) -> bytes:
    try:
        if not url.startswith(("http://", "https://")):
            raise ValueError("only http and https are fetched")
        with urllib.request.urlopen(url, timeout=URL_S) as answer:
            text: bytes = answer.read(MAX_URL_BYTES + 1)
    except (OSError, ValueError, urllib.error.URLError) as error:
        message = f"'{url}' cannot be fetched: {error}"
        raise InvalidArgument(
            message, violations=[Violation("urlRef", "not_fetched", message)]
        ) from error
    if len(text) > MAX_URL_BYTES:
        message = f"'{url}' has more than {MAX_URL_BYTES} bytes"
        raise InvalidArgument(message, violations=[Violation("urlRef", "too_large", message)])
    return text
