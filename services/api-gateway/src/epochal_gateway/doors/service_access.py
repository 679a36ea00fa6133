"""Who may use a service, and where it is: the same for requests and for WebSockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import structlog
from epochal_kernel.bus import Bus
from epochal_kernel.clock import Clock
from epochal_kernel.errors import EpochalError, NotFound, PermissionDenied, Unavailable
from epochal_kernel.log.ledger import Ledger

from epochal_gateway.domain.served import Served, ServedAggregate
from epochal_gateway.doors.dispatch import Caller, Dispatcher
from epochal_gateway.doors.forwarding import Place, our_cookie, same_origin
from epochal_gateway.identity.authorization import Authorizer

PREFIX = "/services/v1"
FRESH_S = 1.0
ACTIVITY_S = 10.0
KEPT_RUNS = 10_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """A service that answers."""

    run: str
    host: str
    port: int
    place: Place


class ServiceAccess:
    """Finds services for callers who may use them, and tells agents that they are used."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        authorizer: Authorizer,
        ledger: Ledger,
        bus: Bus,
        clock: Clock,
        elsewhere: Callable[[UUID], Awaitable[bool]] | None = None,
    ) -> None:
        """Prepare.

        Args:
            dispatcher: identifies callers.
            authorizer: checks their rights.
            ledger: has the runs.
            bus: reaches agents.
            clock: for what is remembered a moment.
            elsewhere: whether a run is of the history that a fork was copied with; its service
                answers for the platform that was forked, and is none of ours.
        """
        self._elsewhere = elsewhere
        self._dispatcher = dispatcher
        self._authorizer = authorizer
        self._ledger = ledger
        self._bus = bus
        self._clock = clock
        self._aggregate = ServedAggregate()
        self._known: dict[UUID, tuple[float, Served]] = {}
        self._told: dict[str, float] = {}

    def admit(self, headers: Mapping[str, str], run: str, secret: str = "") -> None:
        """Check that a caller may use the service of a run.

        The right comes with the Authorization header as at every door; or, for browsers, in the
        door's cookie, and then only from pages of this gateway.

        Raises:
            Unauthenticated, ResourceExhausted, PermissionDenied, NotFound.
        """
        authorization = headers.get("authorization", "")
        if secret:
            authorization = f"Bearer {secret}"
        elif not authorization and (kept := our_cookie(headers.get("cookie", ""))):
            if not same_origin(headers):
                raise PermissionDenied("another site's page may not use this service")
            authorization = f"Bearer {kept}"
        identity = self._dispatcher.identify(Caller(authorization))
        self._authorizer.check(identity, "run.read", run, write=False)

    async def find(self, run: str) -> Target:
        """Return where the service of a run answers.

        Raises:
            NotFound: there is no such run, or it is no service.
            Unavailable: it does not answer now; says why.
        """
        served = await self._served(run)
        # The right was checked for the project that the caller named: the run must be of that one.
        if served.name != run:
            raise NotFound(f"there is no {run}", resource=run)
        if not served.is_service:
            raise NotFound(f"{run} is no service", resource=run)
        if not served.host or not served.ports:
            raise Unavailable(
                f"the service of {run} is not ready: {served.reason}", reason="SERVICE_NOT_READY"
            )
        if self._elsewhere is not None and await self._elsewhere(_run_id(run)):
            raise Unavailable(
                f"the service of {run} is of the platform that this one is a fork of",
                reason="RUNS_ELSEWHERE",
            )
        place = Place(f"{PREFIX}/{run}", served.rewrite_path)
        return Target(run, served.host, served.ports[0], place)

    async def used(self, run: str) -> None:
        """Tell the agent of a run that its service is used; at most once in a while."""
        now = self._clock.monotonic()
        if now - self._told.get(run, -ACTIVITY_S) < ACTIVITY_S:
            return
        if len(self._told) >= KEPT_RUNS:
            self._told.clear()
        self._told[run] = now
        try:
            await self._bus.client.publish(f"activity.v1.{run.rpartition('/')[2]}", b"")
        except EpochalError as error:
            _log.debug("services.activity_not_told", run=run, error=error.message)

    def forget(self, run: str) -> None:
        """Look again: the service did not answer where it was."""
        self._known.pop(_run_id(run), None)

    async def _served(self, run: str) -> Served:
        """Return what the log says of a run, at most a second old."""
        run_id, now = _run_id(run), self._clock.monotonic()
        at, served = self._known.get(run_id, (-FRESH_S, Served()))
        if now - at >= FRESH_S:
            served, _ = await self._ledger.load(self._aggregate, run_id)
            if len(self._known) >= KEPT_RUNS:
                self._known.clear()
            self._known[run_id] = (now, served)
        return served


def _run_id(run: str) -> UUID:
    try:
        return UUID(run.rpartition("/")[2])
    except ValueError:
        raise NotFound(f"{run} is no run", resource=run) from None
