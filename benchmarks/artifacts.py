"""Artifacts through the gateway: MB/s up and down, and what memory the gateway takes for it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import time
from pathlib import Path

import epochal
import httpx

from benchmarks.platforms import peak_mb, running_platform
from benchmarks.report import Row

SIZE_MB = 512
SMALL = 200
SMALL_BYTES = 20_000


async def run(seconds: float) -> list[Row]:
    """Measure one large file both ways, and many small ones."""
    del seconds  # the workload has a size, not a duration
    return await asyncio.to_thread(measure)


def measure() -> list[Row]:
    """Measure with the SDK and a plain HTTP client in this process."""
    with running_platform() as (home, connection):
        os.environ["EPOCHAL_URL"] = connection.url
        os.environ["EPOCHAL_TOKEN"] = connection.token
        os.environ["EPOCHAL_PROJECT"] = connection.project
        os.environ["EPOCHAL_SPOOL"] = str(home.root / "spool")
        folder = home.root.parent
        before = peak_mb(home, "gateway")
        large = folder / "large.bin"
        digest = fill(large, SIZE_MB)
        few = folder / "few"
        few.mkdir()
        for number in range(SMALL):
            (few / f"{number}.bin").write_bytes(random.Random(number).randbytes(SMALL_BYTES))
        with epochal.init(name="artifacts", strict=True) as one:
            began = time.perf_counter()
            one.log_artifact(large)
            up_s = time.perf_counter() - began
            began = time.perf_counter()
            one.log_artifact(few)
            few_s = time.perf_counter() - began
            url = f"{connection.url}/v1/{one.name}/artifacts/large.bin"
            headers = {"authorization": f"Bearer {connection.token}"}
            hasher = hashlib.sha256()
            began = time.perf_counter()
            with httpx.stream("GET", url, headers=headers, timeout=60) as answer:
                for part in answer.iter_bytes():
                    hasher.update(part)
            down_s = time.perf_counter() - began
        if hasher.digest() != digest:
            raise RuntimeError("other bytes came back")
        after = peak_mb(home, "gateway")
    return [
        Row(f"up, one file of {SIZE_MB} MiB", SIZE_MB * 1.048576 / up_s, "MB/s"),
        Row(f"down, one file of {SIZE_MB} MiB", SIZE_MB * 1.048576 / down_s, "MB/s"),
        Row(f"up, {SMALL} files of {SMALL_BYTES // 1000} kB", SMALL / few_s, "files/s"),
        Row("gateway, peak before", before, "MiB"),
        Row("gateway, peak after", after, "MiB"),
    ]


def fill(path: Path, size_mb: int) -> bytes:
    """Write noise to a file and return its sha256."""
    hasher = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(size_mb):
            part = random.Random(number).randbytes(1024 * 1024)
            hasher.update(part)
            file.write(part)
    return hasher.digest()
