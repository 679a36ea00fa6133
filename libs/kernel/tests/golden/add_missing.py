"""Give event types that have no golden bytes an entry, and leave every other entry alone.

    uv run --no-sync python libs/kernel/tests/golden/add_missing.py

Look at what was added, make its values mean something, commit. An entry is never edited after a
release: events with those bytes are in somebody's log.
"""

from __future__ import annotations

import json
from pathlib import Path

from epochal_proto.v1.events import EVENTS
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

FILE = Path(__file__).with_name("events.json")
RUN = "orgs/acme/projects/vision/runs/0192f0c0-0000-7000-8000-000000000001"
TEXTS = {
    "run": RUN,
    "producer": "0192f0c0-0000-7000-8000-000000000002",
    "project": "orgs/acme/projects/vision",
    "parent": "orgs/acme/projects/vision",
    "organization": "orgs/acme",
    "member": "users/alice",
    "user": "users/alice",
    "model": "orgs/acme/projects/vision/models/digits",
    "alias": "champion",
    "queue": "default",
    "agent": "agents/worker-1",
    "email": "alice@example.org",
    "path": "models/digits.onnx",
    "kind": "model",
    "media_type": "application/octet-stream",
    "dataset": "digits",
    "uri": "s3://datasets/digits.parquet",
    "digest": "sha256:" + "ab" * 32,
    "subscription": "orgs/acme/projects/vision/subscriptions/0192f0c0-0000-7000-8000-000000000003",
    "delivery": "0192f0c0-0000-7000-8000-000000000004",
    "outcome": "200 OK",
    "reason": "the agent fell silent",
    "message": "exit status 3",
    "actor": "users/alice",
    "name": "digits",
    "display_name": "Digits, handwritten",
    "description": "Zahlen, von Hand geschrieben – très lisible",  # noqa: RUF001 - text as people write it
    "token": "orgs/acme/tokens/0192f0c0-0000-7000-8000-000000000005",
    "source_run": RUN,
    "upstream": RUN,
}
NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: 3,
    FieldDescriptor.CPPTYPE_INT64: 2**40 + 7,
    FieldDescriptor.CPPTYPE_UINT32: 5,
    FieldDescriptor.CPPTYPE_UINT64: 2**41 + 9,
    FieldDescriptor.CPPTYPE_DOUBLE: 0.1,
    FieldDescriptor.CPPTYPE_FLOAT: 0.5,
    FieldDescriptor.CPPTYPE_BOOL: True,
}


def value_of(field: FieldDescriptor) -> object:
    """Choose a value that is not the default and says which field it is in."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return max(value.number for value in field.enum_type.values)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes(range(32))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return TEXTS.get(field.name, f"{field.name} of caf\u00e9")
    return NUMBERS[field.cpp_type]


def fill(message: Message, depth: int = 0) -> None:
    """Set every field once; of a oneof, the first."""
    if message.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        message.FromJsonString("2026-01-02T03:04:05.678901Z")
        return
    chosen: set[str] = set()
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.name in chosen:
            continue
        if oneof is not None:
            chosen.add(oneof.name)
        entry = field.message_type
        target = getattr(message, field.name)
        if entry is not None and entry.GetOptions().map_entry:
            key, value = value_of(entry.fields[0]), entry.fields[1]
            if value.message_type is None:
                target[key] = value_of(value)
            elif depth < 4:
                fill(target[key], depth + 1)
        elif entry is not None:
            if depth < 4:
                fill(target.add() if field.is_repeated else target, depth + 1)
        elif field.is_repeated:
            target.append(value_of(field))
        else:
            setattr(message, field.name, value_of(field))


def main() -> None:
    """Add what is missing."""
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name, kind in EVENTS.items():
        if name not in known:
            message = kind()
            fill(message)
            known[name] = {
                "hex": message.SerializeToString(deterministic=True).hex(),
                "means": MessageToDict(message, preserving_proto_field_name=True),
            }
            print(f"added {name}")
    FILE.write_text(json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
