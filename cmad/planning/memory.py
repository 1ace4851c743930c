"""Whether a training fits into memory, before it is tried."""

from pathlib import Path

# Bytes for each weight: teacher, student, gradient, Adam's two moments, the best epoch's copy.
_PER_WEIGHT = 6 * 4


def training_bytes(weights: int) -> int:
    """What the weights of a training need at least; activations come on top."""
    return _PER_WEIGHT * weights


def available(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes of memory that are free or can be freed; None where the system does not say."""
    try:
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
