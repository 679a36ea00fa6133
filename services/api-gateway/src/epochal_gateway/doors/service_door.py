"""The door to services of runs: requests passed on and answers passed back, both streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from http.cookies import SimpleCookie

import httpx
from epochal_kernel.errors import EpochalError, Unavailable
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from epochal_gateway.doors.forwarding import (
    COOKIE,
    request_headers,
    response_headers,
    token_in,
)
from epochal_gateway.doors.problems import problem_response
from epochal_gateway.doors.service_access import PREFIX, ServiceAccess, Target

ROUTE = PREFIX + "/orgs/{org}/projects/{project}/runs/{run}/{path:path}"
BARE_ROUTE = PREFIX + "/orgs/{org}/projects/{project}/runs/{run}"
CONNECT_S = 5.0
MAX_CONNECTIONS = 1_000
COOKIE_S = 12 * 3600


class ServiceDoor:
    """Passes requests on to services."""

    def __init__(self, access: ServiceAccess) -> None:
        self._access = access
        # A service may think as long as it likes; only reaching it is bounded.
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=50),
            follow_redirects=False,
            trust_env=False,
            # Cookies belong to whoever sends them: the door keeps none, for nobody.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def __call__(self, request: Request) -> Response:
        """Serve one request; what the gateway itself has to say is problem JSON."""
        try:
            return await self._serve(request)
        except EpochalError as error:
            response = problem_response(error)
            if error.reason == "SERVICE_UNREACHABLE":
                response.status_code = 502
            return response

    async def close(self) -> None:
        """Close the connections to services."""
        await self._client.aclose()

    async def _serve(self, request: Request) -> Response:
        run = run_of(request.path_params)
        secret, query = token_in(request.scope["query_string"].decode("latin-1"))
        self._access.admit(request.headers, run, secret)
        if secret and request.method in ("GET", "HEAD"):
            return _remember(request, run, secret, query)
        if "path" not in request.path_params:
            return RedirectResponse(f"{PREFIX}/{run}/", 307)
        target = await self._access.find(run)
        await self._access.used(run)
        answer = await self._ask(request, target, query)
        return _passed_back(answer, target, self._pieces(answer, run))

    async def _ask(self, request: Request, target: Target, query: str) -> httpx.Response:
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        path = target.place.inward(raw.decode("latin-1").partition("?")[0])
        url = f"http://{target.host}:{target.port}{path}" + (f"?{query}" if query else "")
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        outgoing = self._client.build_request(
            request.method,
            url,
            headers=request_headers(request.headers.items(), target.place, request.url.scheme),
            content=_body(request) if has_body else None,
        )
        try:
            return await self._client.send(outgoing, stream=True)
        except httpx.HTTPError as error:
            self._access.forget(target.run)
            raise Unavailable(
                f"the service of {target.run} does not answer on port {target.port}: {error!r}",
                reason="SERVICE_UNREACHABLE",
            ) from error

    async def _pieces(self, answer: httpx.Response, run: str) -> AsyncIterator[bytes]:
        try:
            async for piece in answer.aiter_raw():
                await self._access.used(run)
                yield piece
        finally:
            await answer.aclose()


def run_of(parts: dict[str, str]) -> str:
    """Return the run's name from the parts of a route."""
    return f"orgs/{parts['org']}/projects/{parts['project']}/runs/{parts['run']}"


def _passed_back(answer: httpx.Response, target: Target, pieces: AsyncIterator[bytes]) -> Response:
    response = StreamingResponse(pieces, answer.status_code)
    response.raw_headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in response_headers(answer.headers.multi_items(), target.place)
    ]
    return response


def _remember(request: Request, run: str, secret: str, query: str) -> Response:
    """Keep a secret that came in the URL in a cookie for this service, and out of the URL."""
    cookie: SimpleCookie = SimpleCookie()
    cookie[COOKIE] = secret
    cookie[COOKIE].update({"path": f"{PREFIX}/{run}", "max-age": str(COOKIE_S), "samesite": "Lax"})
    cookie[COOKIE]["httponly"] = True
    if request.url.scheme == "https":
        cookie[COOKIE]["secure"] = True
    where = request.url.path + (f"?{query}" if query else "")
    response = RedirectResponse(where, 303, {"cache-control": "no-store"})
    response.headers["set-cookie"] = cookie[COOKIE].OutputString()
    return response


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except ClientDisconnect as error:
        raise httpx.WriteError("the client went away") from error
