"""What the in-memory gateway knows: runs, telemetry, artifacts, models and the rest, in dicts."""

import hashlib
import json
import threading
import time
from uuid import uuid4

import epochal_proto.v1 as pb
from epochal import columns
from sdk_orchestration import Orchestration, Refused, page

ENDED = (pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED)
PROJECT = "orgs/default/projects/main"


class Producer:
    """Batches acknowledged by the broker, and how far they are persisted, contiguously."""

    def __init__(self):
        self.epoch = 0
        self.broker = {}
        self.persisted = {}
        self.sealed = False

    @property
    def cursor(self):
        return len(self.persisted)

    def sink(self):
        while (batch := self.broker.get(self.cursor + 1)) is not None:
            self.persisted[batch.batch] = batch


class World(Orchestration):
    def __init__(self):
        super().__init__()
        self.token = "epo_test"
        self.position = 0
        self.changed = threading.Condition(threading.RLock())
        self.open = True
        self.sink_on = True
        self.retentions = {}
        self.runs, self.producers, self.files, self.artifacts = {}, {}, {}, {}
        self.copied, self.kept_versions = [], []
        self.captures = {}
        self.records = {}
        self.models, self.versions, self.datasets = {}, {}, {}
        self.members, self.tokens, self.subscriptions, self.deliveries = {}, {}, {}, []
        self.events, self.logs = [], {}
        self.projects = {PROJECT: pb.Project(name=PROJECT, display_name="main")}
        self.spec_issues = []

    def close(self):
        with self.changed:
            self.open = False
            self.changed.notify_all()

    def wait_until(self, true, timeout_s=20):
        """Waits for a condition of this world, asked at every change."""
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while not true():
                assert time.monotonic() < deadline, "the condition did not come true"
                self.changed.wait(0.02)

    def record(self, type_, resource):
        with self.changed:
            self.position += 1
            self.events.append(
                pb.AuditEvent(
                    name=f"orgs/default/events/{self.position}",
                    position=self.position,
                    type=f"epochal.v1.{type_}",
                    actor="users/admin",
                    resource=resource,
                    payload_json="{}",
                )
            )
            self.changed.notify_all()

    def run(self, name):
        if name not in self.runs:
            raise Refused("NOT_FOUND", message=f"no run {name}", resource=name)
        return self.runs[name]

    # telemetry

    def hold_persistence(self):
        self.sink_on = False

    def resume_persistence(self):
        with self.changed:
            self.sink_on = True
            for producer in self.producers.values():
                producer.sink()
            self.changed.notify_all()

    def wipe_broker(self):
        """Loses every batch that was acknowledged and not persisted."""
        with self.changed:
            for producer in self.producers.values():
                producer.broker = dict(producer.persisted)

    def OpenProducer(self, request):
        self.run(request.run)
        with self.changed:
            producer = self.producers.setdefault((request.run, request.producer), Producer())
            if producer.sealed:
                raise Refused("FAILED_PRECONDITION", "PRODUCER_SEALED", message="it is sealed")
            producer.epoch += 1
            self.record("ProducerOpened", request.run)
        return self.cursor(request)

    def cursor(self, request):
        producer = self.producers.get((request.run, request.producer))
        if producer is None:
            raise Refused("NOT_FOUND", message="no such producer")
        return pb.ProducerCursor(
            run=request.run,
            producer=request.producer,
            epoch=producer.epoch,
            persisted_batch=producer.cursor,
            sealed=producer.sealed,
        )

    GetProducerCursor = cursor

    def WriteTelemetry(self, request):
        with self.changed:
            producer = self.producers.get((request.run, request.producer))
            if producer is None:
                raise Refused("NOT_FOUND", message="no such producer")
            if request.epoch == producer.epoch:  # an old epoch is taken and ignored, as by a broker
                producer.broker[request.batch] = request
            if self.sink_on:
                producer.sink()
            self.changed.notify_all()
            return pb.TelemetryReceipt(sequence=len(producer.broker))

    def WatchProducerCursor(self, request):
        last = None
        while self.open:
            cursor = self.cursor(request)
            if cursor != last:
                last = cursor
                yield cursor
            with self.changed:
                self.changed.wait(0.05)

    def SealProducer(self, request):
        producer = self.producers[(request.run, request.producer)]
        with self.changed:
            if producer.cursor < request.last_batch:
                raise Refused("UNAVAILABLE", message="not yet persisted")
            producer.sealed = True
            self.record("TelemetrySealed", request.run)
        return self.cursor(request)

    def points(self, run):
        """Every persisted point of the run, by metric: [(step, value)] in batch order."""
        found = {}
        for (name, _), producer in self.producers.items():
            for number in sorted(producer.persisted) if name == run else ():
                for column in pb.PointColumns.FromString(
                    producer.persisted[number].payload
                ).columns:
                    points = columns.decode_points(column)
                    found.setdefault(column.metric, []).extend(
                        zip(points.steps, points.values, strict=True)
                    )
        return found

    # runs

    def CreateRun(self, request):
        if request.parent not in self.projects:
            raise Refused("NOT_FOUND", message=f"no {request.parent}", resource=request.parent)
        if self.spec_issues and request.WhichOneof("source") == "spec":
            self.refuse_spec()
        uid = request.run_id or str(uuid4())
        name = f"{request.parent}/runs/{uid}"
        if name in self.runs:
            raise Refused("ALREADY_EXISTS", message=f"run {name} exists", resource=name)
        tracked = request.WhichOneof("source") == "tracked"
        run = pb.Run(
            name=name,
            uid=uid,
            display_name=request.display_name or f"run-{len(self.runs) + 1}",
            kind=pb.RUN_KIND_TRACKED if tracked else pb.RUN_KIND_JOB,
            status=pb.RUN_STATUS_RUNNING if tracked else pb.RUN_STATUS_QUEUED,
            creator="users/admin",
        )
        run.create_time.GetCurrentTime()
        for key, value in request.params.items():
            run.params[key].CopyFrom(value)
        run.tags.update(request.tags)
        if request.awaits_upload:
            run.status = pb.RUN_STATUS_CREATED
            run.holds.append("upload")
        if request.HasField("backfill"):
            run.kind = pb.RUN_KIND_BACKFILL
        if not request.validate_only:
            self.runs[name] = run
            self.record("RunCreated", name)
        return run

    def refuse_spec(self):
        raise Refused(
            "INVALID_ARGUMENT",
            "SPEC_INVALID",
            message="the polyaxonfile has mistakes",
            violations=[(i.field, i.rule, i.message) for i in self.spec_issues],
            issues=self.spec_issues,
        )

    def CompileOperation(self, request):
        if self.spec_issues:
            self.refuse_spec()
        return pb.CompileOperationResponse(
            compiled_json=json.dumps({"kind": "operation"}),
            digest="sha256:" + "0" * 64,
            warnings=[
                pb.SpecIssue(line=2, column=3, field="cache", rule="ignored", message="later")
            ],
        )

    def end(self, name, status, message=""):
        with self.changed:
            run = self.run(name)
            run.status, run.message = status, message
            run.end_time.GetCurrentTime()
            self.record("RunEnded", name)

    def FinishRun(self, request):
        run = self.run(request.name)
        unsealed = [p for (n, p), s in self.producers.items() if n == run.name and not s.sealed]
        if unsealed and not request.force:
            raise Refused("FAILED_PRECONDITION", "UNSEALED", message=f"unsealed: {unsealed}")
        self.end(request.name, request.status, request.message)
        return run

    def StopRun(self, request):
        self.end(request.name, pb.RUN_STATUS_STOPPED, request.reason)
        return self.run(request.name)

    def GetRun(self, request):
        return self.run(request.name)

    def ListRuns(self, request):
        found = [r for r in reversed(self.runs.values()) if r.name.startswith(request.parent)]
        conditions = dict(part.split(":", 1) for part in request.filter.split(", ") if part)
        for field, wanted in conditions.items():
            if field == "pipeline":
                found = [r for r in found if r.pipeline.endswith(wanted)]
            if field == "name":
                found = [r for r in found if r.display_name == wanted.strip('"')]
            if field == "kind":
                found = [r for r in found if pb.RunKind.Name(r.kind)[9:].lower() == wanted]
        if request.filter.startswith("status:"):
            wanted = request.filter.removeprefix("status:").upper()
            found = [r for r in found if pb.RunStatus.Name(r.status).endswith(wanted)]
        return page(pb.ListRunsResponse, "runs", found, request)

    def WatchRun(self, request):
        last = None
        while self.open:
            with self.changed:
                run = pb.Run()
                run.CopyFrom(self.run(request.name))
                if run == last:
                    self.changed.wait(0.05)
                    continue
            last = run
            yield run
            if run.status in ENDED:
                return

    def ListMetrics(self, request):
        summaries = [
            pb.MetricSummary(
                metric=metric,
                last=points[-1][1],
                last_step=points[-1][0],
                min=min(v for _, v in points),
                max=max(v for _, v in points),
                points=len(points),
            )
            for metric, points in sorted(self.points(request.run).items())
        ]
        return page(pb.ListMetricsResponse, "metrics", summaries, request)

    def GetMetricSeries(self, request):
        points = sorted(self.points(request.run).get(request.metric, []))
        return pb.MetricSeries(
            metric=request.metric,
            steps=[s for s, _ in points],
            times_us=[0 for _ in points],
            values=[v for _, v in points],
        )

    def ListLogLines(self, request):
        return page(pb.ListLogLinesResponse, "lines", self.logs.get(request.run, []), request)

    def TailLogLines(self, request):
        sent = int(request.page_token or 0)
        while self.open:
            with self.changed:
                lines = self.logs.get(request.run, [])[sent:]
                ended = self.run(request.run).status in ENDED
                if not lines and not ended:
                    self.changed.wait(0.05)
                    continue
            sent += len(lines)
            if lines:
                yield pb.ListLogLinesResponse(lines=lines, next_page_token=str(sent))
            elif ended:
                return

    def log(self, run, *texts):
        with self.changed:
            self.logs.setdefault(run, []).extend(
                pb.LogLine(time_us=1, stream="stdout", text=text) for text in texts
            )
            self.changed.notify_all()

    def LogParams(self, request):
        run = self.run(request.run)
        for key, value in request.params.items():
            if key in run.params and run.params[key] != value:
                message = f"has the value {run.params[key].string_value!r} already"
                raise Refused(
                    "FAILED_PRECONDITION", violations=[(f"params.{key}", "once", message)]
                )
        for key, value in request.params.items():
            run.params[key].CopyFrom(value)
        self.record("ParamsLogged", request.run)
        return pb.LogParamsResponse()

    def RecordOutputs(self, request):
        run = self.run(request.name)
        for name, value in request.outputs.items():
            run.outputs[name].CopyFrom(value)
        return run

    def RecordCapture(self, request):
        self.captures.setdefault(request.run, []).append(request.capture)
        return pb.RecordCaptureResponse()

    def SearchRuns(self, request):
        found = [r for r in reversed(self.runs.values()) if r.name.startswith(request.parents[0])]
        return page(pb.SearchRunsResponse, "runs", found, request)

    def RenameRun(self, request):
        self.run(request.name).display_name = request.display_name
        return self.runs[request.name]

    def AnnotateRun(self, request):
        self.run(request.run)
        return pb.RunMarks(run=request.run, note=request.note)

    def LogRecords(self, request):
        self.run(request.run)
        known = self.records.setdefault(request.run, {})
        for one in request.records:
            if (request.run, one.path) not in self.files:
                raise Refused("NOT_FOUND", message=f"no artifact {one.path}")
            known[one.id] = one
        self.record("RecordsLogged", request.run)
        return pb.LogRecordsResponse()

    def ListRecords(self, request):
        found = [
            one
            for one in self.records.get(request.run, {}).values()
            if request.kind in ("", one.kind)
            and request.series in ("", one.series)
            and (not request.HasField("from_step") or one.step >= request.from_step)
            and (not request.HasField("to_step") or one.step <= request.to_step)
        ]
        found.sort(key=lambda one: (one.kind, one.series, one.step, one.time_us, one.id))
        return page(pb.ListRecordsResponse, "records", found, request)

    def ListRecordSeries(self, request):
        groups = {}
        for one in self.ListRecords(
            pb.ListRecordsRequest(run=request.run, kind=request.kind, page_size=1000)
        ).records:
            groups.setdefault((one.kind, one.series), []).append(one)
        series = [
            pb.RecordSeries(kind=kind, series=name, count=len(found), latest=found[-1])
            for (kind, name), found in groups.items()
        ]
        return page(pb.ListRecordSeriesResponse, "series", series, request)

    def SetTags(self, request):
        run = self.run(request.run)
        run.tags.update(request.tags)
        for key in [key for key, value in run.tags.items() if not value]:
            del run.tags[key]
        self.record("TagsSet", request.run)
        return pb.SetTagsResponse()

    def ReportLoss(self, request):
        self.run(request.run).data_lost.append(f"{request.points} points: {request.reason}")
        return pb.ReportLossResponse()

    def TruncateSeries(self, request):
        run = self.run(request.run)
        for metric in list(run.metrics):
            if run.metrics[metric].last_step >= request.from_step:
                run.metrics[metric].last_step = request.from_step - 1
        self.record("SeriesTruncated", request.run)
        return pb.TruncateSeriesResponse()

    def GetRetention(self, request):
        return self.retentions.setdefault(request.project, pb.Retention(project=request.project))

    def SetRetention(self, request):
        self.retentions[request.retention.project] = request.retention
        return request.retention

    def PurgeRun(self, request):
        self.run(request.run).purge_time.GetCurrentTime()
        return pb.PurgeRunResponse(points=3, log_lines=2, artifacts=1)

    # artifacts, lineage, models

    def store(self, run, path, body, headers):
        digest = hashlib.sha256(body).hexdigest()
        if headers.get("Epochal-Content-Sha256") not in (None, digest):
            return None
        self.files[(run, path)] = body
        self.artifacts[(run, path)] = pb.Artifact(
            name=f"{run}/artifacts/{path}",
            path=path,
            digest=f"sha256:{digest}",
            size_bytes=len(body),
            kind=headers.get("Epochal-Artifact-Kind", "file"),
            media_type=headers.get("Content-Type", ""),
        )
        self.record("ArtifactLogged", run)
        return {"path": path, "digest": f"sha256:{digest}", "sizeBytes": str(len(body))}

    def ListArtifacts(self, request):
        found = [
            artifact
            for (run, path), artifact in sorted(self.artifacts.items())
            if run == request.run and path.startswith(request.path_prefix)
        ]
        return page(pb.ListArtifactsResponse, "artifacts", found, request)

    def GetArtifact(self, request):
        if (request.run, request.path) not in self.artifacts:
            raise Refused("NOT_FOUND", message=f"no artifact {request.path}")
        return self.artifacts[(request.run, request.path)]

    def UseDataset(self, request):
        self.run(request.run)
        digest = request.digest.removeprefix("sha256:") or hashlib.sha256(b"").hexdigest()
        project = request.run.split("/runs/")[0]
        name = f"{project}/datasets/{request.dataset}/versions/{digest[:12]}"
        node = pb.LineageNode(
            name=name, kind=pb.NODE_KIND_DATASET, digest=request.digest, uri=request.uri
        )
        self.datasets.setdefault(request.run, []).append(node)
        self.record("DatasetUsed", request.run)
        node.results.extend(
            pb.RuleResult(rule=rule, passed=rule.column != "bad", detail=f"{rule.column} was seen")
            for rule in request.rules
        )
        return node

    def LogDataset(self, request):
        node = self.UseDataset(request)
        version = pb.DatasetVersion(name=node.name, contents=request.contents)
        version.contents.path = f"{request.run}/artifacts/{request.contents.path}"
        self.kept_versions.insert(0, version)
        self.record("DatasetProduced", request.run)
        return node

    def ListDatasetVersions(self, request):
        found = [one for one in self.kept_versions if one.name.startswith(f"{request.parent}/")]
        return page(pb.ListDatasetVersionsResponse, "versions", found, request)

    def UseModel(self, request):
        self.run(request.run)
        self.record("ModelVersionUsed", request.run)
        return pb.LineageNode(name=request.model_version, kind=pb.NODE_KIND_MODEL_VERSION)

    def GetLineage(self, request):
        nodes = [pb.LineageNode(name=request.node, kind=pb.NODE_KIND_RUN)]
        edges = []
        for node in self.datasets.get(request.node, []):
            nodes.append(node)
            edges.append(
                pb.LineageEdge(
                    source=node.name, target=request.node, kind=pb.EDGE_KIND_USED, position=1
                )
            )
        return pb.LineageGraph(nodes=nodes, edges=edges)

    def RegisterModelVersion(self, request):
        name = f"{request.parent}/models/{request.model_id}"
        model = self.models.setdefault(name, pb.Model(name=name))
        model.latest_version += 1
        version = pb.ModelVersion(
            name=f"{name}/versions/{model.latest_version}",
            version=model.latest_version,
            run=request.run,
            artifact_path=request.artifact_path,
            description=request.description,
            creator="users/admin",
        )
        self.versions.setdefault(name, []).insert(0, version)
        if request.alias:
            model.aliases[request.alias] = version.version
        self.record("ModelVersionRegistered", version.name)
        return version

    def model(self, name):
        if name not in self.models:
            raise Refused("NOT_FOUND", message=f"no model {name}", resource=name)
        return self.models[name]

    def SetModelAlias(self, request):
        self.model(request.name).aliases[request.alias] = request.version
        return self.model(request.name)

    def DeleteModelAlias(self, request):
        self.model(request.name).aliases.pop(request.alias, None)
        return self.model(request.name)

    def GetModel(self, request):
        return self.model(request.name)

    def ListModels(self, request):
        return page(pb.ListModelsResponse, "models", list(self.models.values()), request)

    def ListModelVersions(self, request):
        found = self.versions.get(request.parent, [])
        return page(pb.ListModelVersionsResponse, "model_versions", found, request)

    # access

    def GetCaller(self, request):
        member = pb.Member(
            name="orgs/default/members/admin", user="users/admin", role=pb.ROLE_OWNER
        )
        return pb.Caller(
            actor="users/admin",
            token="orgs/default/tokens/1",
            platform_admin=True,
            memberships=[member],
        )

    def CreateProject(self, request):
        name = f"{request.parent}/projects/{request.project_id}"
        if name in self.projects:
            raise Refused("ALREADY_EXISTS", message=f"{name} exists already", resource=name)
        self.projects[name] = pb.Project(name=name, display_name=request.display_name)
        self.record("ProjectCreated", name)
        return self.projects[name]

    def GetProject(self, request):
        if request.name not in self.projects:
            raise Refused("NOT_FOUND", message=f"no project {request.name}", resource=request.name)
        return self.projects[request.name]

    def ListProjects(self, request):
        found = [p for p in self.projects.values() if request.show_archived or not p.archived]
        return page(pb.ListProjectsResponse, "projects", found, request)

    def ArchiveProject(self, request):
        self.GetProject(request).archived = True
        return self.projects[request.name]

    def CreateToken(self, request):
        token = pb.Token(
            name=f"{request.parent}/tokens/{uuid4()}",
            user=request.user or "users/admin",
            display_name=request.display_name,
            scopes=request.scopes,
            expire_time=request.expire_time if request.HasField("expire_time") else None,
        )
        self.tokens[token.name] = token
        return pb.CreateTokenResponse(token=token, secret="epo_secret")

    def ListTokens(self, request):
        return page(pb.ListTokensResponse, "tokens", list(self.tokens.values()), request)

    def RevokeToken(self, request):
        self.tokens[request.name].revoked = True
        return self.tokens[request.name]

    def SetMember(self, request):
        name = f"{request.parent}/members/{request.user.removeprefix('users/')}"
        self.members[name] = pb.Member(name=name, user=request.user, role=request.role)
        return self.members[name]

    def RemoveMember(self, request):
        from google.protobuf import empty_pb2

        self.members.pop(request.name)
        return empty_pb2.Empty()

    def ListMembers(self, request):
        found = [m for n, m in self.members.items() if n.startswith(f"{request.parent}/members")]
        return page(pb.ListMembersResponse, "members", found, request)

    # notifications, audit

    def GetCheckpoint(self, request):
        raise Refused("FAILED_PRECONDITION", "NOT_SEALED_YET", message="no checkpoint yet")

    def CreateSubscription(self, request):
        name = f"{request.parent}/subscriptions/{uuid4()}"
        self.subscriptions[name] = pb.Subscription(
            name=name,
            display_name=request.display_name,
            channel=request.channel,
            occasions=request.occasions,
        )
        return self.subscriptions[name]

    def ListSubscriptions(self, request):
        found = list(self.subscriptions.values())
        return page(pb.ListSubscriptionsResponse, "subscriptions", found, request)

    def DeleteSubscription(self, request):
        from google.protobuf import empty_pb2

        self.subscriptions.pop(request.name)
        return empty_pb2.Empty()

    def ListDeliveries(self, request):
        return page(pb.ListDeliveriesResponse, "deliveries", self.deliveries, request)

    def ListEvents(self, request):
        found = [
            event
            for event in self.events
            if (not request.types or event.type.rsplit(".", 1)[1] in request.types)
            and event.resource.startswith(request.resource)
            and (not request.actor or event.actor == request.actor)
        ]
        return page(
            pb.ListEventsResponse, "events", found[::-1] if request.descending else found, request
        )

    def VerifyLog(self, request):
        yield pb.VerifyLogResponse(checked=self.position // 2, head=self.position)
        yield pb.VerifyLogResponse(
            checked=self.position,
            head=self.position,
            done=True,
            intact=self.open,
            chain="ab" * 32,
        )

    def ReplayLog(self, request):
        for service in ("tracker", "lineage"):
            yield pb.ReplayLogResponse(service=service, position=1, target=self.position)
            table = pb.TableDigest(
                table="run", live_rows=2, rebuilt_rows=2, live_digest="aa", rebuilt_digest="aa"
            )
            yield pb.ReplayLogResponse(
                service=service,
                position=self.position,
                target=self.position,
                done=True,
                tables=[table],
            )
