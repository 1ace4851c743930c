"""Section: what an epoch of each unified system costs beside one of CMAD."""

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import now
from benchmarks.epochs import CPU, Case, prepare
from benchmarks.section import Measured, Options, Section, table, tell
from benchmarks.shapes import SEED, Shape, mosei
from cmad.combinations import COMBINATIONS
from cmad.students.student import create_method
from cmad.training.fit import Plan, fit
from cmad.training.judge import student_judge

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


def half() -> Shape:
    """MOSEI with half of the samples that the comparison has."""
    whole = mosei()
    return replace(whole, train=whole.train // 2, dev=whole.dev // 2)


def second_epoch(name: str, options: Mapping[str, Any], case: Case) -> float:
    """Processor seconds of a system's second epoch with its evaluation on dev."""
    store, settings = case.store, case.shape.student
    method = create_method(name, store, case.shape.network, settings, options, case.teacher, None, SEED, CPU)
    train, dev = store.splits["train"], store.splits["dev"]
    seven = range(len(COMBINATIONS))
    on_dev = student_judge(method.network, dev, store.task, seven, seven, settings.batch, CPU)
    moments = []

    def judge(epoch: int) -> tuple[float, Mapping[str, float]]:
        judged = on_dev(epoch)
        moments.append(now().processor)
        return judged

    plan = Plan(settings.optimiser, settings.batch, 2, settings.dropout_off, SEED, name)
    fit(method, train, np.arange(len(train)), case.cache, judge, plan, CPU)
    return moments[1] - moments[0]


def describe(seconds: Mapping[str, float], shape: Shape, repeats: int) -> str:
    """Medians and their ratio to CMAD's."""
    rows = [[name, f"{found:.2f}", f"{found / seconds['cmad']:.2f}"] for name, found in seconds.items()]
    return f"""\
Processor seconds of a system's second epoch with its evaluation on dev, median of {repeats}, in turn;
{shape.train} train and {shape.dev} dev samples at MOSEI's shape, unified, teacher's outputs given.

{table(["system", "s", "of CMAD"], rows)}
"""


def measure(options: Options) -> Measured:
    """Each system in turn, repeatedly."""
    found: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    with tempfile.TemporaryDirectory() as folder:
        case = prepare(half(), Path(folder))
        for repeat in range(options.repeats):
            for name, given in SYSTEMS.items():
                found[name].append(second_epoch(name, given, case))
            tell(f"systems, repeat {repeat + 1} of {options.repeats}")
    seconds = {name: statistics.median(each) for name, each in found.items()}
    return Measured(describe(seconds, case.shape, options.repeats), {"seconds": seconds})


SECTION = Section("systems", "Cost of the systems", measure)
