"""On what something was measured."""

import platform
import re
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Machine:
    """What times depend on.

    Attributes:
        processor: its name, as far as the system tells.
        cores: that the system has.
        threads: of torch.
        torch, python: their versions.
        system: kind and version.
    """

    processor: str
    cores: int
    threads: int
    torch: str
    python: str
    system: str


def this_machine(cores: int, threads: int) -> Machine:
    """The one that this runs on."""
    return Machine(
        _processor(),
        cores,
        threads,
        torch.__version__,
        platform.python_version(),
        platform.platform(terse=True),
    )


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", known.read_text()) if known.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()
