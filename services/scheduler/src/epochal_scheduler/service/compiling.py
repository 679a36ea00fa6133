"""Specs as callers give them, compiled with all that they refer to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, ResourceExhausted, Violation
from pydantic import JsonValue

from epochal_scheduler.domain.queueing.board import Board
from epochal_scheduler.domain.queueing.limits import QueueKey
from epochal_scheduler.spec.compiled import CompiledOperation
from epochal_scheduler.spec.compiling import Reading
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.values import from_value
from epochal_scheduler.working.resolving import Resolver
from epochal_scheduler.working.shelf import Shelf

LARGE_SPEC_BYTES = 8 * 1024
MAX_SOURCES_BYTES = 1024 * 1024
# What fits a message of the bus, with the rest of the work item.
MAX_COMPILED_BYTES = 900_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SpecCompiler:
    """Compiles what callers send."""

    shelf: Shelf
    resolver: Resolver

    async def compile(
        self,
        sources: Sequence[bytes],
        params: Mapping[str, pb.Value],
        scope: RunScope,
        files: Mapping[str, bytes] | None = None,
    ) -> tuple[CompiledOperation, str]:
        """Compiles one spec from its files; returns it, and the operation that it pins as JSON.

        Args:
            sources: texts; later ones are laid over earlier ones.
            params: values that win over those in the files.
            scope: the run it is compiled for.
            files: texts for `pathRef`.

        Raises:
            SpecError: the spec is wrong.
            InvalidArgument: it is too large.
            Unavailable: what it refers to cannot be read.
        """
        size = sum(map(len, sources)) + sum(map(len, (files or {}).values()))
        if size > MAX_SOURCES_BYTES:
            message = f"the files have {size} bytes together, more than {MAX_SOURCES_BYTES}"
            raise InvalidArgument(message, violations=[Violation("spec", "too_large", message)])
        overrides = {name: from_value(value) for name, value in params.items()}
        library = await self.shelf.library(sources, files or {}, scope.org)
        reading = await _worked(size, lambda: Reading(sources, library))
        references, joins = reading.references(overrides)
        resolved: dict[str, JsonValue] = {}
        project = scope.run_name.partition("/runs/")[0]
        if references:
            resolved |= await self.resolver.references(references, project)
        if joins:
            resolved |= await self.resolver.joins(joins, scope, overrides)
        compiled = await _worked(size, lambda: reading.compile(overrides, scope, resolved))
        return bounded(compiled), reading.pinned()


async def _worked(size: int, work: Callable[[], T]) -> T:
    """Does what takes long for a large spec in a thread, so that other calls are answered."""
    return work() if size < LARGE_SPEC_BYTES else await asyncio.to_thread(work)


def bounded(compiled: CompiledOperation) -> CompiledOperation:
    """Returns the operation, unless it is too large for what carries it.

    Raises:
        InvalidArgument: it is.
    """
    size = len(compiled.canonical_json.encode())
    if size > MAX_COMPILED_BYTES:
        message = f"the compiled operation has {size} bytes, more than {MAX_COMPILED_BYTES}"
        raise InvalidArgument(message, violations=[Violation("spec", "too_large", message)])
    return compiled


def assert_room(board: Board, org: str, queue: str) -> None:
    """Refuses a run whose queue takes no more.

    Raises:
        ResourceExhausted: names the queue and its limit.
    """
    if board.is_full(QueueKey(org, queue)):
        raise ResourceExhausted(
            f"queue {queue} is full: as many runs wait in it as it lets wait; try later",
            reason="QUEUE_FULL",
            resource=f"orgs/{org}/queues/{queue.replace('/', '~')}",
        )
