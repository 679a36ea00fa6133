"""The monitor process: the only place that builds its parts."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import faust
import structlog
import uvloop
from epochal_kernel.acts import Act
from epochal_kernel.log.reader import LogReader
from epochal_kernel.runtime.logs import configure_logs
from epochal_kernel.runtime.service import Kernel, Parts, run_service
from epochal_proto.v1.services import AlertService

from epochal_tracker.monitoring.projections import READ_MODEL
from epochal_tracker.monitoring.proposing import Proposer
from epochal_tracker.monitoring.services import AlertRules
from epochal_tracker.monitoring.settings import MonitorSettings
from epochal_tracker.monitoring.store import MonitorStore
from epochal_tracker.monitoring.worker import Monitor

#: What a partition of summaries keeps; what is gone before it was heard is read from PostgreSQL.
MAX_BYTES = 16 * 1024**2
#: Effects are in the log before they are acknowledged: nothing is lost with a process.
STOP_S = 10.0
PAUSE_S = 0.5

_log = structlog.get_logger(__name__)


def main() -> None:
    """Run the monitor until it is told to stop."""
    settings = MonitorSettings()
    configure_logs("monitor", settings.log_level)
    uvloop.run(run(settings))


async def run(settings: MonitorSettings) -> None:
    """Run the monitor in this event loop."""

    async def build(kernel: Kernel) -> Parts:
        return _build(kernel, settings)

    await run_service(settings, READ_MODEL, "epochal_tracker.monitoring", build)


def _build(kernel: Kernel, settings: MonitorSettings) -> Parts:
    store = MonitorStore(kernel.pool, kernel.past)
    proposer = Proposer(kernel.ledger, kernel.ids)
    log = LogReader(kernel.pool)
    monitor = Monitor(store, proposer, log, kernel.progress, kernel.clock)
    broker = f"{settings.nats_url}?storage={settings.monitor_storage}&max_bytes={MAX_BYTES}"
    rules = AlertRules(kernel.ledger, store, kernel.progress, monitor)
    kernel.server.unary(AlertService.DECLARE_ALERT_RULES, rules.declare_alert_rules)
    kernel.server.unary(AlertService.LIST_ALERT_RULES, rules.list_alert_rules)
    kernel.server.unary(AlertService.LIST_ALERTS, rules.list_alerts)
    kernel.server.unary(AlertService.GET_RUN_ACTIVITY, rules.get_run_activity)

    async def watch() -> None:
        """Run a Faust application, and a new one whenever the broker has taken one with it."""
        await kernel.bus.wait_connected(timeout_s=None)
        while True:
            if kernel.bus.connected:
                worker, workers = settings.monitor_worker, settings.monitor_workers
                app = monitor.application(broker, Path(settings.data_dir), worker, workers)
                app.finalize()
                await app.start()
                try:
                    await app.wait_until_stopped()
                finally:
                    await _stop(app)
                _log.warning("monitor.begins_again")
            await asyncio.sleep(PAUSE_S)

    return Parts(background=[watch] if kernel.may(Act.EXECUTE) else [])


async def _stop(app: faust.App) -> None:
    """Stop the application, or this process with it: its supervisors restart what is cancelled."""
    try:
        async with asyncio.timeout(STOP_S):
            await app.stop()
    except TimeoutError:
        _log.error("monitor.cannot_stop", after_s=STOP_S)
        os._exit(1)


if __name__ == "__main__":
    main()
