"""Peak memory of one student epoch with its evaluation. Runs in a process of its own.

``python -m benchmarks.memory FOLDER BATCH`` prints one JSON object.
"""

import json
import os
import re
import resource
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import PIPE, run

import numpy as np
import torch

from benchmarks.setting import SEED, fresh_network, student_settings
from benchmarks.shapes import write_mosei_like
from cmad.combinations import SAMPLERS
from cmad.methods.cmad import Cmad
from cmad.predictions import predict_combinations
from cmad.store.store import open_store
from cmad.training.fit import Plan, fit
from cmad.training.teacher_cache import teacher_cache

CPU = torch.device("cpu")
# glibc keeps freed blocks below a threshold that it moves by itself, so a process grows with the number
# of its steps. A fixed threshold makes the peak that of what is in use.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


@dataclass(frozen=True)
class Peaks:
    """MiB beyond what the process held before it saw data.

    Attributes:
        resident: peak resident set. It counts the pages of the memory-mapped store that happen to be
            in memory, which the system takes back when it needs them.
        own: the same without pages of files; None where the system does not tell.
        frames: MiB of the store's features.
    """

    resident: float
    own: float | None
    frames: float


def _status() -> Mapping[str, float]:
    """Linux's own account of this process, MiB by field; empty elsewhere."""
    path = Path("/proc/self/status")
    lines = re.findall(r"^(\w+):\s+(\d+) kB$", path.read_text(), re.MULTILINE) if path.exists() else []
    return {name: int(kilobytes) / 1024 for name, kilobytes in lines}


def _resident_peak() -> float:
    # ru_maxrss of a new process starts from its parent's on Linux, so it comes second.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _status().get("VmHWM", peak / (2**20 if sys.platform == "darwin" else 2**10))


class _Watch:
    """Samples the memory that no file backs every few milliseconds while it is open."""

    def __enter__(self) -> "_Watch":
        self.peak = _status().get("RssAnon")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while self.peak is not None and not self._stop.wait(0.005):
            self.peak = max(self.peak, _status()["RssAnon"])

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def epoch_peaks(folder: Path, batch: int) -> Peaks:
    """Teacher outputs, one epoch of a student and its evaluation, over a store."""
    store, settings = open_store(folder), student_settings(batch)
    train, dev = store.splits["train"], store.splits["dev"]
    # One layer: what a batch needs grows with depth, how it grows with the data does not.
    teacher, student = (fresh_network(store, purpose, depth=1) for purpose in ("teacher", "student"))
    teacher.eval().requires_grad_(False)
    method = Cmad(student, settings, store.task, SAMPLERS["authors"])
    plan = Plan(settings.optimiser, batch, 1, settings.dropout_off, SEED, "benchmark")
    resident, own = _resident_peak(), _status().get("RssAnon")
    with _Watch() as watch:
        cache = teacher_cache(teacher, train, store.task, batch, CPU)
        fit(method, train, np.arange(len(train)), cache, lambda epoch: (float(epoch), {}), plan, CPU)
        predict_combinations(student, dev, batch, CPU)
    return Peaks(
        resident=_resident_peak() - resident,
        own=None if own is None or watch.peak is None else watch.peak - own,
        frames=sum(features.nbytes for features in train.features.values()) / 2**20,
    )


def measure(samples: int, batch: int) -> Peaks:
    """``epoch_peaks`` in a fresh process, over a generated store of so many train and 118 dev samples."""
    with tempfile.TemporaryDirectory() as name:
        write_mosei_like(Path(name), {"train": samples, "dev": 118, "test": 0}, SEED)
        command = [sys.executable, "-m", "benchmarks.memory", name, str(batch)]
        environment = os.environ | ALLOCATOR
        done = run(command, check=True, stdout=PIPE, text=True, env=environment)
        return Peaks(**json.loads(done.stdout))


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(asdict(epoch_peaks(Path(sys.argv[1]), int(sys.argv[2])))))
