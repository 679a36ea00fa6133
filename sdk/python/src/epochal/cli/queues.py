"""`epochal queues` and `epochal agents`: where runs wait, and who executes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import QueueService
from google.protobuf.field_mask_pb2 import FieldMask

from epochal.cli.output import (
    Column,
    Output,
    as_json,
    console,
    errors_console,
    print_json,
    show_list,
    show_one,
    size,
    when,
)
from epochal.cli.references import queue_name
from epochal.cli.session import LimitOption, OutputOption, session
from epochal.cli.specs import pairs
from epochal.errors import InvalidArgument
from epochal.names import last_part

app = typer.Typer(no_args_is_help=True, help="Queues: where runs wait, and their limits.")
agents_app = typer.Typer(no_args_is_help=True, help="Agents: who executes runs.")

_UNITS: Final = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_UNITS_10: Final = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_AMOUNT: Final = re.compile(r"(\d+(?:\.\d+)?)([A-Za-z]*)")

_FIELDS = [
    Column[pb.Queue]("QUEUE", lambda queue: _short(queue.name), "bold"),
    Column[pb.Queue]("WAITING", lambda queue: str(queue.waiting), right=True),
    Column[pb.Queue]("RUNNING", lambda queue: str(queue.running), right=True),
    Column[pb.Queue]("AT ONCE", lambda queue: str(queue.concurrency or ""), right=True),
    Column[pb.Queue]("PRIORITY", lambda queue: str(queue.priority or ""), right=True),
    Column[pb.Queue]("QUOTA", lambda queue: _resources(queue.quota)),
    Column[pb.Queue]("USED", lambda queue: _resources(queue.used)),
    Column[pb.Queue]("PREEMPTS", lambda queue: "yes" if queue.preempts else ""),
    Column[pb.Queue]("AGENTS", lambda queue: str(len(queue.agents)), right=True),
]

_ONE = [
    *_FIELDS[:-1],
    Column[pb.Queue]("COST AN HOUR", lambda queue: f"{queue.cost_quota or ''}"),
    Column[pb.Queue]("MAY WAIT", lambda queue: str(queue.max_waiting or "")),
    Column[pb.Queue](
        "SHARES", lambda queue: "  ".join(f"{k}={v:g}" for k, v in sorted(queue.weights.items()))
    ),
    Column[pb.Queue]("AGENTS", lambda queue: " ".join(queue.agents)),
    Column[pb.Queue]("DESCRIPTION", lambda queue: queue.description),
]

_AGENTS = [
    Column[pb.Agent]("AGENT", lambda agent: last_part(agent.name), "bold"),
    Column[pb.Agent]("QUEUES", lambda agent: " ".join(agent.queues)),
    Column[pb.Agent]("FREE", lambda agent: f"{agent.free_slots} of {agent.slots}", right=True),
    Column[pb.Agent]("STATE", lambda agent: "drains" if agent.draining else "takes runs"),
    Column[pb.Agent]("CAPACITY", lambda agent: _resources(agent.capacity)),
    Column[pb.Agent](
        "LABELS", lambda agent: " ".join(f"{k}={v}" for k, v in sorted(agent.labels.items()))
    ),
    Column[pb.Agent]("SEEN", lambda agent: when(agent.seen_time)),
]

QueueArgument = Annotated[str, typer.Argument(help="Such as gpu, or agent/gpu.")]
PriorityOption = Annotated[
    int | None, typer.Option(min=-1000, max=1000, help="Greater goes first on shared agents.")
]
ConcurrencyOption = Annotated[int | None, typer.Option(min=0, help="Runs at once; 0: any.")]
CpuOption = Annotated[str, typer.Option(help="Of all its running runs, such as 8 or 500m.")]
MemoryOption = Annotated[str, typer.Option(help="Of all its running runs, such as 16Gi.")]
GpuOption = Annotated[int | None, typer.Option(min=0, help="Of all its running runs.")]
CustomOption = Annotated[
    list[str] | None, typer.Option("--resource", help="NAME=AMOUNT of another resource; again.")
]
CostOption = Annotated[float | None, typer.Option(min=0, help="What its runs may cost an hour.")]
PreemptsOption = Annotated[
    bool | None, typer.Option("--preempts/--no-preempts", help="May end runs of lower priority.")
]
WeightOption = Annotated[
    list[str] | None,
    typer.Option("--weight", help="Share: projects/P=2 or users/U=0.5; again for more."),
]
WaitingOption = Annotated[
    int | None, typer.Option("--max-waiting", min=0, help="Refuse more than these; 0: 100,000.")
]
DescriptionOption = Annotated[str | None, typer.Option(help="Words about it.")]


@app.command("ls")
def list_queues(limit: LimitOption = 50, output: OutputOption = Output.table) -> None:
    """List queues: those with limits, and those that runs or agents name.

    For example:

        epochal queues ls
    """
    with session() as opened:
        found = opened.paged(
            QueueService.LIST_QUEUES,
            pb.ListQueuesRequest(parent=opened.org),
            lambda page: page.queues,
            limit,
        )
        show_list(found, _FIELDS, output, "no queues, and no agents")


@app.command("get")
def get_queue(queue: QueueArgument, output: OutputOption = Output.table) -> None:
    """Show one queue with its limits and what waits and runs in it.

    For example:

        epochal queues get gpu -o json
    """
    with session() as opened:
        request = pb.GetQueueRequest(name=queue_name(opened.org, queue))
        found = opened.client.call(QueueService.GET_QUEUE, request)
    show_one(found, _ONE, output)


@app.command("create")
def create_queue(
    queue: QueueArgument,
    priority: PriorityOption = None,
    concurrency: ConcurrencyOption = None,
    cpu: CpuOption = "",
    memory: MemoryOption = "",
    gpu: GpuOption = None,
    custom: CustomOption = None,
    cost: CostOption = None,
    preempts: PreemptsOption = None,
    weight: WeightOption = None,
    max_waiting: WaitingOption = None,
    description: DescriptionOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Create a queue with limits; a run waits until all of them leave room for it.

    For example:

        epochal queues create gpu --concurrency 4 --gpu 4 --preempts

        epochal queues create batch --priority -10 --cpu 8 --memory 16Gi --weight projects/vision=3
    """
    wanted, _ = _limits(
        priority, concurrency, cpu, memory, gpu, custom, cost, preempts, weight, max_waiting,
        description,
    )  # fmt: skip
    with session() as opened:
        name = queue_name(opened.org, queue)
        request = pb.CreateQueueRequest(parent=opened.org, queue_id=last_part(name), queue=wanted)
        made = opened.client.call(QueueService.CREATE_QUEUE, request)
    show_one(made, _ONE, output)


@app.command("update")
def update_queue(
    queue: QueueArgument,
    priority: PriorityOption = None,
    concurrency: ConcurrencyOption = None,
    cpu: CpuOption = "",
    memory: MemoryOption = "",
    gpu: GpuOption = None,
    custom: CustomOption = None,
    cost: CostOption = None,
    preempts: PreemptsOption = None,
    weight: WeightOption = None,
    max_waiting: WaitingOption = None,
    description: DescriptionOption = None,
    output: OutputOption = Output.table,
) -> None:
    """Change limits of a queue; what is left out stays. Runs that run go on.

    A quota is changed as a whole: give all of --cpu, --memory, --gpu and --resource that it has.

    For example:

        epochal queues update gpu --concurrency 8

        epochal queues update gpu --no-preempts --weight users/alice=2
    """
    wanted, paths = _limits(
        priority, concurrency, cpu, memory, gpu, custom, cost, preempts, weight, max_waiting,
        description,
    )  # fmt: skip
    if not paths:
        raise InvalidArgument("say what to change: see `epochal queues update --help`")
    with session() as opened:
        wanted.name = queue_name(opened.org, queue)
        request = pb.UpdateQueueRequest(queue=wanted, update_mask=FieldMask(paths=paths))
        changed = opened.client.call(QueueService.UPDATE_QUEUE, request)
    show_one(changed, _ONE, output)


@app.command("delete")
def delete_queue(queue: QueueArgument) -> None:
    """Remove the limits of a queue; runs that name it still wait and run there.

    For example:

        epochal queues delete gpu
    """
    with session() as opened:
        request = pb.DeleteQueueRequest(name=queue_name(opened.org, queue))
        opened.client.call(QueueService.DELETE_QUEUE, request)
    errors_console().print(f"{queue} has no limits any more", highlight=False)


@agents_app.command("ls")
def list_agents(output: OutputOption = Output.table) -> None:
    """List the agents that live, with their queues and free slots.

    For example:

        epochal agents ls -o json
    """
    with session() as opened:
        request = pb.ListAgentsRequest(parent=opened.org)
        found = opened.client.call(QueueService.LIST_AGENTS, request)
    if output is Output.json:
        print_json([as_json(agent) for agent in found.agents])
        return
    show_list(found.agents, _AGENTS, output, "no agent lives: start one with `epochal agent`")
    if found.agents and all(agent.draining for agent in found.agents):
        console().print("all of them drain: nothing new starts", highlight=False)


def _limits(
    priority: int | None,
    concurrency: int | None,
    cpu: str,
    memory: str,
    gpu: int | None,
    custom: Sequence[str] | None,
    cost: float | None,
    preempts: bool | None,
    weight: Sequence[str] | None,
    max_waiting: int | None,
    description: str | None,
) -> tuple[pb.Queue, list[str]]:
    """The limits that options ask for, and the fields that they are."""
    queue, paths = pb.Queue(), list[str]()
    given = {
        "priority": priority,
        "concurrency": concurrency,
        "cost_quota": cost,
        "preempts": preempts,
        "max_waiting": max_waiting,
        "description": description,
    }
    for name, value in given.items():
        if value is not None:
            setattr(queue, name, value)
            paths.append(name)
    if cpu or memory or gpu is not None or custom:
        queue.quota.CopyFrom(
            pb.Resources(
                cpu_millis=_cpu(cpu),
                memory_bytes=_memory(memory),
                gpus=gpu or 0,
                custom=_numbers(custom, "--resource"),
            )
        )
        paths.append("quota")
    if weight:
        queue.weights.update(_numbers(weight, "--weight"))
        paths.append("weights")
    return queue, paths


def _cpu(text: str) -> int:
    found = _AMOUNT.fullmatch(text) if text else None
    if text and (found is None or found[2] not in {"", "m"}):
        raise InvalidArgument(f"--cpu takes 2, 0.5 or 500m, not {text!r}")
    if found is None:
        return 0
    return round(float(found[1]) * (1 if found[2] else 1000))


def _memory(text: str) -> int:
    found = _AMOUNT.fullmatch(text) if text else None
    unit = (_UNITS | _UNITS_10).get(found[2]) if found else None
    if text and unit is None:
        raise InvalidArgument(f"--memory takes 512Mi, 16Gi or 2G, not {text!r}")
    return round(float(found[1]) * unit) if found and unit else 0


def _numbers(given: Sequence[str] | None, option: str) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in pairs(given, option).items()}
    except ValueError:
        raise InvalidArgument(f"{option} takes NAME=NUMBER") from None


def _resources(resources: pb.Resources) -> str:
    told = []
    if resources.cpu_millis:
        told.append(f"cpu={resources.cpu_millis / 1000:g}")
    if resources.memory_bytes:
        told.append(f"memory={size(resources.memory_bytes)}")
    if resources.gpus:
        told.append(f"gpu={resources.gpus}")
    told += [f"{name}={amount:g}" for name, amount in sorted(resources.custom.items())]
    return "  ".join(told)


def _short(name: str) -> str:
    return last_part(name).replace("~", "/")
