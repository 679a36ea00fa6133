"""Generates `epochal_proto.v1` from `epochal/v1/*.proto`.

protoc writes messages and type stubs; this module adds what is ours: one import for all messages
(`epochal_proto.v1`), typed method descriptors (`epochal_proto.v1.services`), the table of events.
An RPC without a policy, or an event without a category, stops the build here, so that a contract
the gateway would have to guess about cannot be installed.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.api import http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

POLICY_FIELD = 50501
EVENT_FIELD = 50502


class ContractError(Exception):
    """The contract breaks one of its own rules; the message names the element and the rule."""


@dataclass(frozen=True)
class Rpc:
    """One method of a service, as the generated table needs it."""

    service: str
    name: str
    request: str
    response: str
    streaming: bool


def generate(root: Path) -> None:
    """Generate all code under `root`/src/epochal_proto.

    Raises:
        ContractError: an RPC has no complete policy, an event no category, or protoc failed.
    """
    target = root / "src" / "epochal_proto"
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        image = compile_image(root, scratch, python_out=scratch)
        rpcs, events = inspect(image)
        for tree in ("v1", "buf"):
            shutil.rmtree(target / tree, ignore_errors=True)
        for source, package in (("epochal/v1", "v1"), ("buf/validate", "buf/validate")):
            _install(scratch / source, target / package)
        (target / "buf" / "__init__.py").touch()
        (target / "buf" / "validate" / "__init__.py").touch()
        _write_package(target / "v1", image, rpcs, events)
        (target / "v1" / "contract.binpb").write_bytes(image.SerializeToString())


def compile_image(
    root: Path, scratch: Path, *, python_out: Path | None = None
) -> descriptor_pb2.FileDescriptorSet:
    """Compile the contract, with comments and all imports, to one descriptor set.

    Raises:
        ContractError: protoc refused a file; its own message is on stderr.
    """
    validate = scratch / "validate.binpb"
    validate.write_bytes(_protovalidate_descriptor())
    image = scratch / "image.binpb"
    includes = {
        root,
        Path(http_pb2.__file__).parents[2],
        Path(protoc.__file__).parent / "_proto",
    }
    command = [
        "protoc",
        f"--descriptor_set_in={validate}",
        *(f"-I{include}" for include in sorted(includes)),
        f"--descriptor_set_out={image}",
        "--include_imports",
        "--include_source_info",
    ]
    files = sorted(str(path.relative_to(root)) for path in (root / "epochal").rglob("*.proto"))
    if python_out is not None:
        command += [f"--python_out={python_out}", f"--pyi_out={python_out}"]
        files.append("buf/validate/validate.proto")
    if protoc.main(command + files) != 0:
        raise ContractError("protoc refused the contract; see its message above")
    return descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())


def inspect(image: descriptor_pb2.FileDescriptorSet) -> tuple[list[Rpc], list[str]]:
    """Collect RPCs and events, checking that each declares what it must.

    Raises:
        ContractError: names the RPC or event and what it lacks.
    """
    pool = descriptor_pool.DescriptorPool()
    for file in image.file:
        pool.Add(file)
    method_options = message_factory.GetMessageClass(
        pool.FindMessageTypeByName("google.protobuf.MethodOptions")
    )
    message_options = message_factory.GetMessageClass(
        pool.FindMessageTypeByName("google.protobuf.MessageOptions")
    )
    # Any: the stubs know extensions only as constants of generated modules.
    policy: Any = pool.FindExtensionByName("epochal.v1.policy")
    event: Any = pool.FindExtensionByName("epochal.v1.event")
    if (policy.number, event.number) != (POLICY_FIELD, EVENT_FIELD):
        raise ContractError("options.proto: the numbers of policy and event must not change")
    rpcs: list[Rpc] = []
    events: list[str] = []
    for file in image.file:
        if file.package != "epochal.v1":
            continue
        for message in file.message_type:
            options = message_options.FromString(message.options.SerializeToString())
            if options.HasExtension(event):
                if not options.Extensions[event].category:
                    raise ContractError(f"{message.name}: an event must name its category")
                events.append(message.name)
        for service in file.service:
            for method in service.method:
                full_name = f"{service.name}.{method.name}"
                options = method_options.FromString(method.options.SerializeToString())
                declared = options.Extensions[policy]
                if not (declared.permission and declared.access and declared.owner):
                    raise ContractError(
                        f"{full_name}: declare option (policy) with permission, access and owner; "
                        "an RPC without a declared permission is not built"
                    )
                unbound = declared.permission in ("authenticated", "internal", "platform.admin")
                if not declared.resource and not unbound:
                    raise ContractError(
                        f"{full_name}: permission {declared.permission!r} needs a resource"
                    )
                if method.client_streaming:
                    raise ContractError(f"{full_name}: client streaming is not served")
                rpcs.append(
                    Rpc(
                        service.name,
                        method.name,
                        method.input_type.removeprefix("."),
                        method.output_type.removeprefix("."),
                        method.server_streaming,
                    )
                )
    return rpcs, events


def _protovalidate_descriptor() -> bytes:
    """The descriptor of buf/validate/validate.proto, out of the protovalidate wheel."""
    from protovalidate._gen.buf.validate import validate_pb

    file = descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()


def _install(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        text = path.read_text()
        for package in ("epochal.v1", "buf.validate"):
            moved = "epochal_proto." + package.removeprefix("epochal.")
            text = re.sub(
                rf"^from {re.escape(package)} import", f"from {moved} import", text, flags=re.M
            )
        if path.name in ("options_pb2.pyi", "validate_pb2.pyi"):
            text = _typed_extensions(text)
        (target / path.name).write_text(text)


def _typed_extensions(stub: str) -> str:
    """Give extensions of options the types that protoc's own stubs leave out."""
    for name, options, value in (
        ("policy", "MethodOptions", "MethodPolicy"),
        ("event", "MessageOptions", "EventPolicy"),
        ("personal", "FieldOptions", "Personal"),
        ("field", "FieldOptions", "FieldRules"),
        ("oneof", "OneofOptions", "OneofRules"),
    ):
        stub = stub.replace(
            f"\n{name}: _descriptor.FieldDescriptor",
            f"\n{name}: _ExtensionFieldDescriptor[_descriptor_pb2.{options}, {value}]",
        )
    imported = "from google.protobuf.internal.extension_dict import _ExtensionFieldDescriptor\n"
    return imported + stub


def _write_package(
    target: Path, image: descriptor_pb2.FileDescriptorSet, rpcs: list[Rpc], events: list[str]
) -> None:
    lines = ['"""Messages, enums and enum values of epochal.v1. Generated: do not edit."""', ""]
    exported: list[str] = []
    for file in sorted(image.file, key=lambda file: file.name):
        if file.package != "epochal.v1":
            continue
        module = Path(file.name).stem + "_pb2"
        names = [message.name for message in file.message_type]
        for enum in file.enum_type:
            names += [enum.name, *(value.name for value in enum.value)]
        if file.name == "epochal/v1/options.proto":
            names += ["policy", "event", "personal"]
        lines += [f"from epochal_proto.v1.{module} import {name} as {name}" for name in names]
        exported += names
    (target / "__init__.py").write_text("\n".join(lines) + "\n")
    (target / "services.py").write_text(_services_module(rpcs))
    (target / "events.py").write_text(_events_module(events))


def _services_module(rpcs: list[Rpc]) -> str:
    lines = [
        '"""One typed descriptor for every RPC of epochal.v1. Generated: do not edit."""',
        "",
        "from typing import Final",
        "",
        "from google.protobuf import empty_pb2",
        "",
        "import epochal_proto.v1 as pb",
        "from epochal_proto.method import AnyMethod, StreamMethod, UnaryMethod",
        "",
    ]
    services: dict[str, list[Rpc]] = {}
    for rpc in rpcs:
        services.setdefault(rpc.service, []).append(rpc)
    for service, methods in services.items():
        lines += ["", f"class {service}:", f'    """RPCs of epochal.v1.{service}."""', ""]
        for rpc in methods:
            kind = "StreamMethod" if rpc.streaming else "UnaryMethod"
            constant = re.sub(r"(?<!^)(?=[A-Z])", "_", rpc.name).upper()
            types = f"{_type(rpc.request)}, {_type(rpc.response)}"
            lines.append(
                f"    {constant}: Final[{kind}[{types}]] = {kind}(\n"
                f'        "epochal.v1.{service}", "{rpc.name}", {types}\n    )'
            )
        lines.append("")
    lines += ["", "METHODS: Final[tuple[AnyMethod, ...]] = ("]
    for rpc in rpcs:
        constant = re.sub(r"(?<!^)(?=[A-Z])", "_", rpc.name).upper()
        lines.append(f"    {rpc.service}.{constant},")
    lines += [")", ""]
    return "\n".join(lines)


def _type(full_name: str) -> str:
    if full_name == "google.protobuf.Empty":
        return "empty_pb2.Empty"
    return "pb." + full_name.removeprefix("epochal.v1.")


def _events_module(events: list[str]) -> str:
    lines = [
        '"""Every event type of epochal.v1, by full name. Generated: do not edit."""',
        "",
        "from typing import Final",
        "",
        "from google.protobuf.message import Message",
        "",
        "import epochal_proto.v1 as pb",
        "",
        "EVENTS: Final[dict[str, type[Message]]] = {",
        *(f'    "epochal.v1.{name}": pb.{name},' for name in sorted(events)),
        "}",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    generate(Path(__file__).parent)
    sys.stdout.write("generated\n")
