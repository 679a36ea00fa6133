"""SearchService: which parameters matter for a number."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, Unavailable
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.domain.comparing import value_text
from epochal_tracker.domain.ranking import Cell, Table, spearman, table_of
from epochal_tracker.named_values import number_of
from epochal_tracker.search.epochal import parse_field
from epochal_tracker.search.fields import shown, wrong
from epochal_tracker.search.syntax import Field
from epochal_tracker.services.finding import Finder, Wanted, scope_of

DEFAULT_RUNS: Final = 1000
FEWEST_RUNS: Final = 5
#: Questions that are answered at once: each is a process of some 200 MB.
AT_ONCE: Final = 1


class Ranking:
    """Handler of SearchService.RankParams."""

    def __init__(self, finder: Finder, progress: Progress) -> None:
        self._finder = finder
        self._progress = progress
        self._free = asyncio.Semaphore(AT_ONCE)

    async def rank_params(
        self, request: pb.RankParamsRequest, context: CallContext
    ) -> pb.RankParamsResponse:
        """Tell importance and correlation of parameters."""
        field = target_field(request.target)
        await self._progress.wait_for(context.min_position)
        runs = await self._runs(request, request.limit or DEFAULT_RUNS, context.actor)
        rows = [(cells(run), number) for run in runs if (number := value(run, field)) is not None]
        if len(rows) < FEWEST_RUNS:
            raise FailedPrecondition(
                f"{len(rows)} of {len(runs)} runs have {request.target}: at least {FEWEST_RUNS} "
                "are needed to tell what matters",
                reason="TOO_FEW_RUNS",
            )
        table = table_of(rows)
        importance: Mapping[str, float] = {}
        if table.columns and len(set(table.target)) > 1:
            async with self._free:
                importance = await _importance(table, context.timeout_s)
        ranks = [
            pb.ParamRank(
                name=name,
                importance=importance.get(name, 0.0),
                correlation=spearman(column, table.target),
                runs=sum(cell is not None for cell in column),
                distinct=len({cell for cell in column if cell is not None}),
            )
            for name, column in table.columns.items()
        ]
        ranks.sort(key=lambda rank: (-rank.importance, rank.name))
        return pb.RankParamsResponse(params=ranks, runs=len(rows), notes=table.notes)

    async def _runs(self, request: pb.RankParamsRequest, limit: int, user: str) -> list[pb.Run]:
        wanted = Wanted(
            scope_of(request.parents),
            request.filter,
            request.grammar,
            user=user,
            fields=("params", "outputs", "metrics", "start_time", "end_time"),
        )
        runs: list[pb.Run] = []
        while len(runs) < limit:
            page = await self._finder.find(replace(wanted, size=limit - len(runs)))
            runs += page.runs
            if not page.next_token:
                break
            wanted = replace(wanted, token=page.next_token)
        return runs


def target_field(text: str) -> Field:
    """Read what matters.

    Raises:
        InvalidArgument: it is no number of a run.
    """
    field = parse_field(text, "target")
    if field.name not in ("metrics", "outputs", "duration"):
        raise wrong(f"{shown(field)} is no target: use a metric, an output or duration", "target")
    return field


def value(run: pb.Run, field: Field) -> float | None:
    """Return the number that matters, None where a run has none."""
    if field.name == "duration":
        if not (run.HasField("start_time") and run.HasField("end_time")):
            return None
        return (run.end_time.ToNanoseconds() - run.start_time.ToNanoseconds()) / 1e9
    if field.name == "outputs":
        number = number_of(run.outputs[field.key]) if field.key in run.outputs else None
    elif field.key in run.metrics:
        summary = run.metrics[field.key]
        by_name = {"min": summary.min, "max": summary.max, "count": float(summary.points)}
        number = by_name.get(field.aggregate, summary.last)
    else:
        number = None
    return number if number is not None and math.isfinite(number) else None


def cells(run: pb.Run) -> dict[str, Cell]:
    """Return a run's parameters, numbers as numbers and the rest as text."""
    found: dict[str, Cell] = {}
    for name, each in run.params.items():
        number = number_of(each)
        finite = number is not None and math.isfinite(number)
        found[name] = number if finite else value_text(each)
    return found


async def _importance(table: Table, timeout_s: float) -> dict[str, float]:
    question = json.dumps({"columns": table.columns, "target": table.target}).encode()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "epochal_tracker.importance",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_s):
            answer, complaint = await process.communicate(question)
    except TimeoutError:
        raise Unavailable(
            f"parameters could not be ranked in {timeout_s:.0f} s: ask about fewer runs",
            reason="RANKING_TIMEOUT",
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines()
        raise Unavailable(
            f"parameters could not be ranked: {lines[-1] if lines else 'the process died'}",
            reason="RANKING_FAILED",
        )
    shares: dict[str, float] = json.loads(answer)
    return shares
