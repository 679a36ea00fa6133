"""Names of queues on the message bus: where work goes and who takes it."""

from __future__ import annotations


def queue_token(queue: str) -> str:
    """Returns a queue's name as a token of subjects and consumer names.

    Polyaxon's `agent/queue` has a slash, which consumer names forbid; queue names have no `_`
    (see QUEUE_PATTERN), so the mapping never joins two queues.
    """
    return queue.replace("/", "_")


def work_subject(queue: str) -> str:
    """Returns the subject on which a queue's work is published."""
    return f"work.v1.{queue_token(queue)}"


def consumer_name(queue: str) -> str:
    """Returns the durable consumer that all agents of a queue share."""
    return f"agents-{queue_token(queue)}"
