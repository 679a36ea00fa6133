"""The comments of proto/, for the documents generated from it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources

from google.protobuf import descriptor_pb2


@cache
def comments() -> Mapping[str, str]:
    """Return the leading comment of every element of the contract by full name."""
    data = resources.files("epochal_proto").joinpath("v1/contract.binpb").read_bytes()
    found: dict[str, str] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        if file.package != "epochal.v1":
            continue
        for location in file.source_code_info.location:
            name = _name(file, list(location.path))
            if name and location.leading_comments:
                found[name] = " ".join(location.leading_comments.split())
    return found


def _name(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str:
    """Return the full name of what a source path points to (descriptor.proto, SourceCodeInfo)."""
    if len(path) < 2:
        return ""
    kind, index = path[0], path[1]
    if kind == 4:  # message_type
        message = file.message_type[index]
        name = f"{file.package}.{message.name}"
        if len(path) == 2:
            return name
        if len(path) == 4 and path[2] == 2:  # field
            return f"{name}.{message.field[path[3]].name}"
    if kind == 5:  # enum_type
        enum = file.enum_type[index]
        name = f"{file.package}.{enum.name}"
        if len(path) == 2:
            return name
        if len(path) == 4 and path[2] == 2:  # value
            return f"{file.package}.{enum.value[path[3]].name}"
    if kind == 6:  # service
        service = file.service[index]
        name = f"{file.package}.{service.name}"
        if len(path) == 2:
            return name
        if len(path) == 4 and path[2] == 2:  # method
            return f"{name}.{service.method[path[3]].name}"
    return ""
