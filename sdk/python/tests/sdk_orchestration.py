"""What the in-memory gateway knows of orchestration: decisions, queues, components, terminals."""

import json
from uuid import uuid4

import epochal_proto.v1 as pb


class Refused(Exception):
    def __init__(
        self, code, reason="", *, message="refused", violations=(), resource="", issues=()
    ):
        self.code, self.reason, self.message = code, reason or code, message
        self.violations, self.resource, self.issues = violations, resource, issues


class Orchestration:
    def __init__(self):
        self.queues, self.components, self.policies = {}, {}, {}
        self.differences = []
        self.terminal = []

    def child(self, parent, **fields):
        """Makes a child of a pipeline, newest last."""
        uid = str(uuid4())
        name = f"{parent.name.partition('/runs/')[0]}/runs/{uid}"
        run = pb.Run(name=name, uid=uid, display_name="child", pipeline=parent.name, **fields)
        run.create_time.GetCurrentTime()
        self.runs[name] = run
        return run

    def RestartRun(self, request):
        old, uid = self.run(request.name), str(uuid4())
        new = pb.Run()
        new.CopyFrom(old)
        new.name, new.uid = f"{old.name.partition('/runs/')[0]}/runs/{uid}", uid
        new.display_name = request.display_name or old.display_name
        new.origin = old.name
        new.origin_kind = "fork" if request.steps else "copy" if request.copy else "restart"
        for key, value in request.params.items():
            new.params[key].CopyFrom(value)
        self.runs[new.name] = new
        return new

    def _set(self, request, status):
        self.run(request.name).status = status
        return self.run(request.name)

    def ResumeRun(self, request):
        return self._set(request, pb.RUN_STATUS_QUEUED)

    def SkipRun(self, request):
        return self._set(request, pb.RUN_STATUS_SKIPPED)

    def ApproveRun(self, request):
        return self._set(request, pb.RUN_STATUS_STOPPED if request.deny else pb.RUN_STATUS_QUEUED)

    def ReleaseRun(self, request):
        run = self._set(request, pb.RUN_STATUS_QUEUED)
        run.holds.remove(request.hold)
        return run

    def PauseRun(self, request):
        self.run(request.name).paused = True
        return self.run(request.name)

    def UnpauseRun(self, request):
        self.run(request.name).paused = False
        return self.run(request.name)

    def UpdatePipeline(self, request):
        return self.run(request.name)

    def ExplainRun(self, request):
        run = self.run(request.name)
        item = pb.ExplanationItem(
            kind="concurrency", message="1 of 1 run", resource="orgs/default/queues/gpu"
        )
        return pb.RunExplanation(
            name=run.name, status=run.status, summary="waits for room in its queue",
            items=[item], position=3, ahead=["a", "b"], at_position=self.position,
        )  # fmt: skip

    def GetSpecSchema(self, request):
        return pb.SpecSchema(json=json.dumps({"$id": "polyaxonfile"}))

    def PreviewSchedule(self, request):
        if self.spec_issues:
            self.refuse_spec()
        found = pb.PreviewScheduleResponse(timezone="Europe/Berlin")
        for number in range(request.count):
            found.times.add(seconds=1_767_225_600 + 86_400 * number)
        return found

    def TestTrigger(self, request):
        match = pb.TriggerMatch(position=4, kind="run_status_failed", fires=True, reason="fits")
        return pb.TestTriggerResponse(matches=[match], events=request.events)

    def EmitEvent(self, request):
        self.record("CustomEventEmitted", request.parent)
        return pb.EmitEventResponse(position=self.position)

    def CreateQueue(self, request):
        queue = self.queues.setdefault(f"{request.parent}/queues/{request.queue_id}", pb.Queue())
        queue.CopyFrom(request.queue)
        queue.name = f"{request.parent}/queues/{request.queue_id}"
        return queue

    def GetQueue(self, request):
        if request.name not in self.queues:
            raise Refused("NOT_FOUND", message=f"no {request.name}")
        return self.queues[request.name]

    def UpdateQueue(self, request):
        queue = self.queues[request.queue.name]
        for path in request.update_mask.paths:
            queue.ClearField(path)
        queue.MergeFrom(request.queue)
        return queue

    def DeleteQueue(self, request):
        self.queues.pop(request.name)
        return pb.DeleteQueueResponse()

    def ListQueues(self, request):
        return page(pb.ListQueuesResponse, "queues", list(self.queues.values()), request)

    def ListAgents(self, request):
        agent = pb.Agent(name="agents/box.1", queues=["default"], slots=4, free_slots=3)
        return pb.ListAgentsResponse(agents=[agent])

    def GetProjectPolicy(self, request):
        return self.policies.get(request.name, pb.ProjectPolicy(name=request.name))

    def SetProjectPolicy(self, request):
        self.policies[request.policy.name] = request.policy
        return request.policy

    def RegisterComponent(self, request):
        tag = request.tag or "latest"
        component = pb.Component(
            name=f"{request.parent}/components/{request.component_id}/versions/{tag}",
            spec=request.spec,
            digest="sha256:" + "0" * 64,
            is_preset=b"isPreset: true" in request.spec,
            description=request.description,
        )
        self.components[component.name] = component
        return component

    def GetComponent(self, request):
        name = request.name if "/versions/" in request.name else f"{request.name}/versions/latest"
        if name not in self.components:
            raise Refused("NOT_FOUND", message=f"no {name}", resource=name)
        return self.components[name]

    def ListComponents(self, request):
        found = list(self.components.values())
        return page(pb.ListComponentsResponse, "components", found, request)

    def DeleteComponent(self, request):
        self.components.pop(request.name)
        return pb.DeleteComponentResponse()

    def GetCapture(self, request):
        if request.run not in self.captures:
            raise Refused("NOT_FOUND", message="nothing captured")
        return self.captures[request.run][-1]

    def CompareRuns(self, request):
        return pb.CompareRunsResponse(
            differences=self.differences, equal={"params": 2}, unknown=["the weather"]
        )

    def OpenTerminal(self, request):
        self.run(request.run)
        return pb.Terminal(run=request.run, terminal=str(uuid4()))

    def ReadTerminal(self, request):
        yield pb.TerminalOutput(data=b"out\n", error=b"err\n")
        self.wait_until(lambda: any(w.end or b"\x04" in w.data for w in self.terminal))
        typed = b"".join(written.data for written in self.terminal)
        yield pb.TerminalOutput(data=typed)
        yield pb.TerminalOutput(exit_code=3)

    def WriteTerminal(self, request):
        with self.changed:
            self.terminal.append(request)
            self.changed.notify_all()
        return pb.WriteTerminalResponse()


def page(response, field, found, request):
    start = int(request.page_token or 0)
    size = request.page_size or 50
    token = str(start + size) if start + size < len(found) else ""
    return response(**{field: found[start : start + size]}, next_page_token=token)
