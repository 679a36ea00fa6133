"""Path templates of google.api.http: `/v1/{name=orgs/*/projects/*}:archive`.

`*` matches one segment without ':', `**` matches the rest. Source: google/api/http.proto, section
"Path template syntax".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from epochal_proto.method import AnyMethod
from google.api import annotations_pb2, http_pb2

#: A variable: the path of a field, and what it matches.
VARIABLE = re.compile(r"\{([a-z][a-z0-9_.]*)(?:=([^}]*))?\}")


@dataclass(frozen=True)
class Binding:
    """One REST route of an RPC.

    Attributes:
        method: the RPC.
        verb: GET, POST, PATCH or DELETE.
        template: as in proto/.
        pattern: matches a decoded path; its groups are the variables, dots written as "__".
        body: "*", a field, or empty.
        variables: field paths taken from the path.
    """

    method: AnyMethod
    verb: str
    template: str
    pattern: re.Pattern[str]
    body: str
    variables: tuple[str, ...]


def bindings(method: AnyMethod) -> Iterator[Binding]:
    """Yield the routes that a method declares; none for internal methods."""
    rule = method.descriptor.GetOptions().Extensions[annotations_pb2.http]
    for one in (rule, *rule.additional_bindings):
        verb = one.WhichOneof("pattern")
        if verb is not None:
            yield _binding(method, verb, one)


def _binding(method: AnyMethod, verb: str, rule: http_pb2.HttpRule) -> Binding:
    template: str = getattr(rule, verb)
    return Binding(
        method,
        verb.upper(),
        template,
        re.compile(_regex(template)),
        rule.body,
        tuple(match.group(1) for match in VARIABLE.finditer(template)),
    )


def _regex(template: str) -> str:
    parts: list[str] = []
    end = 0
    for match in VARIABLE.finditer(template):
        parts.append(re.escape(template[end : match.start()]))
        name = match.group(1).replace(".", "__")
        segments = (match.group(2) or "*").split("/")
        parts.append(f"(?P<{name}>{'/'.join(_segment(segment) for segment in segments)})")
        end = match.end()
    parts.append(re.escape(template[end:]))
    return "^" + "".join(parts) + "$"


def _segment(segment: str) -> str:
    return {"*": "[^/:]+", "**": ".+"}.get(segment, re.escape(segment))
