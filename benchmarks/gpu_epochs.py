"""Sections: an epoch of CMAD on a GPU in both precisions, beside the CPU's and the plain implementation's."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.clock import median
from benchmarks.epochs import (
    Case,
    Epoch,
    Padded,
    disagreement,
    fresh_network,
    padded,
    plain_epoch,
    prepare,
    project_epoch,
    with_project_dropout,
)
from benchmarks.section import Measured, Options, Section, table, tell
from benchmarks.shapes import MOSEI, Shape, iemocap, mosei
from cmad.computing.device import choose_device
from cmad.computing.precision import computing, has_bf16
from cmad.errors import UserError
from cmad.network.network import Network

# Ten times that of the CPU's report: a GPU adds in an order of its own.
TOLERANCE = 1e-4
PARTS = ("training", "evaluation", "whole")
ON_CPU, SINGLE, HALF, PLAIN = "CPU, float32", "GPU, float32", "GPU, bf16", "GPU, plain, float32"
# What is told of two of them: times as fast is the second as the first.
RATIOS = {
    "the GPU than the CPU": (ON_CPU, SINGLE),
    "bf16 than float32": (SINGLE, HALF),
    "the project than plain": (PLAIN, SINGLE),
}


@dataclass(frozen=True)
class Timed:
    """Epochs of one kind.

    Attributes:
        epochs: one per repeat.
        memory: peak of the GPU's memory in an epoch beyond what was held before, MiB; 0 on a CPU.
    """

    epochs: Sequence[Epoch]
    memory: float

    def wall(self, part: str) -> float:
        """The median's seconds by the clock on the wall."""
        return median(getattr(epoch, part) for epoch in self.epochs).wall


@dataclass(frozen=True)
class Found:
    """What was measured at one shape.

    Attributes:
        timed: by kind of epoch.
        differences: the largest between losses and outputs, by what was compared.
    """

    shape: Shape
    timed: Mapping[str, Timed]
    differences: Mapping[str, float]


def large() -> Shape:
    """MOSEI with samples and a batch that give a GPU something to do."""
    whole = mosei()
    return replace(
        whole,
        name="large",
        title="MOSEI, features, batch 1024",
        student=replace(whole.student, batch=1024),
        train=8192,
        dev=round(8192 * MOSEI[1] / MOSEI[0]),
    )


def compare(shape: Shape, repeats: int, device: torch.device, beside: bool) -> Found:
    """Time all kinds of epoch in turn, each once before it counts.

    Args:
        beside: on the CPU too.

    Raises:
        UserError: two that should do not compute the same.
    """
    with tempfile.TemporaryDirectory() as name:
        case = prepare(shape, Path(name) / "gpu", device)
        cpu = prepare(shape, Path(name) / "cpu") if beside else None
        data = padded(case)
        differences = checked(case, data, cpu)
        kinds: dict[str, Callable[[], Epoch]] = {}
        if cpu is not None:
            kinds[ON_CPU] = lambda: project_epoch(cpu)
        kinds[SINGLE] = lambda: _in("float32", device, lambda: project_epoch(case))
        if has_bf16(device):
            kinds[HALF] = lambda: _in("bf16", device, lambda: project_epoch(case))
        kinds[PLAIN] = lambda: _in("float32", device, lambda: plain_epoch(case, data, _student(case)))
        found: dict[str, list[Epoch]] = {kind: [] for kind in kinds}
        memory = dict.fromkeys(kinds, 0.0)
        for repeat in range(repeats + 1):
            for kind, run in kinds.items():
                epoch, peak = _with_peak(run, device)
                if repeat:
                    found[kind].append(epoch)
                    memory[kind] = max(memory[kind], peak)
        timed = {kind: Timed(epochs, memory[kind]) for kind, epochs in found.items()}
    tell(f"{shape.name}: " + ", ".join(f"{kind} {each.wall('whole'):.3f} s" for kind, each in timed.items()))
    return Found(shape, timed, differences)


def checked(case: Case, data: Padded, cpu: Case | None) -> dict[str, float]:
    """How far project and plain are apart, and the project from itself on a CPU, which draws other dropout.

    Raises:
        UserError: further than they may.
    """
    with computing("float32", case.device):
        plain = plain_epoch(case, data, with_project_dropout(_student(case)))
        found = {"plain": disagreement(project_epoch(case), plain)}
        if cpu is not None:
            found["CPU"] = disagreement(*(project_epoch(without_dropout(each)) for each in (case, cpu)))
    for what, apart in found.items():
        if not apart <= TOLERANCE:
            raise UserError(
                f"{case.shape.title}: the project on the GPU and {what} differ by {apart:.1e}, more than "
                f"{TOLERANCE:.0e}; no times of different computations are compared"
            )
    return found


def without_dropout(case: Case) -> Case:
    """The same training with all dropout off."""
    return replace(case, shape=replace(case.shape, student=replace(case.shape.student, dropout_off=True)))


def _student(case: Case) -> Network:
    return fresh_network(case.shape, case.store, "student", case.device)


def _in(precision: str, device: torch.device, run: Callable[[], Epoch]) -> Epoch:
    with computing(precision, device):
        return run()


def _with_peak(run: Callable[[], Epoch], device: torch.device) -> tuple[Epoch, float]:
    """An epoch and the peak of memory that it takes beyond what is held already, MiB."""
    if device.type != "cuda":
        return run(), 0.0
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    epoch = run()
    return epoch, (torch.cuda.max_memory_allocated(device) - before) / 2**20


def ratios(found: Found) -> dict[str, float]:
    """Of the whole epochs, see ``RATIOS``."""
    return {
        what: found.timed[slow].wall("whole") / found.timed[fast].wall("whole")
        for what, (slow, fast) in RATIOS.items()
        if slow in found.timed and fast in found.timed
    }


def figures(found: Found) -> dict[str, Any]:
    """The same in numbers."""
    return {
        "samples": {"train": found.shape.train, "dev": found.shape.dev},
        "batch": found.shape.student.batch,
        "seconds": {
            kind: {part: asdict(median(getattr(epoch, part) for epoch in each.epochs)) for part in PARTS}
            for kind, each in found.timed.items()
        },
        "memory_mib": {kind: each.memory for kind, each in found.timed.items()},
        "times_as_fast": ratios(found),
        "largest_difference": dict(found.differences),
    }


def _rows(found: Found) -> list[list[str]]:
    return [
        [
            "" if i else found.shape.title,
            kind,
            *(f"{each.wall(part):.3f}" for part in PARTS),
            "" if kind == ON_CPU else f"{each.memory:.0f}",
        ]
        for i, (kind, each) in enumerate(found.timed.items())
    ]


def describe(found: Sequence[Found]) -> str:
    """The table, led by the ratios."""
    led = "\n".join(
        f"* {each.shape.title}: "
        + ", ".join(f"**{ratio:.2f}** ({what})" for what, ratio in ratios(each).items())
        for each in found
    )
    sizes = "; ".join(
        f"{each.shape.title}: {each.shape.train} + {each.shape.dev} samples, "
        f"batch {each.shape.student.batch}, "
        + ", ".join(f"to {what} {apart:.0e}" for what, apart in each.differences.items())
        for each in found
    )
    heads = ["shape", "", "training, s", "evaluation, s", "epoch, s", "peak, MiB"]
    return f"""\
Times as fast in one epoch with its seven-combination evaluation:

{led}

Wall seconds with the GPU's work waited for, medians of {len(found[0].timed[SINGLE].epochs)} epochs, all
kinds in turn after an epoch of each that does not count; on the GPU algorithms that repeat their bits, and no
TF32, in plain too. The peak of the GPU's memory is beyond data, teacher and its outputs. Plain is the dense
implementation of the CPU's report, its data padded and on the GPU beforehand; the teacher's outputs, which
plain computes in each step, are given to the project.

{table(heads, [row for each in found for row in _rows(each)], texts=2)}

Sizes, and the largest difference of losses and dev outputs after an epoch on the GPU, to plain under the same
dropout and to the CPU without dropout: {sizes}. Beyond {TOLERANCE:.0e} there would be no report.
"""


def measure(options: Options) -> Measured:
    """At the shapes of the CPU's report, those with a language encoder left out."""
    device = choose_device("cuda")
    found = [compare(shape, options.repeats, device, beside=True) for shape in (mosei(), iemocap())]
    return Measured(describe(found), {each.shape.name: figures(each) for each in found})


def measure_large(options: Options) -> Measured:
    """On the GPU alone, in large batches."""
    found = compare(large(), options.repeats, choose_device("cuda"), beside=False)
    return Measured(describe([found]), {found.shape.name: figures(found)})


SECTION = Section("epoch", "One epoch", measure)
LARGE = Section("large", "One epoch in large batches", measure_large)
