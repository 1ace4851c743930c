"""Speed and memory against the plain dense implementation; writes ``reports/benchmark.md``.

``python -m benchmarks.run [--threads 1] [--repeats 5]``
"""

import argparse
import platform
import re
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import dense, memory
from benchmarks.setting import BATCH, DEV_SAMPLES, SEED, TRAIN_SAMPLES
from benchmarks.shapes import FRAMES, WIDTHS, write_mosei_like
from benchmarks.speed import (
    CPU,
    Epoch,
    Seconds,
    disagreement,
    frozen_teacher,
    now,
    plain_epoch,
    project_epoch,
    shown_share,
)
from cmad.combinations import MODALITIES
from cmad.files import whole_file
from cmad.randomness import torch_threads
from cmad.store.store import open_store
from cmad.training.teacher_cache import teacher_cache

REPORT = Path("reports/benchmark.md")
# Both implementations must mean the same: losses and dev outputs, after an epoch of separate updates.
TOLERANCE = 1e-5
# Train samples and batch of each measurement of memory.
MEMORY = ((1024, 128), (8192, 128), (1024, 512))


@dataclass(frozen=True)
class Speed:
    """What was timed.

    Attributes:
        project, plain: one epoch per repeat, in turn.
        cache: the project's teacher outputs on the train samples, made once for all epochs.
        difference: the largest between losses and outputs of both.
        frames: mean length of the train samples.
        shown: share of the (sample, modality) pairs that training shows.
    """

    project: Sequence[Epoch]
    plain: Sequence[Epoch]
    cache: Seconds
    difference: float
    frames: float
    shown: float


def measure_speed(repeats: int) -> Speed:
    """Time both, in turn, so that what else the machine does falls on both."""
    with tempfile.TemporaryDirectory() as name:
        write_mosei_like(Path(name), {"train": TRAIN_SAMPLES, "dev": DEV_SAMPLES, "test": 0}, SEED)
        store = open_store(Path(name))
        teacher, train = frozen_teacher(store), store.splits["train"]
        start = now()
        cache = teacher_cache(teacher, train, store.task, BATCH, CPU)
        cached = now() - start
        print(f"teacher outputs, once: {cached.wall:.1f} s", flush=True)
        whole = {
            part: dense.pad(store.splits[part], dict.fromkeys(MODALITIES, FRAMES))
            for part in ("train", "dev")
        }
        project, plain = [], []
        for repeat in range(repeats):
            project.append(project_epoch(store, cache))
            plain.append(plain_epoch(store, teacher, whole["train"], whole["dev"]))
            print(
                f"repeat {repeat + 1} of {repeats}: project {project[-1].whole.wall:.1f} s, "
                f"plain {plain[-1].whole.wall:.1f} s",
                flush=True,
            )
        difference = max(disagreement(ours, theirs) for ours, theirs in zip(project, plain, strict=True))
        frames = float(train.lengths["language"].mean())
        return Speed(project, plain, cached, difference, frames, shown_share(train))


def measure_memory() -> list[memory.Peaks]:
    """Peaks of each of ``MEMORY``."""
    peaks = []
    for samples, batch in MEMORY:
        peaks.append(memory.measure(samples, batch))
        print(f"memory of {samples} samples in batches of {batch}: {peaks[-1].resident:.0f} MiB", flush=True)
    return peaks


def processor() -> str:
    """Its name, as far as the system tells."""
    known = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", known.read_text()) if known.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def speed_table(speed: Speed) -> str:
    """Medians over the repeats."""
    lines = [
        "| | project, s | plain, s | ratio | project, processor s | plain, processor s | ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for label, part in (("training", "training"), ("evaluation", "evaluation"), ("**epoch**", "whole")):
        cells = [label]
        for kind in ("wall", "processor"):
            ours, theirs = (
                statistics.median(getattr(getattr(epoch, part), kind) for epoch in epochs)
                for epochs in (speed.project, speed.plain)
            )
            cells += [f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def memory_table(peaks: Sequence[memory.Peaks]) -> str:
    """One line per measurement."""
    lines = [
        "| train samples | batch | store, MiB | peak, MiB | peak without pages of files, MiB |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for (samples, batch), peak in zip(MEMORY, peaks, strict=True):
        own = "-" if peak.own is None else f"{peak.own:.0f}"
        lines.append(f"| {samples} | {batch} | {peak.frames:.0f} | {peak.resident:.0f} | {own} |")
    return "\n".join(lines)


def describe(speed: Speed, peaks: Sequence[memory.Peaks], threads: int, command: str) -> str:
    """The report."""
    ours = statistics.median(epoch.whole.wall for epoch in speed.project)
    theirs = statistics.median(epoch.whole.wall for epoch in speed.plain)
    widths = "/".join(str(WIDTHS[m]) for m in MODALITIES)
    return f"""\
# Benchmark

`{command}` on {processor()}, {threads} thread(s), torch {torch.__version__}, fp32.

**One epoch with its seven-combination evaluation is {theirs / ours:.2f} times as fast** as a plain dense
implementation of the same computation (`benchmarks/dense.py`): every modality of every sample
encoded, the teacher run in each step, seven evaluation passes, padding to T, attention by einsum
and softmax. Both start from the same weights and see the same batches, combinations and dropout;
losses and dev outputs after the epoch differ by at most {speed.difference:.0e}.

The epoch is a fraction of MOSEI's at its proportions: {TRAIN_SAMPLES} train and {DEV_SAMPLES} dev samples
with generated features, batch {BATCH}, T = {FRAMES}, mean length {speed.frames:.1f}, widths {widths},
D = 96, depth 5, H = 16. The authors' sampler shows {speed.shown:.0%} of the (sample, modality) pairs.
Medians of {len(speed.project)} repeats, both implementations in turn.

{speed_table(speed)}

The left columns are by the clock on the wall. The right ones count this process alone, which is
less disturbed by whatever else the machine does.

Not in the table: the project runs the frozen teacher over train once for all epochs of all
students, {speed.cache.wall:.2f} s here. Charged to a single epoch it would leave a ratio of
{theirs / (ours + speed.cache.wall):.2f}. The plain implementation got its padded data for nothing.

## Memory

Growth over what the process held before it saw data: the teacher's outputs, one epoch and its
evaluation, at depth 1, each line in a process of its own, whose allocator gives back what is freed.

{memory_table(peaks)}

The store is memory-mapped. Pages of its files that happen to be in memory count into the first
peak although the system takes them back when it needs them; the last column leaves them out. What
stays for each sample is its outputs, not its frames.
"""


def main() -> None:
    """Measure and write the report; on disagreement say so and write nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=main.__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    command = " ".join(["python -m benchmarks.run", *sys.argv[1:]])
    with torch_threads(given.threads):
        speed = measure_speed(given.repeats)
    if not speed.difference <= TOLERANCE:
        sys.exit(f"error: the implementations differ by {speed.difference:.1e}, more than {TOLERANCE:.0e}")
    text = describe(speed, measure_memory(), given.threads, command)
    with whole_file(REPORT) as aside:
        aside.write_text(text, encoding="utf-8")
    print(f"report: {REPORT}")


if __name__ == "__main__":
    main()
