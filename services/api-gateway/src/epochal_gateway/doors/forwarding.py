"""What a proxy passes on and what it keeps to itself (RFC 9110, section 7.6). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

COOKIE: Final = "epochal_service"
TOKEN_PARAMETER: Final = "epochal_token"

_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Place:
    """The prefix under which the gateway shows a service, without a slash at its end."""

    prefix: str
    rewrite: bool

    def outward(self, location: str) -> str:
        """Return where a redirect of the service leads, as the client must ask for it."""
        if self.rewrite and location.startswith("/") and not location.startswith("//"):
            return self.prefix + location
        return location

    def inward(self, path: str) -> str:
        """Return the path that the service is asked for."""
        return (path.removeprefix(self.prefix) or "/") if self.rewrite else path


def passed_on(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return headers without those of one hop, whatever names them."""
    listed = list(headers)
    named = {
        word.strip().lower()
        for name, value in listed
        if name.lower() == "connection"
        for word in value.split(",")
    }
    return [
        (name, value)
        for name, value in listed
        if name.lower() not in _HOP_BY_HOP and name.lower() not in named
    ]


def request_headers(headers: Iterable[tuple[str, str]], place: Place, scheme: str) -> Headers:
    """Return what the service is sent: never the caller's right to the platform."""
    kept: Headers = []
    host = ""
    for name, value in passed_on(headers):
        match name.lower():
            case "authorization" | "host" | "x-forwarded-prefix":
                host = value if name.lower() == "host" else host
            case "cookie":
                if rest := without_ours(value):
                    kept.append((name, rest))
            case _:
                kept.append((name, value))
    return [
        *kept,
        ("x-forwarded-host", host),
        ("x-forwarded-proto", scheme),
        ("x-forwarded-prefix", place.prefix),
    ]


def response_headers(headers: Iterable[tuple[str, str]], place: Place) -> Headers:
    """Return what the client is sent: never a cookie that would take the place of ours."""
    kept: Headers = []
    for name, value in passed_on(headers):
        match name.lower():
            case "location":
                kept.append((name, place.outward(value)))
            case "set-cookie" if value.partition("=")[0].strip() == COOKIE:
                continue
            case _:
                kept.append((name, value))
    return kept


def without_ours(cookies: str) -> str:
    """Return a Cookie header without the gateway's own."""
    parts = [part for part in cookies.split(";") if part.partition("=")[0].strip() != COOKIE]
    return ";".join(parts).strip()


def our_cookie(cookies: str) -> str:
    """Return the secret in the gateway's own cookie, or nothing."""
    for part in cookies.split(";"):
        name, _, value = part.partition("=")
        if name.strip() == COOKIE:
            try:
                found = SimpleCookie(f"{COOKIE}={value.strip()}").get(COOKIE)
            except CookieError:
                return ""
            return found.value if found is not None else ""
    return ""


def token_in(query: str) -> tuple[str, str]:
    """Return the secret in a query, and the query without it."""
    pairs = parse_qsl(query, keep_blank_values=True)
    secret = next((value for name, value in pairs if name == TOKEN_PARAMETER), "")
    if not secret:
        return "", query
    return secret, urlencode([pair for pair in pairs if pair[0] != TOKEN_PARAMETER])


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that the page that asks is one of ours, or says nothing."""
    origin = headers.get("origin", "")
    return not origin or urlsplit(origin).netloc == headers.get("host", "")
