"""On what something was measured."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from cmad.errors import UserError


@dataclass(frozen=True)
class Machine:
    """What times depend on.

    Attributes:
        processor: its name, as far as the system tells.
        cores: that the system has.
        threads: of torch.
        torch, python: their versions.
        system: kind and version.
        instructions: what torch's own kernels use of the processor, such as "AVX512": virtual machines
            have fewer under the same name.
        gpu: its name; None where none is measured.
        allocator: what glibc's was told by ``GLIBC_TUNABLES``, as ``make benchmark`` does.
    """

    processor: str
    cores: int
    threads: int
    torch: str
    python: str
    system: str
    instructions: str
    gpu: str | None = None
    allocator: str = ""


def this_machine(cores: int, threads: int, gpu: bool = False) -> Machine:
    """The one that this runs on.

    Args:
        gpu: whether what is measured depends on the GPU too.

    Raises:
        UserError: it does, and there is none.
    """
    if gpu and not torch.cuda.is_available():
        raise UserError("torch finds no GPU here, and it is a GPU that would be measured")
    return Machine(
        _processor(),
        cores,
        threads,
        torch.__version__,
        platform.python_version(),
        platform.platform(terse=True),
        torch.backends.cpu.get_cpu_capability(),
        torch.cuda.get_device_name() if gpu else None,
        os.environ.get("GLIBC_TUNABLES", ""),
    )


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", known.read_text()) if known.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()
