"""Resource names to stream ids and back: one stream per organisation, project or token."""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

#: Streams of named resources have UUIDs derived from the name, so that a name is taken once.
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:epochal:access")


def stream_of(name: str) -> UUID:
    """Return the stream id of an organisation or project."""
    return uuid5(_NAMESPACE, name)


def token_stream(name: str) -> UUID:
    """Return the stream id of "orgs/acme/tokens/UUID"."""
    return UUID(name.rsplit("/", 1)[-1])


def org_id(resource: str) -> str:
    """Return "acme" of "orgs/acme/...", or an empty string."""
    parts = resource.split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "orgs" else ""
