"""Section: how fast the plain implementation's operations are done, beside the machine's own matmul rate."""

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import dense
from benchmarks.clock import now
from benchmarks.epochs import Case, fresh_network, padded, prepare, steps, train
from benchmarks.section import WITHOUT_TEXT, Measured, Options, Section, has_text_extra, table, tell
from benchmarks.shapes import SEED, Shape, all_shapes
from cmad.combinations import MASKS
from cmad.computing.randomness import torch_seeded
from cmad.losses.mar import Banks

# Square products that the machine's rate is the best of.
SIZES = (256, 512, 1024, 2048)
# Each is done until so many seconds are over, at least so many operations between two looks at the clock.
SECONDS, TOGETHER = 1.0, 5e8


@dataclass(frozen=True)
class Rate:
    """One shape.

    Attributes:
        operations: of the plain implementation in one training step, 1e9.
        seconds: of the project's step, processor.
    """

    operations: float
    seconds: float

    @property
    def rate(self) -> float:
        """Dense-equivalent, GFLOP/s."""
        return self.operations / self.seconds


def matmul_rate(size: int, seconds: float = SECONDS) -> float:
    """The best GFLOP a processor second of products of two fp32 matrices [size, size]."""
    with torch_seeded(SEED, "matmul"):
        first, second = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    # Several at a time: a processor's clock may stand still for longer than one small product takes.
    together = 1 + int(TOGETHER / (2 * size**3))
    fastest, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.process_time()
        for _ in range(together):
            torch.mm(first, second, out=out)
        fastest = min(fastest, time.process_time() - before)
    return 2 * size**3 * together / fastest / 1e9


def dense_operations(case: Case) -> int:
    """Multiplications and additions of the plain implementation's first training step, teacher included."""
    student = fresh_network(case.shape, case.store, "student").train()
    pair = dense.Pair(student, case.teacher, case.shape.student, case.store.task)
    rows, masks, combinations = next(steps(case))
    batch = padded(case).train.at(rows)
    # Attention must fall apart into products, for its kernels for processors are not counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        terms, _ = dense.losses(pair, batch, masks, combinations, torch.ones(len(MASKS)), Banks.empty())
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def step_seconds(case: Case) -> float:
    """Processor seconds of the project's mean step in an epoch of whole batches, without evaluation."""
    student = fresh_network(case.shape, case.store, "student")
    start = now()
    train(case, student, lambda epoch: (float(epoch), {}))
    return (now() - start).processor / (case.shape.train / case.shape.student.batch)


def measure_shape(shape: Shape, repeats: int) -> Rate:
    """The median of some epochs."""
    with tempfile.TemporaryDirectory() as name:
        case = prepare(shape, Path(name))
        operations = dense_operations(case) / 1e9
        seconds = statistics.median(step_seconds(case) for _ in range(repeats))
    found = Rate(operations, seconds)
    tell(f"{shape.name}: {operations:.1f} GFLOP in {seconds:.2f} s, {found.rate:.0f} GFLOP/s")
    return found


def describe(machine: Mapping[int, float], rates: Mapping[str, Rate], left_out: Mapping[str, str]) -> str:
    """The table, and how it was counted."""
    best = max(machine.values())
    rows = [
        [
            title,
            f"{r.operations:.1f}",
            f"{r.seconds:.3f}",
            f"{r.rate:.0f}",
            f"{best:.0f}",
            f"{r.rate / best:.2f}",
        ]
        for title, r in rates.items()
    ]
    sizes = ", ".join(f"{rate:.0f} at {size}" for size, rate in machine.items())
    skipped = "".join(f"\n{title}: {why}.\n" for title, why in left_out.items())
    heads = ["shape", "dense step, GFLOP", "project's step, s", "GFLOP/s", "matmul, GFLOP/s", "of matmul"]
    return f"""\
What the plain implementation must compute for a training step, teacher, student and backward, by the
seconds in which the project does that step. Beside it what the machine reaches in a product of two square
fp32 matrices, the best of several sizes measured in this run ({sizes}). A share
above 1 is beyond what a dense implementation that runs the teacher in each step could reach here, however
well it used the machine.

{table(heads, rows)}
{skipped}
Operations are those of matrix products and convolutions, a multiplication and an addition being two
(`torch.utils.flop_counter`); pointwise ones, norms and the optimiser are not counted on the dense side but
are in the project's seconds. Processor seconds throughout, the teacher's outputs being there. The step is
the mean of an epoch's, so what an epoch does once is in it.
"""


def measure(options: Options) -> Measured:
    """The machine's rate, then each shape's."""
    machine = {size: matmul_rate(size) for size in SIZES}
    tell(f"matmul: {max(machine.values()):.0f} GFLOP/s")
    shapes = [shape for shape in all_shapes() if has_text_extra() or not shape.tokens]
    rates = {shape.title: measure_shape(shape, options.repeats) for shape in shapes}
    left_out = {shape.title: WITHOUT_TEXT for shape in all_shapes() if shape not in shapes}
    best = max(machine.values())
    return Measured(
        describe(machine, rates, left_out),
        {
            "matmul_gflops": {str(size): rate for size, rate in machine.items()},
            "shapes": {
                shape.name: asdict(rates[shape.title])
                | {"gflops": rates[shape.title].rate, "of_matmul": rates[shape.title].rate / best}
                for shape in shapes
            },
        },
    )


SECTION = Section("rate", "Dense-equivalent rate", measure)
