"""The demo, step by step. Every sentence it prints as a claim is checked against the platform."""

from __future__ import annotations

import os
import secrets
import signal
import time
from dataclasses import dataclass, field

import epochal_proto.v1 as pb
from epochal.client import Client
from epochal.errors import AlreadyExists
from epochal_proto.v1.services import (
    AuditService,
    LineageService,
    NotificationService,
    ProjectService,
    RegistryService,
    RunService,
    TrackingService,
)
from rich.console import Console
from rich.table import Table

from epochal_embedded import control
from epochal_embedded.demo import sweep
from epochal_embedded.demo.checks import Claims
from epochal_embedded.demo.receiver import Receiver
from epochal_embedded.home import Home

ORG = "orgs/default"
PROJECT = f"{ORG}/projects/demo"
KILL_AT_EPOCHS = 30
#: Whose tables the log has to rebuild.
READ_MODELS = {"gateway", "scheduler", "tracker", "monitor", "lineage", "notifier"}


@dataclass
class Story:
    """One telling of the demo."""

    home: Home
    client: Client
    console: Console
    claims: Claims
    receiver: Receiver = field(default_factory=lambda: Receiver(secrets.token_hex(16)))
    killed_pid: int = 0

    def tell(self) -> None:
        """Tell it from the project to the proof."""
        self._make_project()
        subscription = self._subscribe()
        runs = self._train()
        self._check_nothing_lost(runs)
        best = self._register_best()
        self._check_told(runs)
        self._show_history(best)
        self._prove()
        self.client.call(
            NotificationService.DELETE_SUBSCRIPTION, pb.DeleteSubscriptionRequest(name=subscription)
        )
        self.receiver.stop()

    def _make_project(self) -> None:
        self.claims.step(1, "A project")
        try:
            self.client.call(
                ProjectService.CREATE_PROJECT,
                pb.CreateProjectRequest(
                    parent=ORG,
                    project_id="demo",
                    display_name="Demo",
                    description="Handwritten digits, by `epochal demo`.",
                ),
            )
        except AlreadyExists:
            self.console.print("  It is there from an earlier demo; this one adds to it.")
        project = self.client.call(ProjectService.GET_PROJECT, pb.GetProjectRequest(name=PROJECT))
        self.claims.check(f"project {project.name}", project.name == PROJECT)

    def _subscribe(self) -> str:
        url = self.receiver.start()
        made = self.client.call(
            NotificationService.CREATE_SUBSCRIPTION,
            pb.CreateSubscriptionRequest(
                parent=PROJECT,
                display_name="demo",
                channel=pb.Channel(webhook=pb.WebhookChannel(url=url, secret=self.receiver.secret)),
                occasions=[pb.OCCASION_RUN_SUCCEEDED, pb.OCCASION_RUN_FAILED],
            ),
        )
        self.claims.check(f"a signed webhook to {url}", bool(made.name))
        return made.name

    def _train(self) -> list[pb.Run]:
        self.claims.step(2, "Six training runs, and a service killed among them")
        names = sweep.submit(self.client, PROJECT)
        runs = sweep.watch(
            self.client, PROJECT, names, self.console, self._kill_tracker_once, timeout_s=240
        )
        succeeded = sum(run.status == pb.RUN_STATUS_SUCCEEDED for run in runs)
        self.claims.check("all six runs succeeded", succeeded == len(names), f"{succeeded} of 6")
        return runs

    def _kill_tracker_once(self, progress: sweep.Progress) -> None:
        if self.killed_pid or progress.epochs < KILL_AT_EPOCHS:
            return
        report = control.observe_now(self.home)
        tracker = next((u for u in report.units if u.name == "tracker"), None) if report else None
        if tracker is None or tracker.mark is None:
            return
        self.killed_pid = tracker.mark.pid
        os.kill(self.killed_pid, signal.SIGKILL)
        self.console.print(
            f"  [bold red]SIGKILL[/bold red] to the tracker (pid {self.killed_pid}), with "
            f"{progress.epochs} epochs of {sweep.EPOCHS * len(sweep.SETTINGS)} recorded"
        )

    def _check_nothing_lost(self, runs: list[pb.Run]) -> None:
        self.claims.step(3, "Nothing was lost")
        report = control.observe_now(self.home)
        restarts = [u.restarts for u in report.units if u.name == "tracker"] if report else [0]
        self.claims.check(
            "the tracker was killed and came back by itself",
            bool(self.killed_pid) and restarts[0] >= 1,
            f"restarts: {restarts[0]}",
        )
        complete = 0
        for run in runs:
            for metric in ("loss", "accuracy"):
                series = self.client.call(
                    TrackingService.GET_METRIC_SERIES,
                    pb.GetMetricSeriesRequest(run=run.name, metric=metric),
                )
                complete += list(series.steps) == list(range(sweep.EPOCHS))
        self.claims.check(
            "every series has each epoch exactly once",
            complete == 2 * len(runs),
            f"{complete} of {2 * len(runs)} series, {sweep.EPOCHS} points each",
        )
        unsealed = [run.name for run in runs if run.incomplete_producers]
        self.claims.check("all telemetry is sealed", not unsealed)

    def _register_best(self) -> pb.Run:
        self.claims.step(4, "The best one becomes a model, with its lineage")
        found = self.client.call(
            RunService.LIST_RUNS,
            pb.ListRunsRequest(
                parent=PROJECT,
                filter="status:succeeded, metrics.accuracy:>0.5",
                order_by="metrics.accuracy desc",
                page_size=1,
            ),
        ).runs
        best = found[0]
        self.console.print(
            f"  best: {best.display_name}, accuracy {best.metrics['accuracy'].last:.4f}"
        )
        version = self.client.call(
            RegistryService.REGISTER_MODEL_VERSION,
            pb.RegisterModelVersionRequest(
                parent=PROJECT,
                model_id="digits",
                run=best.name,
                artifact_path=self._model_path(best),
                description="Best of the demo.",
                alias="champion",
            ),
        )
        self.claims.check(
            f"registered as version {version.version}, alias champion",
            "champion" in version.aliases,
            version.digest[:19] + "...",
        )
        graph = self.client.call(
            LineageService.GET_LINEAGE,
            pb.GetLineageRequest(
                parent=PROJECT, node=version.name, direction=pb.LINEAGE_DIRECTION_UPSTREAM
            ),
        )
        kinds = {node.kind for node in graph.nodes}
        shown = Table("from", "to", "how", title="Lineage", title_justify="left")
        for edge in graph.edges:
            how = pb.EdgeKind.Name(edge.kind).removeprefix("EDGE_KIND_").lower()
            shown.add_row(_short(edge.source), _short(edge.target), how)
        self.console.print(shown)
        self.claims.check(
            "the model leads back to run, artifact and dataset",
            {pb.NODE_KIND_RUN, pb.NODE_KIND_ARTIFACT, pb.NODE_KIND_DATASET} <= kinds,
        )
        return best

    def _model_path(self, run: pb.Run) -> str:
        from epochal_proto.v1.services import ArtifactService

        artifacts = self.client.call(
            ArtifactService.LIST_ARTIFACTS,
            pb.ListArtifactsRequest(run=run.name, path_prefix="model/"),
        ).artifacts
        return artifacts[0].path

    def _check_told(self, runs: list[pb.Run]) -> None:
        self.claims.step(5, "Those who asked were told")
        wanted = {run.name for run in runs}
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            told = {str(body["run"]) for body in list(self.receiver.deliveries.values())}
            if wanted <= told:
                break
            time.sleep(0.1)
        told = {str(body["run"]) for body in self.receiver.deliveries.values()}
        self.claims.check(
            "a signed webhook for each run, each delivered once",
            wanted <= told and not self.receiver.refused,
            f"{len(told & wanted)} of {len(wanted)}",
        )

    def _show_history(self, run: pb.Run) -> None:
        self.claims.step(6, "What happened to the best run, as the log has it")
        events = self.client.call(
            AuditService.LIST_EVENTS,
            pb.ListEventsRequest(parent=ORG, resource=run.name, page_size=100),
        ).events
        shown = Table("position", "time", "event", "by")
        for event in events:
            at = event.record_time.ToDatetime().strftime("%H:%M:%S.%f")[:-3]
            shown.add_row(str(event.position), at, event.type.rsplit(".", 1)[-1], event.actor[:24])
        self.console.print(shown)
        types = [event.type.rsplit(".", 1)[-1] for event in events]
        self.claims.check(
            "the run's whole life is in the log",
            types[0] == "RunCreated" and "RunSucceeded" in types and "TelemetrySealed" in types,
            f"{len(events)} events",
        )

    def _prove(self) -> None:
        self.claims.step(7, "Proof: the chain of the log, and every view rebuilt from it")
        *_, verified = self.client.stream(AuditService.VERIFY_LOG, pb.VerifyLogRequest())
        self.claims.check(
            f"{verified.checked} events, chain intact",
            verified.done and verified.intact,
            verified.chain[:16] + "...",
        )
        shown = Table("service", "table", "rows", "live digest", "rebuilt digest")
        differing = 0
        services: set[str] = set()
        for progress in self.client.stream(AuditService.REPLAY_LOG, pb.ReplayLogRequest()):
            if not progress.done:
                continue
            services.add(progress.service)
            differing += bool(progress.problem)
            for table in progress.tables:
                equal = table.live_digest == table.rebuilt_digest
                differing += not equal
                shown.add_row(
                    progress.service,
                    table.table,
                    str(table.rebuilt_rows),
                    table.live_digest[:12],
                    table.rebuilt_digest[:12],
                )
        self.console.print(shown)
        self.claims.check(
            "all read models, rebuilt from the log, equal the live ones",
            not differing and services == READ_MODELS,
            f"{len(services)} services",
        )


def _short(name: str) -> str:
    parts = name.removeprefix(f"{PROJECT}/").split("/")
    return "/".join(part[:8] if len(part) == 36 else part for part in parts)
