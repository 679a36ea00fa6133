"""NVIDIA GPUs by NVML: memory, utilisation, power, temperature.

`nvidia-ml-py` is an extra (`pip install "epochal[gpu]"`) and only imported by the sampler's thread,
so a training without GPUs loads nothing and a machine without the driver says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType


class Gpus:
    """All GPUs of this machine."""

    def __init__(self, nvml: ModuleType) -> None:
        """Takes the initialised `pynvml`, whose own error says when the driver does not answer."""
        self._nvml = nvml
        count = int(nvml.nvmlDeviceGetCount())
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]

    def sample(self) -> Mapping[str, float]:
        """Values of each GPU; what one does not tell is left out."""
        found: dict[str, float] = {}
        for number, handle in enumerate(self._handles):
            for look in (self._memory, self._utilization, self._power, self._temperature):
                try:
                    values = look(handle)
                except self._nvml.NVMLError:
                    continue  # this card has no such sensor
                found.update({f"gpu.{number}.{name}": value for name, value in values.items()})
        return found

    def close(self) -> None:
        """Lets go of the driver."""
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            return  # it is gone already

    def _memory(self, handle: object) -> dict[str, float]:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        return {
            "memory_used_bytes": float(memory.used),
            "memory_percent": 100.0 * memory.used / memory.total,
        }

    def _utilization(self, handle: object) -> dict[str, float]:
        rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
        return {"utilization_percent": float(rates.gpu)}

    def _power(self, handle: object) -> dict[str, float]:
        return {"power_watts": self._nvml.nvmlDeviceGetPowerUsage(handle) / 1000.0}

    def _temperature(self, handle: object) -> dict[str, float]:
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        return {"temperature_celsius": float(self._nvml.nvmlDeviceGetTemperature(handle, sensor))}


def find_gpus(load: Callable[[str], ModuleType] = import_module) -> Gpus | None:
    """The GPUs of this machine; None without the extra, the driver, or any GPU."""
    try:
        nvml = load("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        return Gpus(nvml)
    except nvml.NVMLError:
        return None
