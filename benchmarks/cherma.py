"""Peak memory and seconds of one training step at CHERMA's size.

``python -m benchmarks.cherma [--micro-batch 50] [--threads 1] [--batch 400]``

The network has about 360 M weights (D = 1024, depth 4, 16 heads, kernels 3). All streams have their full
length; values are random. The step is the training loop's own: CMAD on a whole batch, the teacher's outputs
given, its network held in memory as a training does, the epoch's weights kept.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from benchmarks.memory import resident_peak
from benchmarks.shapes import SEED, preset
from cmad.combinations import MODALITIES, SAMPLERS
from cmad.computing.randomness import torch_seeded, torch_threads
from cmad.methods.cmad import Cmad
from cmad.network.network import Network
from cmad.store.store import Split
from cmad.task import Task
from cmad.training.fit import Plan, fit
from cmad.training.teacher_cache import TeacherCache

CPU = torch.device("cpu")
WIDTHS = {"language": 1024, "audio": 1024, "vision": 2048}
LENGTHS = {"language": 80, "audio": 50, "vision": 16}
TASK = Task("classes", ("happy", "neutral", "sad", "disgust", "anger", "fear", "surprise"))


def network(purpose: str, micro_batch: int | None) -> Network:
    """With fresh weights."""
    with torch_seeded(SEED, purpose):
        return Network(preset("cherma").network, WIDTHS, LENGTHS, TASK.outputs, micro_batch=micro_batch)


def complete_split(samples: int) -> Split:
    """Random samples with all three streams at full length."""
    rng = np.random.default_rng(SEED)
    return Split(
        ids=[str(i) for i in range(samples)],
        labels=rng.integers(0, TASK.classes, samples),
        has=np.ones((samples, 3), dtype=bool),
        features={
            m: rng.standard_normal((samples * LENGTHS[m], WIDTHS[m]), dtype=np.float32) for m in MODALITIES
        },
        starts={m: np.arange(samples) * LENGTHS[m] for m in MODALITIES},
        lengths={m: np.full(samples, LENGTHS[m]) for m in MODALITIES},
        ceiling=None,
    )


def random_cache(samples: int) -> TeacherCache:
    """Outputs of a teacher that nobody trained."""
    rng = torch.Generator().manual_seed(SEED)
    return TeacherCache(
        torch.rand(samples, preset("cherma").network.width, generator=rng),
        torch.randn(samples, TASK.outputs, generator=rng),
        torch.rand(samples, 1, generator=rng),
    )


def main() -> None:
    """One step; prints what it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cherma", description=main.__doc__)
    parser.add_argument("--micro-batch", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=400)
    given = parser.parse_args()
    student_section = replace(preset("cherma").student, batch=given.batch)
    plan = Plan(student_section.optimiser, given.batch, 1, False, SEED, "cherma")
    with torch_threads(given.threads):
        split = complete_split(given.batch)
        teacher = network("teacher", None).eval().requires_grad_(False)
        student = network("student", given.micro_batch)
        method = Cmad(student, student_section, TASK, SAMPLERS["authors"])
        start = time.perf_counter()
        log = fit(
            method,
            split,
            np.arange(given.batch),
            random_cache(given.batch),
            lambda epoch: (float(epoch), {}),
            plan,
            CPU,
        ).log[0]
        seconds = time.perf_counter() - start
    weights = sum(weight.numel() for weight in student.parameters())
    assert sum(weight.numel() for weight in teacher.parameters()) == weights
    print(
        f"{weights / 1e6:.0f} M weights, batch {given.batch}, micro batch {given.micro_batch}, "
        f"{given.threads} thread(s): peak {resident_peak() / 1024:.1f} GiB, "
        f"step {seconds:.0f} s, loss {log['loss']:.4f}"
    )


if __name__ == "__main__":
    main()
