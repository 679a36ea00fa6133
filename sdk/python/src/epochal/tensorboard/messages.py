"""The messages of event files, as far as they are read (tensorflow/core/util/event.proto).

They are described here at run time, in a pool of their own: a process that has TensorFlow loaded
has the same names in the usual one.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

#: By message: field name, number, type; "*" is repeated, a capital a message.
_MESSAGES: Final = {
    "Event": "wall_time 1 double, step 2 int64, file_version 3 string, summary 5 Summary",
    "Summary": "value 1 *Value",
    "Value": "tag 1 string, simple_value 2 float, image 4 Image, histo 5 Histogram, audio 6 Audio, "
    "tensor 8 Tensor, metadata 9 Metadata",
    "Image": "height 1 int32, width 2 int32, encoded_image_string 4 bytes",
    "Histogram": "min 1 double, max 2 double, bucket_limit 6 *double, bucket 7 *double",
    "Audio": "sample_rate 1 float, num_channels 2 int64, length_frames 3 int64, "
    "encoded_audio_string 4 bytes, content_type 5 string",
    "Metadata": "plugin_data 1 PluginData",
    "PluginData": "plugin_name 1 string",
    "Tensor": "dtype 1 int32, tensor_shape 2 Shape, tensor_content 4 bytes, float_val 5 *float, "
    "double_val 6 *double, int_val 7 *int32, string_val 8 *bytes, int64_val 10 *int64",
    "Shape": "dim 2 *Dim",
    "Dim": "size 1 int64",
}
#: Of `Value`: one of these is set.
_ONE_OF: Final = ("simple_value", "image", "histo", "audio", "tensor")


@cache
def event_class() -> Any:
    """The class of `Event`."""
    file = FileDescriptorProto(name="events.proto", package="tb", syntax="proto3")
    for name, text in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name == "Value":
            message.oneof_decl.add(name="value")
        for spec in text.split(", "):
            field, number, kind = spec.split()
            repeated, kind = kind.startswith("*"), kind.removeprefix("*")
            added = message.field.add(name=field, number=int(number))
            added.label = (
                FieldDescriptorProto.LABEL_REPEATED
                if repeated
                else FieldDescriptorProto.LABEL_OPTIONAL
            )
            if kind[0].isupper():
                added.type = FieldDescriptorProto.TYPE_MESSAGE
                added.type_name = f".tb.{kind}"
            else:
                added.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
            if name == "Value" and field in _ONE_OF:
                added.oneof_index = 0
    pool = DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call,unused-ignore]  # of protobuf
    return GetMessageClass(pool.FindMessageTypeByName("tb.Event"))
