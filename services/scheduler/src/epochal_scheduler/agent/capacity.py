"""What the machine of an agent has, for the scheduler to share out."""

from __future__ import annotations

import os
import subprocess

import epochal_proto.v1 as pb

GPU_S = 5.0


def measure() -> pb.Resources:
    """Returns processors this process may use, memory, and NVIDIA GPUs if there are any."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = 0
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return pb.Resources(cpu_millis=1000 * (cores or 1), memory_bytes=memory, gpus=_gpus())


def _gpus() -> int:
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=GPU_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
