"""Finding runs: filter and sort, deep pages, grouping, over tables of up to a million runs.

The tables are filled directly: what is measured is the tracker's own search (parse, plan, query,
rows, summaries, messages), not the way into the log.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import epochal_proto.v1 as pb
from epochal_kernel.clock import SystemClock
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.projections.store import prepare
from epochal_tracker.projections import READ_MODEL
from epochal_tracker.search.syntax import Scope
from epochal_tracker.services.finding import Finder, Wanted, scope_of
from epochal_tracker.store.runs import RunStore
from epochal_tracker.store.search import SearchStore
from epochal_tracker.store.telemetry import TelemetryStore

from benchmarks.report import Row, percentile
from benchmarks.servers import durable_postgres

SIZES = (1_000, 10_000, 100_000)
FULL = 1_000_000
TARGET = "p95 <= 50 ms"
PROJECT = "orgs/acme/projects/vision"
_FILL = """
SELECT setseed(0.5);
CREATE TEMPORARY TABLE made AS
SELECT gen_random_uuid() AS run_id, n, random() AS u, random() AS v, random() AS w
  FROM generate_series(1, {count}) AS n;
INSERT INTO run (run_id, project, display_name, kind, status, message, params, tags, creator, queue,
    attempt, exit_code, create_time, start_time, end_time, spec_digest, incomplete_producers,
    pipeline, step, iteration, origin, origin_kind, holds, outputs, schedule_time, service_path,
    paused, more)
SELECT run_id, CASE WHEN v < 0.9 THEN '{project}' ELSE 'orgs/acme/projects/other' END,
    'run-' || n, 1 + n % 2, CASE WHEN w < 0.8 THEN 7 ELSE 8 END, '',
    jsonb_build_object('lr', jsonb_build_object('d', u), 'depth', jsonb_build_object('i', n % 12),
                       'model', jsonb_build_object('s', 'net-' || n % 50)),
    jsonb_build_object('team', 't' || n % 20), 'users/alice', 'default', 1, 0,
    timestamptz '2026-01-01' + n * interval '1 second',
    timestamptz '2026-01-01' + n * interval '1 second',
    timestamptz '2026-01-01' + (n + 100 * w) * interval '1 second', '', '[]', '', '', 0, '', '',
    '[]', '{{}}', NULL, '', false, ''
  FROM made;
INSERT INTO run_field SELECT run_id, 'p', 'lr', u::text, u FROM made;
INSERT INTO run_field SELECT run_id, 'p', 'depth', (n % 12)::text, n % 12 FROM made;
INSERT INTO run_field SELECT run_id, 'p', 'model', 'net-' || n % 50, NULL FROM made;
INSERT INTO run_field SELECT run_id, 't', 'team', 't' || n % 20, NULL FROM made;
INSERT INTO tracker.metric_summary (run_id, metric, last, last_step, last_time_us, min, max, points)
SELECT run_id, 'loss', v * w, 100, 0, v * w / 2, v + w, 100 FROM made;
INSERT INTO tracker.metric_summary (run_id, metric, last, last_step, last_time_us, min, max, points)
SELECT run_id, 'acc', 1 - v * u, 100, 0, 0, 1 - v * u / 2, 100 FROM made WHERE n % 3 > 0;
INSERT INTO tracker.metric_summary (run_id, metric, last, last_step, last_time_us, min, max, points)
SELECT run_id, 'rare', u, 100, 0, u, u, 100 FROM made WHERE n % 1000 = 0;
DROP TABLE made;
"""

#: Name, filter, order, grammar.
CASES: Sequence[tuple[str, str, str, pb.FilterGrammar]] = (
    ("newest", "", "", pb.FILTER_GRAMMAR_EPOCHAL),
    ("metric filter + sort by it", "metrics.loss:<0.1", "metrics.loss", pb.FILTER_GRAMMAR_EPOCHAL),
    (
        "metric filter + sort by another",
        "metrics.loss:<0.1",
        "metrics.acc desc",
        pb.FILTER_GRAMMAR_EPOCHAL,
    ),
    ("metric filter, newest", "metrics.loss:<0.01", "", pb.FILTER_GRAMMAR_EPOCHAL),
    ("metric filter that fits none", "metrics.loss:<-1", "", pb.FILTER_GRAMMAR_EPOCHAL),
    (
        "status, parameter range, tag + sort by metric",
        "status:failed, params.lr:0.2..0.3, tags.team:t7",
        "metrics.acc desc",
        pb.FILTER_GRAMMAR_EPOCHAL,
    ),
    ("OR and NOT", "metrics.rare:>0.5 OR NOT status:succeeded", "", pb.FILTER_GRAMMAR_EPOCHAL),
    ("sort by parameter", "", "params.lr", pb.FILTER_GRAMMAR_EPOCHAL),
    ("best(metric)", "best(metrics.loss):<0.05", "best(metrics.loss)", pb.FILTER_GRAMMAR_EPOCHAL),
    (
        "MLflow's grammar",
        "metrics.loss < 0.1 AND params.model = 'net-7' AND attributes.status = 'FINISHED'",
        "metrics.acc DESC",
        pb.FILTER_GRAMMAR_MLFLOW,
    ),
)


async def run(seconds: float, *, full: bool = False) -> list[Row]:
    """Measure every case at every size; with a million runs too when `full`."""
    rows: list[Row] = []
    for size in (*SIZES, FULL) if full else SIZES:
        async with durable_postgres() as url:
            rows += await _measured(url, size, seconds)
    return rows


async def _measured(url: str, size: int, seconds: float) -> list[Row]:
    async with await connect(url, name="bench") as pool, pool.acquire() as connection:
        await migrate(connection, "tracker", "epochal_tracker")
        live = await prepare(connection, READ_MODEL)
    async with await connect(url, name="bench", search_path=f"{live.schema}, tracker") as pool:
        await _fill(pool, size)
        finder = Finder(SearchStore(pool), RunStore(pool), TelemetryStore(pool), SystemClock())
        return await _cases(finder, size, seconds / 4)


async def _fill(pool: Pool, size: int) -> None:
    async with pool.acquire() as connection:
        await connection.execute(_FILL.format(count=size, project=PROJECT), timeout=600)
        for table in ("run", "run_field", "tracker.metric_summary"):
            await connection.execute(f"VACUUM ANALYZE {table}", timeout=600)


async def _cases(finder: Finder, size: int, seconds: float) -> list[Row]:
    rows: list[Row] = []
    scope = scope_of([PROJECT])
    for name, text, order_by, grammar in CASES:
        wanted = Wanted(scope, text, grammar, order_by)
        page = await finder.find(wanted)

        async def first(wanted: Wanted = wanted) -> None:
            await finder.find(wanted)

        target = TARGET if size == 100_000 and name.startswith("metric filter") else ""
        rows.append(await _timed(f"{size:,} runs: {name}", first, seconds, target, len(page.runs)))
    rows.append(await _deep(finder, scope, size, seconds))

    async def counting() -> None:
        await finder.find(Wanted(scope, "metrics.loss:<0.1", counted=True))

    rows.append(await _timed(f"{size:,} runs: with the total", counting, seconds, "", 50))
    return rows


async def _deep(finder: Finder, scope: Scope, size: int, seconds: float) -> Row:
    """A small page after half of all runs: large pages lead there, with the same tokens."""
    large = Wanted(scope, order_by="metrics.loss", size=50_000, fields=("name",))
    passed = 0
    while passed < size // 2:
        page = await finder.find(replace(large, size=min(50_000, size // 2 - passed)))
        passed += len(page.runs)
        large = replace(large, token=page.next_token)
    small = replace(large, size=50, fields=())

    async def deeper() -> None:
        await finder.find(small)

    return await _timed(f"{size:,} runs: page after {passed:,}", deeper, seconds, "", 50)


async def _timed(
    name: str, call: Callable[[], Awaitable[None]], seconds: float, target: str, found: int
) -> Row:
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 20:
        started = time.perf_counter()
        await call()
        times.append(time.perf_counter() - started)
    also = {"p50_ms": percentile(times, 0.5) * 1e3, "found": float(found)}
    return Row(name, percentile(times, 0.95) * 1e3, "ms (p95)", target, also)
