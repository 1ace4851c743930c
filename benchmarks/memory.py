"""Memory that this process uses, and the peak of it while something runs."""

import re
import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path

# glibc keeps freed blocks below a threshold that it moves by itself, so a process grows with the number
# of its steps. A fixed threshold makes the peak that of what is in use.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "GLIBC_TUNABLES": ""}
# Seconds between two looks.
_OFTEN = 0.002


def _own() -> float | None:
    """MiB that this process holds and no file backs; None where the system does not tell."""
    path = Path("/proc/self/status")
    found = re.search(r"^RssAnon:\s+(\d+) kB$", path.read_text(), re.MULTILINE) if path.exists() else None
    return int(found[1]) / 1024 if found else None


def resident_peak() -> float:
    """Peak resident set of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


class _Watch:
    """Samples ``_own`` while it is open."""

    def __enter__(self) -> "_Watch":
        self.peak = _own()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while self.peak is not None and not self._stop.wait(_OFTEN):
            self.peak = max(self.peak, _own() or 0.0)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def peak_of(work: Callable[[], object]) -> float:
    """Do something; the peak beyond what the process held before, MiB.

    Pages of memory-mapped files do not count where the system tells them apart, for it takes them back
    when it needs them. Nor does what the process had given back and glibc still held; a fresh process under
    ``ALLOCATOR`` has none of that.
    """
    resident, own = resident_peak(), _own()
    with _Watch() as watch:
        work()
    return resident_peak() - resident if own is None or watch.peak is None else watch.peak - own
