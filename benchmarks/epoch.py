"""Peak memory and seconds of an epoch at MOSEI's scale, with its evaluation on dev.

``python -m benchmarks.epoch [--tokens] [--samples 16265] [--micro-batch 32] [--threads 1]``

The store has MOSEI's number of samples with lengths like the real ones. With ``--tokens`` its language is
token ids and all-MiniLM-L6-v2 is fine-tuned; else it is features of width 768. ``--samples`` trains on so
many of them, for what the rest would add is time.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.memory import resident_peak
from benchmarks.shapes import MOSEI, SEED, mosei
from benchmarks.stores import write_store
from cmad.combinations import COMBINATIONS, SAMPLERS
from cmad.computing.randomness import torch_seeded, torch_threads
from cmad.methods.cmad import Cmad
from cmad.training.checkpoint import build_network
from cmad.training.fit import Plan, fit
from cmad.training.judge import student_judge
from cmad.training.teacher_cache import TeacherCache

CPU = torch.device("cpu")


def main() -> None:
    """One epoch; prints what it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.epoch", description=main.__doc__)
    parser.add_argument("--tokens", action="store_true")
    parser.add_argument("--samples", type=int, default=MOSEI[0])
    parser.add_argument("--micro-batch", type=int)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, torch_threads(given.threads):
        train, dev = MOSEI
        shape = replace(mosei(), train=train, dev=dev, tokens=given.tokens)
        settings, store = shape.student, write_store(Path(name), shape)
        with torch_seeded(SEED, "student"):
            # The teacher stays in memory in a training.
            teacher = build_network(shape.network, store).eval().requires_grad_(False)
            student = build_network(shape.network, store, given.micro_batch)
        cache = TeacherCache(
            torch.rand(train, shape.network.width), torch.randn(train, 1), torch.rand(train, 1)
        )
        method = Cmad(student, settings, store.task, SAMPLERS["authors"])
        seven = range(len(COMBINATIONS))
        judge = student_judge(student, store.splits["dev"], store.task, seven, seven, settings.batch, CPU)
        plan = Plan(settings.optimiser, settings.batch, 1, False, SEED, "epoch")
        start = time.perf_counter()
        fit(method, store.splits["train"], np.arange(given.samples), cache, judge, plan, CPU)
        seconds = time.perf_counter() - start
        weights = sum(weight.numel() for weight in teacher.parameters()) / 1e6
        print(
            f"{'tokens' if given.tokens else 'features'}, {weights:.0f} M weights, "
            f"{given.samples} samples, micro batch {given.micro_batch}, {given.threads} thread(s): "
            f"peak {resident_peak() / 1024:.2f} GiB, {seconds:.0f} s"
        )


if __name__ == "__main__":
    main()
