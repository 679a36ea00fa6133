"""Images as records: arrays, PIL images, figures, files; a PNG is written here without Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import epochal_proto.v1 as pb

from epochal.artifacts import media_type
from epochal.records.made import Made, existing, package, wrong

if TYPE_CHECKING:
    import numpy

MAGIC: Final = b"\x89PNG\r\n\x1a\n"
#: PNG colour types by number of channels (PNG 3rd edition, 11.2.1).
_COLOURS: Final = {1: 0, 2: 4, 3: 2, 4: 6}
_LEVEL: Final = 3
_SIGNATURES: Final = {MAGIC: ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp"}


@runtime_checkable
class _Figure(Protocol):
    def savefig(self, target: io.BytesIO, *, format: str) -> object: ...


@runtime_checkable
class _Picture(Protocol):
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def mode(self) -> str: ...
    def save(self, target: io.BytesIO, *, format: str) -> object: ...


def encode_image(image: object, caption: str = "", boxes: Iterable[pb.ImageBox] = ()) -> Made:
    """Encodes an image.

    Args:
        image: a path, encoded bytes, a PIL image, a matplotlib figure, or an array or tensor:
            HxW, HxWxC or CxHxW with 1 to 4 channels; floats are 0 to 1, whole numbers 0 to 255.
        caption: to show with it.
        boxes: what was found in it.

    Raises:
        InvalidArgument: It is none of these.
    """
    content: bytes | Path
    if isinstance(image, str | Path):
        content, suffix = existing(image), Path(image).suffix.lower() or ".png"
        with content.open("rb") as file:
            head = file.read(32)
    else:
        content = _bytes(image)
        head, suffix = content[:32], _suffix(content)
    width, height = _measure(head)
    summary = pb.ImageSummary(width=width, height=height, boxes=boxes)
    about = pb.Record(
        kind="image", media_type=media_type(f"x{suffix}"), caption=caption, image=summary
    )
    return Made(about, content, suffix)


def boxes_of(
    boxes: Iterable[object],
    labels: Iterable[str] = (),
    scores: Iterable[float] = (),
) -> list[pb.ImageBox]:
    """Makes boxes from rows of left, top, right, bottom in pixels, or mappings of the fields.

    Raises:
        InvalidArgument: A box has not four sides, or there are more labels or scores than boxes.
    """
    made = []
    for box in boxes:
        if isinstance(box, pb.ImageBox):
            made.append(box)
        elif isinstance(box, Mapping):
            made.append(pb.ImageBox(**box))
        else:
            sides = [float(side) for side in box] if isinstance(box, Iterable) else []
            if len(sides) != 4:
                raise wrong("boxes", "sides", f"a box is left, top, right, bottom, not {box!r}")
            left, top, right, bottom = sides
            made.append(pb.ImageBox(left=left, top=top, width=right - left, height=bottom - top))
    named, scored = list(labels), list(scores)
    if len(named) > len(made) or len(scored) > len(made):
        raise wrong("boxes", "length", f"{len(made)} boxes have no more labels or scores than that")
    for one, label in zip(made, named, strict=False):
        one.label = label
    for one, score in zip(made, scored, strict=False):
        one.score = float(score)
    return made


def pixels(image: object) -> numpy.ndarray:
    """An array or tensor as HxWxC of bytes.

    Raises:
        InvalidArgument: It has no such shape.
        FailedPrecondition: numpy is not installed.
    """
    np = package("numpy", "an image of numbers")
    for step in ("detach", "cpu", "numpy"):  # tensors of torch and alike
        image = getattr(image, step)() if hasattr(image, step) else image
    try:
        array: numpy.ndarray = np.asarray(image)
    except ValueError as error:
        raise wrong("image", "shape", f"this is no image: {error}") from None
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim == 3 and array.shape[2] not in _COLOURS and array.shape[0] in _COLOURS:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in _COLOURS or 0 in array.shape:
        raise wrong(
            "image",
            "shape",
            f"an image is HxW, HxWxC or CxHxW with 1 to 4 channels, not {array.shape} of "
            f"{array.dtype}",
        )
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype.kind == "f":
        clean = np.nan_to_num(array, nan=0.0, posinf=1.0, neginf=0.0)
        array = (np.clip(clean, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    elif array.dtype.kind in "iu":
        array = np.clip(array, 0, 255).astype(np.uint8)
    else:
        raise wrong("image", "dtype", f"an image is of numbers, not of {array.dtype}")
    return array


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG: length, type, data, CRC."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(array: numpy.ndarray) -> bytes:
    """The IHDR chunk of an image of bytes."""
    height, width, channels = array.shape
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0))


def compressed(array: numpy.ndarray) -> bytes:
    """The pixels of an image of bytes, every line unfiltered, as a zlib stream."""
    np = package("numpy", "an image of numbers")
    height, width, channels = array.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)
    lines[:, 1:] = array.reshape(height, -1)
    return zlib.compress(lines.tobytes(), _LEVEL)


def to_png(array: numpy.ndarray) -> bytes:
    """A PNG of an HxWxC image of bytes (ISO/IEC 15948)."""
    return MAGIC + header(array) + chunk(b"IDAT", compressed(array)) + chunk(b"IEND", b"")


def _bytes(image: object) -> bytes:
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    target = io.BytesIO()
    if isinstance(image, _Figure):
        image.savefig(target, format="png")
    elif isinstance(image, _Picture):
        image.save(target, format="PNG")
    else:
        return to_png(pixels(image))
    return target.getvalue()


def _suffix(content: bytes) -> str:
    for signature, suffix in _SIGNATURES.items():
        if content.startswith(signature):
            return suffix
    raise wrong("image", "format", "these bytes are no PNG, JPEG, GIF or WebP image")


def _measure(head: bytes) -> tuple[int, int]:
    """Width and height of a PNG or GIF, from its first bytes; 0 of others."""
    if head.startswith(MAGIC) and len(head) >= 24:
        width, height = struct.unpack_from(">II", head, 16)
        return int(width), int(height)
    if head.startswith(b"GIF8") and len(head) >= 10:
        width, height = struct.unpack_from("<HH", head, 6)
        return int(width), int(height)
    return 0, 0
