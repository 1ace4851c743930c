"""What an epoch of each unified system costs beside one of CMAD; writes ``reports/benchmark_systems.md``.

``python -m benchmarks.systems [--threads 1] [--repeats 5]``
"""

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.setting import BATCH, DEV_SAMPLES, SEED, TRAIN_SAMPLES, network_settings, student_settings
from benchmarks.shapes import write_mosei_like
from benchmarks.speed import CPU, frozen_teacher, now
from cmad.combinations import COMBINATIONS
from cmad.files import whole_file
from cmad.network.network import Network
from cmad.randomness import torch_threads
from cmad.store.store import Store, open_store
from cmad.training.fit import Plan, fit
from cmad.training.judge import student_judge
from cmad.training.student import create_method
from cmad.training.teacher_cache import TeacherCache, teacher_cache

REPORT = Path("reports/benchmark_systems.md")

# Each system with the options that it is timed with: MMANet with all its terms from the second epoch.
SYSTEMS: Mapping[str, Mapping[str, Any]] = {
    "cmad": {},
    "dropout": {},
    "mmanet": {"mad": 30.0, "mar": 0.5, "begin": 1},
    "corrkd": {"margin": 1.0},
    "umdf": {"distillation": 1.0, "feature": 0.1, "temperature": 2.0, "ramp": 0},
    "umdf_full": {"distillation": 1.0, "feature": 0.1, "temperature": 2.0, "ramp": 0},
    "mplmm": {"prompt_length": 16},
}


def second_epoch(
    name: str, options: Mapping[str, Any], store: Store, teacher: Network, cache: TeacherCache
) -> float:
    """Processor seconds of a system's second epoch with its evaluation on dev."""
    settings = student_settings()
    method = create_method(name, store, network_settings(), settings, options, teacher, None, SEED, CPU)
    train, dev = store.splits["train"], store.splits["dev"]
    seven = range(len(COMBINATIONS))
    on_dev = student_judge(method.network, dev, store.task, seven, seven, settings.batch, CPU)
    moments = []

    def judge(epoch: int) -> tuple[float, Mapping[str, float]]:
        judged = on_dev(epoch)
        moments.append(now().processor)
        return judged

    plan = Plan(settings.optimiser, settings.batch, 2, settings.dropout_off, SEED, name)
    fit(method, train, np.arange(len(train)), cache, judge, plan, CPU)
    return moments[1] - moments[0]


def measure(repeats: int) -> dict[str, list[float]]:
    """Each system in turn, repeatedly."""
    seconds: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"train": TRAIN_SAMPLES // 2, "dev": DEV_SAMPLES // 2, "test": 0}
        write_mosei_like(Path(folder), sizes, SEED)
        store = open_store(Path(folder))
        teacher = frozen_teacher(store)
        cache = teacher_cache(teacher, store.splits["train"], store.task, BATCH, CPU)
        for repeat in range(repeats):
            for name, options in SYSTEMS.items():
                seconds[name].append(second_epoch(name, options, store, teacher, cache))
                print(f"{name}, repeat {repeat + 1} of {repeats}: {seconds[name][-1]:.2f} s", flush=True)
    return seconds


def describe(seconds: Mapping[str, list[float]], threads: int) -> str:
    """Medians and their ratio to CMAD's."""
    base = statistics.median(seconds["cmad"])
    rows = [
        f"| {name} | {statistics.median(found):.2f} | {statistics.median(found) / base:.2f} |"
        for name, found in seconds.items()
    ]
    return "\n".join(
        [
            "# Cost of the systems",
            "",
            f"Processor time of an epoch with its evaluation on dev, median of {len(seconds['cmad'])}, "
            f"{threads} thread, torch {torch.__version__}; {TRAIN_SAMPLES // 2} train samples at MOSEI's "
            "shape (D = 96, depth 5, batch 128), unified, teacher cached.",
            "",
            "| system | s | of CMAD |",
            "| --- | ---: | ---: |",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.systems", description=main.__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with torch_threads(given.threads):
        text = describe(measure(given.repeats), given.threads)
    with whole_file(REPORT) as aside:
        aside.write_text(text, encoding="utf-8")
    print(f"report: {REPORT}")


if __name__ == "__main__":
    main()
