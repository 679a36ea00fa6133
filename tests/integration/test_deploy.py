"""What deploy/ renders: hardened, reachable only where needed, told only its own secrets."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from epochal_embedded.servers.binaries import find_nats
from epochal_gateway.settings import GatewaySettings
from epochal_kernel.runtime.settings import ServiceSettings
from epochal_lineage.settings import LineageSettings
from epochal_scheduler.agent.settings import AgentSettings
from epochal_scheduler.settings import SchedulerSettings
from epochal_tracker.monitoring.settings import MonitorSettings
from epochal_tracker.settings import TrackerSettings

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
IMAGES = {"gateway", "scheduler", "tracker", "lineage", "notifier"}
#: The monitor runs from the tracker's image.
SERVICES = IMAGES | {"monitor"}
OVERLAYS = ["base", "overlays/trial", "overlays/production"]

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not on PATH: manifests were not rendered"
)
everywhere = pytest.mark.parametrize("overlay", OVERLAYS)

Manifest = dict[str, Any]


@cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    """Render an overlay once."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(K8S / overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in rendered(overlay) if manifest["kind"] in kinds]


def workloads(overlay: str) -> dict[str, Manifest]:
    found = of_kind(overlay, "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod")
    assert all(each["kind"] in ("Deployment", "StatefulSet") for each in found)
    return {each["metadata"]["name"]: each["spec"]["template"] for each in found}


def containers(overlay: str) -> Iterator[tuple[str, Manifest]]:
    for name, template in workloads(overlay).items():
        for container in (
            template["spec"].get("initContainers", []) + template["spec"]["containers"]
        ):
            yield name, container


def secret_keys(container: Manifest) -> set[str]:
    sources = (each.get("valueFrom", {}) for each in container.get("env", []))
    return {source["secretKeyRef"]["key"] for source in sources if "secretKeyRef" in source}


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


@needs_kubectl
@everywhere
def test_all_parts_are_there(overlay: str) -> None:
    servers = {"nats", "postgres"} if overlay == "overlays/trial" else {"nats"}
    assert set(workloads(overlay)) == SERVICES | {"agent"} | servers
    deployments = {each["metadata"]["name"] for each in of_kind(overlay, "Deployment")}
    assert deployments == SERVICES | {"agent"}


@needs_kubectl
@everywhere
def test_every_pod_is_unprivileged(overlay: str) -> None:
    for name, template in workloads(overlay).items():
        pod = template["spec"]
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        assert not any("hostPath" in volume for volume in pod.get("volumes", [])), name
        assert pod["enableServiceLinks"] is False, name


@needs_kubectl
@everywhere
def test_every_container_is_confined(overlay: str) -> None:
    for name, container in containers(overlay):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True, name
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert not security.get("privileged"), name


@needs_kubectl
@everywhere
def test_every_container_has_requests_limits_and_a_pinned_image(overlay: str) -> None:
    for name, container in containers(overlay):
        for bound in ("requests", "limits"):
            assert {"cpu", "memory"} <= container["resources"][bound].keys(), name
        tag = container["image"].rpartition(":")[2]
        assert re.match(r"\d+(\.\d+)*", tag), container["image"]


@needs_kubectl
@everywhere
def test_every_container_is_probed_but_the_agent(overlay: str) -> None:
    for name, container in containers(overlay):
        found = {"startupProbe", "livenessProbe", "readinessProbe"} & container.keys()
        assert len(found) == (0 if name == "agent" else 3), name
        if name in SERVICES:
            assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
            ports = {port["name"] for port in container["ports"]}
            assert container["readinessProbe"]["httpGet"]["port"] in ports


@needs_kubectl
@everywhere
def test_accounts_have_no_token_and_belong_to_one_workload(overlay: str) -> None:
    accounts = {each["metadata"]["name"]: each for each in of_kind(overlay, "ServiceAccount")}
    used = {
        name: template["spec"]["serviceAccountName"]
        for name, template in workloads(overlay).items()
    }
    assert used == {name: name for name in used}
    assert set(accounts) == set(used)
    assert all(each["automountServiceAccountToken"] is False for each in accounts.values())
    pods = [template["spec"] for template in workloads(overlay).values()]
    assert all(pod["automountServiceAccountToken"] is False for pod in pods)
    assert not of_kind(overlay, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")


@needs_kubectl
@everywhere
def test_every_workload_has_one_disruption_budget(overlay: str) -> None:
    budgets = [each["spec"] for each in of_kind(overlay, "PodDisruptionBudget")]
    for name, template in workloads(overlay).items():
        labels = template["metadata"]["labels"]
        assert sum(matches(budget["selector"], labels) for budget in budgets) == 1, name


@needs_kubectl
@everywhere
def test_selectors_of_services_find_pods_that_have_the_port(overlay: str) -> None:
    for service in of_kind(overlay, "Service"):
        selected = [
            template
            for template in workloads(overlay).values()
            if service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        ]
        assert len(selected) == 1, service["metadata"]["name"]
        open_ports = {port["name"] for port in selected[0]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= open_ports


@needs_kubectl
@everywhere
def test_network_is_closed_and_opened_by_name(overlay: str) -> None:
    policies = {
        each["metadata"]["name"]: each["spec"] for each in of_kind(overlay, "NetworkPolicy")
    }
    closed = policies.pop("deny-all")
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    labels = {name: template["metadata"]["labels"] for name, template in workloads(overlay).items()}

    def opened(kind: str, name: str) -> set[int]:
        return {
            port["port"]
            for policy in policies.values()
            if matches(policy["podSelector"], labels[name])
            for rule in policy.get(kind, [])
            for port in rule["ports"]
        }

    assert opened("egress", "agent") == {53, 443, 4222, 8000, 9000}
    assert opened("egress", "notifier") == {53, 443, 465, 587, 4222, 5432}
    assert opened("egress", "gateway") == {53, 443, 1024, 4222, 5432}
    for name in ("lineage", "tracker"):
        assert opened("egress", name) == {53, 443, 4222, 5432}, name
    for name in ("scheduler", "monitor"):
        assert opened("egress", name) == {53, 4222, 5432}, name
    assert opened("egress", "nats") == {53}
    assert opened("ingress", "nats") == {4222}
    assert opened("ingress", "gateway") == {8000, 8080, 9000}
    assert opened("ingress", "agent") == {1024}
    services = policies["services-of-runs-admit-the-gateway"]["ingress"]
    assert [rule["from"] for rule in services] == [
        [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "gateway"}}}]
    ]
    for policy in policies.values():
        for rule in policy.get("egress", []):
            assert rule["to"], "an empty list of peers means everybody"
            for peer in rule["to"]:
                if "ipBlock" in peer:
                    assert "169.254.0.0/16" in peer["ipBlock"]["except"]


@needs_kubectl
@everywhere
def test_workload_is_told_only_the_secrets_it_needs(overlay: str) -> None:
    needed = {
        "gateway": {"database-url", "nats-url", "bootstrap-token", "run-token-secret"},
        "scheduler": {"database-url", "nats-url", "run-token-secret"},
        "tracker": {"database-url", "nats-url"},
        "monitor": {"database-url", "nats-url"},
        "lineage": {"database-url", "nats-url", "secret-key"},
        "notifier": {"database-url", "nats-url", "secret-key"},
        "agent": {"nats-url"},
        "nats": {"nats-token"},
        "postgres": {"postgres-password"},
    }
    told = {name: secret_keys(container) for name, container in containers(overlay)}
    assert told == {name: needed[name] for name in told}
    assert not of_kind(overlay, "Secret")
    for _, container in containers(overlay):
        assert not any("secretRef" in source for source in container.get("envFrom", []))


@needs_kubectl
@everywhere
def test_every_variable_is_a_setting_that_exists(overlay: str) -> None:
    settings = {
        **dict.fromkeys(SERVICES, ServiceSettings),
        "gateway": GatewaySettings,
        "lineage": LineageSettings,
        "monitor": MonitorSettings,
        "tracker": TrackerSettings,
        "scheduler": SchedulerSettings,
        "agent": AgentSettings,
    }
    for name, container in containers(overlay):
        if name not in settings:
            continue
        fields = {f"EPOCHAL_{field.upper()}" for field in settings[name].model_fields}
        given = {each["name"] for each in container["env"]}
        own = {"EPOCHAL_RUN_TOKEN_SECRET", "EPOCHAL_SECRET_KEY"}
        assert given <= fields | own, name


@needs_kubectl
@everywhere
def test_agent_says_where_the_gateway_reaches_its_services(overlay: str) -> None:
    agent = next(container for name, container in containers(overlay) if name == "agent")
    given = {each["name"]: each for each in agent["env"]}
    source = given["EPOCHAL_AGENT_HOST"]["valueFrom"]
    assert source["fieldRef"]["fieldPath"] == "status.podIP"


@needs_kubectl
def test_production_has_replicas_and_the_trial_a_database() -> None:
    replicas = {
        each["metadata"]["name"]: each["spec"]["replicas"]
        for each in of_kind("overlays/production", "Deployment")
    }
    assert replicas.pop("monitor") == 1, "its partitions belong to one process"
    assert all(count >= 2 for count in replicas.values())
    assert "postgres" in workloads("overlays/trial")
    assert "postgres" not in workloads("overlays/production")


@needs_kubectl
@everywhere
def test_nats_syncs_every_write_and_accepts_its_configuration(overlay: str, tmp_path: Path) -> None:
    maps = of_kind(overlay, "ConfigMap")
    text = next(each["data"]["nats.conf"] for each in maps if "nats.conf" in each["data"])
    assert "sync_interval: always" in text
    file = tmp_path / "nats.conf"
    file.write_text(text.replace('"/data"', f'"{tmp_path}"'))
    checked = subprocess.run(
        [find_nats(), "-t", "-c", file],
        env={"NATS_TOKEN": "n1", "POD_NAME": "nats-0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


@needs_kubectl
def test_secret_script_makes_every_key_that_is_referred_to() -> None:
    made = subprocess.run([K8S / "secrets.sh"], capture_output=True, text=True, check=True)
    secret = yaml.safe_load(made.stdout)
    referred = {
        key
        for overlay in OVERLAYS
        for _, container in containers(overlay)
        for key in secret_keys(container)
    }
    assert referred == secret["stringData"].keys()
    assert re.fullmatch(r"epo_[\w-]{43}", secret["stringData"]["bootstrap-token"])
    again = subprocess.run([K8S / "secrets.sh"], capture_output=True, text=True, check=True)
    assert again.stdout != made.stdout


def test_dockerfile_has_a_target_for_each_program_and_none_runs_as_root() -> None:
    text = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    stages = dict(re.findall(r"^FROM .* AS (\S+)\n((?:(?!^FROM ).*\n?)*)", text, re.MULTILINE))
    parents = dict(
        (name, parent) for parent, name in re.findall(r"^FROM (\S+) AS (\S+)", text, re.MULTILINE)
    )
    assert re.search(r"^USER 10001:10001$", stages["runtime"], re.MULTILINE)
    scripts: set[str] = set()
    for file in (ROOT / "services").glob("*/pyproject.toml"):
        scripts |= tomllib.loads(file.read_text())["project"]["scripts"].keys()
    git = stages["runtime-git"]
    assert parents["runtime-git"] == "runtime"
    assert re.findall(r"^USER (.*)$", git, re.MULTILINE)[-1] == "10001:10001"
    for name in IMAGES | {"agent"}:
        assert parents[name] == ("runtime-git" if name == "agent" else "runtime")
        assert "USER" not in stages[name]
        assert f'ENTRYPOINT ["epochal-{name}"]' in stages[name]
        assert f"epochal-{name}" in scripts
