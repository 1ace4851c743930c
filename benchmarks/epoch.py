"""Peak memory and seconds of an epoch at MOSEI's scale, with its evaluation on dev.

``python -m benchmarks.epoch [--tokens] [--samples 16265] [--micro-batch 32] [--threads 1]``

The store has MOSEI's number of samples with lengths like the real ones. With ``--tokens`` its language is
token ids and all-MiniLM-L6-v2 is fine-tuned; else it is features of width 768. ``--samples`` trains on so
many of them, for what the rest would add is time.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.setting import SEED, network_settings, student_settings
from benchmarks.shapes import DEV, TRAIN, write_mosei_like
from cmad.combinations import COMBINATIONS, SAMPLERS
from cmad.language.find import find, weights_checksum
from cmad.methods.cmad import Cmad
from cmad.randomness import torch_seeded, torch_threads
from cmad.store.store import open_store
from cmad.training.checkpoint import build_network
from cmad.training.fit import Plan, fit
from cmad.training.judge import student_judge
from cmad.training.teacher_cache import TeacherCache

CPU = torch.device("cpu")


def tokens_for_features(folder: Path) -> None:
    """Replace a store's language by random token ids for MiniLM, as many as it had frames."""
    count = len(np.load(folder / "language.npy", mmap_mode="r"))
    ids = np.random.default_rng(SEED).integers(1000, 30000, count, dtype=np.int32)
    np.save(folder / "language.npy", np.stack([ids, np.zeros_like(ids)], axis=1))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    checksum = weights_checksum(find("minilm"))
    manifest["encoder"] = {"name": "minilm", "width": 384, "checksum": checksum, "fine_tuned": True}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def main() -> None:
    """One epoch; prints what it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.epoch", description=main.__doc__)
    parser.add_argument("--tokens", action="store_true")
    parser.add_argument("--samples", type=int, default=TRAIN)
    parser.add_argument("--micro-batch", type=int)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, torch_threads(given.threads):
        folder, settings = Path(name), student_settings()
        write_mosei_like(folder, {"train": TRAIN, "dev": DEV, "test": 0}, SEED)
        if given.tokens:
            tokens_for_features(folder)
        store = open_store(folder)
        with torch_seeded(SEED, "student"):
            # The teacher stays in memory in a training.
            teacher = build_network(network_settings(), store).eval().requires_grad_(False)
            student = build_network(network_settings(), store, given.micro_batch)
        cache = TeacherCache(torch.rand(TRAIN, 96), torch.randn(TRAIN, 1), torch.rand(TRAIN, 1))
        method = Cmad(student, settings, store.task, SAMPLERS["authors"])
        seven = range(len(COMBINATIONS))
        judge = student_judge(student, store.splits["dev"], store.task, seven, seven, settings.batch, CPU)
        plan = Plan(settings.optimiser, settings.batch, 1, False, SEED, "epoch")
        start = time.perf_counter()
        fit(method, store.splits["train"], np.arange(given.samples), cache, judge, plan, CPU)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**30 if sys.platform == "darwin" else 2**20
        )
        weights = sum(weight.numel() for weight in teacher.parameters()) / 1e6
        print(
            f"{'tokens' if given.tokens else 'features'}, {weights:.0f} M weights, "
            f"{given.samples} samples, micro batch {given.micro_batch}, {given.threads} thread(s): "
            f"peak {peak:.2f} GiB, {seconds:.0f} s"
        )


if __name__ == "__main__":
    main()
