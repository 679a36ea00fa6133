"""What events say, as points and records: scalars, histograms, images, sounds and texts.

Both forms are read: the summaries of TensorFlow 1 (PyTorch and tensorboardX write them), and the
tensors with a plugin's name of TensorFlow 2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import epochal_proto.v1 as pb
from google.protobuf.message import DecodeError

from epochal.errors import DataLoss, InvalidArgument
from epochal.records.images import encode_image
from epochal.records.made import Made
from epochal.records.spreads import MOST_BINS, encode_counts
from epochal.records.texts import encode_text
from epochal.tensorboard.messages import event_class

#: struct's letter by TensorFlow's DataType, of the numbers that summaries hold.
_TYPES: Final = {1: "f", 2: "d", 3: "i", 9: "q", 19: "e"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """One point."""

    tag: str
    step: int
    time_us: int
    value: float


@dataclass(frozen=True, slots=True)
class Thing:
    """One record."""

    tag: str
    step: int
    made: Made


def read_event(data: bytes) -> Iterator[Scalar | Thing]:
    """Yields what one event says; what is of no known kind is left out.

    Raises:
        DataLoss: It is no event.
    """
    try:
        event = event_class().FromString(data)
    except DecodeError as error:
        raise DataLoss(f"an event of TensorBoard cannot be read: {error}") from error
    time_us = int(event.wall_time * 1e6)
    for value in event.summary.value:
        number = _number(value)
        if number is not None:
            yield Scalar(value.tag, event.step, time_us, number)
            continue
        try:
            for made in _things(value):
                made.about.time_us = time_us
                yield Thing(value.tag, event.step, made)
        except InvalidArgument:
            continue  # an image of an unknown format, a histogram without bins


def _number(value: Any) -> float | None:
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.HasField("tensor") and _plugin(value) in ("", "scalars"):
        numbers = _numbers(value.tensor)
        if len(numbers) == 1:
            return numbers[0]
    return None


def _things(value: Any) -> Iterator[Made]:
    kind = value.WhichOneof("value")
    plugin = _plugin(value)
    if kind == "image":
        yield encode_image(value.image.encoded_image_string)
    elif kind == "histo":
        yield from _histogram(value.histo)
    elif kind == "audio":
        yield _sound(value.audio)
    elif kind == "tensor" and plugin == "images":
        for image in value.tensor.string_val[2:]:  # width and height come first
            yield encode_image(image)
    elif kind == "tensor" and plugin == "text":
        for text in value.tensor.string_val:
            yield encode_text("text", text.decode("utf-8", "replace"))
    elif kind == "tensor" and plugin == "histograms":
        rows = _numbers(value.tensor)
        if rows and len(rows) % 3 == 0:
            edges = [rows[0], *rows[1::3]]
            yield _counted(edges, rows[2::3])


def _plugin(value: Any) -> str:
    return str(value.metadata.plugin_data.plugin_name)


def _numbers(tensor: Any) -> list[float]:
    for field in (tensor.float_val, tensor.double_val, tensor.int_val, tensor.int64_val):
        if field:
            return [float(number) for number in field]
    letter = _TYPES.get(tensor.dtype)
    if letter is None:
        return []
    size = struct.calcsize(letter)
    count = len(tensor.tensor_content) // size
    return [
        float(number)
        for number in struct.unpack(f"<{count}{letter}", tensor.tensor_content[: count * size])
    ]


def _histogram(histo: Any) -> Iterator[Made]:
    """Edges from upper limits; what lies beyond the least and the greatest value is cut off."""
    if not histo.bucket:
        return
    lower = min(histo.min, histo.bucket_limit[0])
    limits = [lower, *histo.bucket_limit]
    edges = [min(max(edge, histo.min), max(histo.max, histo.min)) for edge in limits]
    counts = list(histo.bucket)
    filled = [place for place, count in enumerate(counts) if count]
    if not filled:
        return
    first, last = filled[0], filled[-1] + 1
    yield _counted(edges[first : last + 1], counts[first:last])


def _counted(edges: Sequence[float], counts: Sequence[float]) -> Made:
    while len(counts) > MOST_BINS:  # two bins become one
        pairs = [*counts, 0.0] if len(counts) % 2 else list(counts)
        last = edges[-1]
        edges = [*edges[: len(counts) : 2], last]
        counts = [a + b for a, b in list(pairwise(pairs))[::2]]
    return encode_counts(edges, counts)


def _sound(audio: Any) -> Made:
    summary = pb.AudioSummary(
        rate=int(audio.sample_rate),
        channels=audio.num_channels,
        duration_s=audio.length_frames / audio.sample_rate if audio.sample_rate else 0.0,
    )
    about = pb.Record(kind="audio", media_type=audio.content_type or "audio/wav", audio=summary)
    return Made(about, audio.encoded_audio_string, ".wav")
