"""A project with a registry policy, and people of every role in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from uuid import uuid4

import epochal_proto.v1 as pb
from epochal.client import Client
from epochal_proto.v1.services import (
    AccessService,
    ProjectService,
    PromotionService,
    RegistryService,
    RunService,
    TrackingService,
)
from platform_world import Platform

POLICY = """
stages:
  Staging: {}
  Production:
    from: [Staging]
    gates:
      metrics:
        - metrics.acc >= 0.8
        - metrics.acc > holder.metrics.acc + 0.01
      approvals: [{role: editor}]
aliases:
  champion: {gates: {metrics: ["metrics.acc > holder.metrics.acc"]}}
"""


@dataclass(frozen=True)
class Office:
    """A project of the default organisation, its administrator, and who works in it."""

    platform: Platform
    project: str
    admin: Client
    people: dict[str, Client]
    suffix: str

    def user(self, name: str) -> str:
        return f"users/{name}-{self.suffix}"

    def policy(self, text: str) -> pb.RegistryPolicy:
        return self.admin.call(
            PromotionService.SET_REGISTRY_POLICY,
            pb.SetRegistryPolicyRequest(name=f"{self.project}/registryPolicy", text=text),
        )

    def run(self, metrics: dict[str, float], by: str = "ann") -> str:
        run = (
            self.people[by]
            .call(
                RunService.CREATE_RUN,
                pb.CreateRunRequest(parent=self.project, tracked=pb.TrackedRun()),
            )
            .name
        )
        points = [pb.MetricPoint(metric=name, value=value) for name, value in metrics.items()]
        self.people[by].call(
            TrackingService.LOG_METRICS, pb.LogMetricsRequest(run=run, points=points)
        )
        return run

    def register(self, model: str, acc: float, by: str = "ann") -> pb.ModelVersion:
        return self.people[by].call(
            RegistryService.REGISTER_MODEL_VERSION,
            pb.RegisterModelVersionRequest(
                parent=self.project,
                model_id=model,
                source="s3://there/model",
                run=self.run({"acc": acc}, by),
            ),
        )

    def promote(self, by: str, version: pb.ModelVersion, **more: object) -> pb.Promotion:
        request = pb.PromoteModelVersionRequest(name=version.name, **more)  # type: ignore[arg-type]  # fields
        return self.people[by].call(PromotionService.PROMOTE_MODEL_VERSION, request)

    def approve(self, by: str, promotion: str) -> pb.Promotion:
        request = pb.ApprovePromotionRequest(name=promotion, comment="fine")
        return self.people[by].call(PromotionService.APPROVE_PROMOTION, request)

    def get(self, version: pb.ModelVersion) -> pb.ModelVersion:
        return self.admin.call(
            RegistryService.GET_MODEL_VERSION, pb.GetModelVersionRequest(name=version.name)
        )


@contextmanager
def opened(platform: Platform) -> Iterator[Office]:
    suffix = uuid4().hex[:8]
    roles = {
        "ann": pb.ROLE_EDITOR,
        "bea": pb.ROLE_EDITOR,
        "cy": pb.ROLE_ADMIN,
        "vic": pb.ROLE_VIEWER,
    }
    with ExitStack() as stack:
        admin = stack.enter_context(platform.client())
        project = admin.call(
            ProjectService.CREATE_PROJECT,
            pb.CreateProjectRequest(parent="orgs/default", project_id=f"gated-{suffix}"),
        ).name
        people: dict[str, Client] = {}
        for name, role in roles.items():
            user = f"users/{name}-{suffix}"
            admin.call(
                AccessService.SET_MEMBER, pb.SetMemberRequest(parent=project, user=user, role=role)
            )
            token = admin.call(
                AccessService.CREATE_TOKEN, pb.CreateTokenRequest(parent="orgs/default", user=user)
            )
            people[name] = stack.enter_context(platform.client(token.secret))
        yield Office(platform, project, admin, people, suffix)
