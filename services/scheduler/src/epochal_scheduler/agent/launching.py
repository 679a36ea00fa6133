"""What exactly is run for a work item: arguments, environment, folder. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import epochal_proto.v1 as pb

from epochal_scheduler.spec.compiled import OperationPlan
from epochal_scheduler.spec.schema.initializing import Init

MARK = "EPOCHAL_AGENT_MARK"

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_PYTHONS = frozenset({"python", "python3"})


class NothingToRun(ValueError):
    """The operation has no command: it needs its image, and a local agent has none."""


@dataclass(frozen=True, slots=True)
class Host:
    """What the agent adds: where files go, how the platform is reached, which Python is used."""

    folder: Path
    url: str
    python: str
    mark: str
    inherited: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to be: `folder` and `outputs` must exist before it starts.

    `home` is the run's own folder, `folder` where the process begins; `placed` says that the spec
    chose it. `outputs_file` is where the process may write what it has found out. `spool` is where
    the tracking client keeps what the platform has not got: one for each attempt, so that whatever
    is in it when the process is gone is that attempt's and nobody else's. It is made by who writes
    there, in a folder that only this account may enter.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    home: Path
    folder: Path
    placed: bool
    outputs: Path
    outputs_file: Path
    spool: Path
    plan: OperationPlan
    ports: tuple[int, ...] = ()

    def port_of(self, declared: int) -> int:
        """Returns the port that a service was given for one that its spec declares."""
        wanted: Sequence[int] = getattr(self.plan.run, "ports", None) or ()
        known = dict(zip(wanted, self.ports, strict=False))
        return known.get(declared, declared)

    @property
    def steps(self) -> Sequence[Init]:
        """What is to be in place before the process starts."""
        found: Sequence[Init] | None = getattr(self.plan.run, "init", None)
        return found or ()

    @property
    def measured(self) -> bool:
        """Whether what it uses is reported: unless its spec says no."""
        plugins = self.plan.plugins
        return plugins is None or plugins.collect_resources is not False

    @property
    def is_service(self) -> bool:
        """Whether it answers on ports until it is stopped."""
        return self.plan.runtime == "service"


PortFinder = Callable[[Sequence[int]], Sequence[int]]


def plan_launch(
    item: pb.WorkItem, host: Host, find_ports: PortFinder = lambda declared: tuple(declared)
) -> Launch:
    """Plans the process of a work item.

    The agent's own EPOCHAL_ variables hold secrets of the platform and are not handed on. The
    container's variables may refer to earlier ones by `$(NAME)`, as in Kubernetes, and cannot
    replace what the process needs to report. For a service, `find_ports` gives a port for each
    that its spec declares.

    Raises:
        NothingToRun: there is no command.
        pydantic.ValidationError: the item holds no compiled operation.
    """
    plan = OperationPlan.from_json(item.compiled_json)
    container = plan.container
    if container is None:
        raise NothingToRun("the operation has no container, so there is no process to start")
    home = host.folder / "runs" / item.run.rpartition("/")[2]
    outputs = home / "outputs"
    outputs_file = home / f".outputs-{item.attempt}"
    spool = host.folder / "spools" / f"{home.name}-{item.attempt}"
    reserved = {
        "EPOCHAL_URL": host.url,
        "EPOCHAL_TOKEN": item.run_token,
        "EPOCHAL_RUN": item.run,
        "EPOCHAL_PROJECT": item.run.partition("/runs/")[0],
        "EPOCHAL_ATTEMPT": str(item.attempt),
        "EPOCHAL_SPOOL": str(spool),
        "EPOCHAL_CONTEXT_PATH": str(home),
        "EPOCHAL_ARTIFACTS_PATH": str(home.parent),
        "EPOCHAL_RUN_ARTIFACTS_PATH": str(home),
        "EPOCHAL_RUN_OUTPUTS_PATH": str(outputs),
        "EPOCHAL_OUTPUTS_FILE": str(outputs_file),
        "EPOCHAL_STORE_PATH": str(home.parent),
        MARK: host.mark,
    }
    ports: Sequence[int] = ()
    if plan.runtime == "service":
        ports = find_ports(getattr(plan.run, "ports", None) or ())
        reserved |= _service_variables(item.run, ports)
    known = dict(reserved)
    for variable in container.env or ():
        if variable.value is not None and variable.name not in reserved:
            known[variable.name] = expand(variable.value, known)
    argv = [expand(word, known) for word in (*(container.command or ()), *(container.args or ()))]
    if not argv:
        raise NothingToRun("the operation has no command, and a local agent runs no images")
    if argv[0] in _PYTHONS:
        argv[0] = host.python
    placed = bool(container.working_dir)
    folder = home / expand(container.working_dir or "", known)
    inherited = {k: v for k, v in host.inherited.items() if not k.startswith("EPOCHAL_")}
    env = {"PYTHONUNBUFFERED": "1", **inherited, **known}
    return Launch(
        tuple(argv),
        env,
        home,
        folder,
        placed,
        outputs,
        outputs_file,
        spool,
        plan,
        tuple(ports),
    )


def _service_variables(run: str, ports: Sequence[int]) -> dict[str, str]:
    """What a service needs to know: its ports, and the path under which the gateway shows it."""
    return {
        **{f"PORT_{place}": str(port) for place, port in enumerate(ports)},
        **({"PORT": str(ports[0])} if ports else {}),
        "EPOCHAL_PORTS": ",".join(str(port) for port in ports),
        "EPOCHAL_SERVICE_PATH": f"/services/v1/{run}/",
    }


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replaces `$(NAME)` by a variable's value; `$$` is one `$`, unknown names stay.

    As Kubernetes does for commands, arguments and variables (core/v1 Container, field `args`).
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else variables.get(name, match.group(0))

    return _REFERENCE.sub(value, text)
