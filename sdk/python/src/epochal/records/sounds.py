"""Sounds and films as records."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Final

import epochal_proto.v1 as pb

from epochal.artifacts import media_type
from epochal.records import images
from epochal.records.made import Made, existing, package, wrong

if TYPE_CHECKING:
    import numpy

RATE: Final = 44_100


def encode_audio(sound: object, rate: int = RATE, caption: str = "") -> Made:
    """Encodes a sound as 16-bit WAV.

    Args:
        sound: a path, or samples: N or Nx(channels), floats from -1 to 1 or whole numbers.
        rate: samples a second.
        caption: to show with it.

    Raises:
        InvalidArgument: It is none of these.
        FailedPrecondition: numpy is not installed.
    """
    if isinstance(sound, str | Path):
        file = existing(sound)
        about = pb.Record(
            kind="audio", media_type=media_type(file.name), caption=caption, audio=_measure(file)
        )
        return Made(about, file, file.suffix)
    if rate <= 0:
        raise wrong("rate", "positive", f"a sound has a positive rate, not {rate}")
    samples = _samples(sound)
    target = io.BytesIO()
    with wave.open(target, "wb") as written:
        written.setnchannels(samples.shape[1])
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(samples.tobytes())
    summary = pb.AudioSummary(
        rate=rate, channels=samples.shape[1], duration_s=samples.shape[0] / rate
    )
    about = pb.Record(kind="audio", media_type="audio/wav", caption=caption, audio=summary)
    return Made(about, target.getvalue(), ".wav")


def encode_video(video: object, rate: float = 4.0, caption: str = "") -> Made:
    """Encodes a film: a file as it is, frames as an animated PNG, which browsers play.

    Args:
        video: a path, or frames: TxHxW, TxHxWxC or TxCxHxW.
        rate: frames a second.
        caption: to show with it.

    Raises:
        InvalidArgument: It is none of these, or frames differ in size.
        FailedPrecondition: numpy is not installed.
    """
    if isinstance(video, str | Path):
        file = existing(video)
        about = pb.Record(
            kind="video", media_type=media_type(file.name), caption=caption, video=pb.VideoSummary()
        )
        return Made(about, file, file.suffix)
    if not 0 < rate <= 1000:
        raise wrong("rate", "range", f"a film has up to 1000 frames a second, not {rate}")
    frames = [images.pixels(frame) for frame in video] if hasattr(video, "__iter__") else []
    if not frames or len({frame.shape for frame in frames}) > 1:
        raise wrong("video", "frames", "a film is one or more frames of one size")
    height, width = frames[0].shape[:2]
    summary = pb.VideoSummary(width=width, height=height, frames=len(frames), rate=rate)
    about = pb.Record(kind="video", media_type="image/apng", caption=caption, video=summary)
    return Made(about, to_apng(frames, rate), ".apng")


def to_apng(frames: list[numpy.ndarray], rate: float) -> bytes:
    """An animated PNG of images of bytes of one size (PNG 3rd edition, 11.3.6)."""
    height, width = frames[0].shape[:2]
    parts = [
        images.MAGIC,
        images.header(frames[0]),
        images.chunk(b"acTL", struct.pack(">II", len(frames), 0)),
    ]
    sequence = 0
    for place, frame in enumerate(frames):
        control = struct.pack(
            ">IIIIIHHBB", sequence, width, height, 0, 0, round(1000 / rate), 1000, 0, 0
        )
        parts.append(images.chunk(b"fcTL", control))
        sequence += 1
        data = images.compressed(frame)
        if place == 0:
            parts.append(images.chunk(b"IDAT", data))
        else:
            parts.append(images.chunk(b"fdAT", struct.pack(">I", sequence) + data))
            sequence += 1
    return b"".join([*parts, images.chunk(b"IEND", b"")])


def _samples(sound: object) -> numpy.ndarray:
    np = package("numpy", "a sound of numbers")
    for step in ("detach", "cpu", "numpy"):
        sound = getattr(sound, step)() if hasattr(sound, step) else sound
    array: numpy.ndarray = np.asarray(sound)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not 1 <= array.shape[1] <= 64:
        raise wrong(
            "sound", "shape", f"a sound is N or N x channels samples, not of shape {array.shape}"
        )
    if array.dtype.kind == "f":
        clean = np.nan_to_num(array, nan=0.0, posinf=1.0, neginf=-1.0)
        array = (np.clip(clean, -1.0, 1.0) * 32767.0).round().astype("<i2")
    elif array.dtype.kind in "iu":
        array = np.clip(array, -32768, 32767).astype("<i2")
    else:
        raise wrong("sound", "dtype", f"a sound is of numbers, not of {array.dtype}")
    return array


def _measure(file: Path) -> pb.AudioSummary:
    try:
        with wave.open(str(file)) as opened:
            rate = opened.getframerate()
            return pb.AudioSummary(
                rate=rate,
                channels=opened.getnchannels(),
                duration_s=opened.getnframes() / rate if rate else 0.0,
            )
    except (wave.Error, EOFError):
        return pb.AudioSummary()
