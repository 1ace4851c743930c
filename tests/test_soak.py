"""Many trainings in one process: neither memory nor open files grow."""

import gc
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from cmad.combinations import COMBINATIONS
from cmad.students.student import create_method, train_student
from cmad.teachers.teacher import train_teacher
from cmad.training.fit import Fitted
from cmad.training.scratch import Scratch, place
from tests.test_training import CPU, World

TRAININGS, SETTLED = 200, 20
# Measured: 2 MiB more at the end; 31 MiB more where nothing but the result of each training, its weights and
# its log, is kept.
ALLOWED = 8 * 2**20
ONE = COMBINATIONS.index("AV")
# Each is one training: a method and its combination, None for all seven. The teacher is trained too.
SYSTEMS: tuple[tuple[str, int | None], ...] = (
    ("teacher", None),
    ("cmad", None),
    ("dropout", None),
    ("mmanet", None),
    ("mplmm", None),
    ("mplmm", ONE),
    ("umdf", None),
    ("umdf", ONE),
    ("umdf_full", None),
    ("corrkd", None),
    ("corrkd", ONE),
)


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files() -> list[str]:
    """What each open descriptor leads to."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:
            # The one that lists the others.
            continue
    return sorted(found)


def train(world: World, method: str, combination: int | None, seed: int, scratch: Scratch | None) -> Fitted:
    """As a stage does, in a place of its own where there is a scratch."""
    label = f"{method}, seed {seed}"
    key = {"method": method, "combination": combination, "seed": seed, "task": world.store.task.kind}
    preset, store = world.preset, world.store
    with place(scratch, key, label) as kept:
        if method == "teacher":
            return train_teacher(store, preset.network, preset.teacher, seed, label, CPU, kept)
        options = preset.systems.get(method, {})
        created = create_method(
            method, store, preset.network, preset.student, options, world.teacher, combination, seed, CPU
        )
        return train_student(created, store, preset.student, world.cache, combination, seed, label, CPU, kept)


def run(worlds: list[World], trainings: range, scratch: Scratch) -> None:
    """Systems, tasks and the scratch in turn, their numbers without a common divisor: all of them meet."""
    for number in trainings:
        method, combination = SYSTEMS[number % len(SYSTEMS)]
        kept = scratch if number % 2 else None
        fitted = train(worlds[number % len(worlds)], method, combination, number, kept)
        assert all(torch.isfinite(weights).all() for weights in fitted.state.values())


def test_systems_tasks_and_scratch_all_meet() -> None:
    met = {(number % len(SYSTEMS), number % 3, number % 2) for number in range(TRAININGS)}
    assert len(met) == len(SYSTEMS) * 3 * 2


@dataclass(frozen=True)
class Measured:
    """What the process held once it had settled, and in the end.

    Attributes:
        memory: bytes of it.
        files: that were open.
    """

    memory: tuple[int, int]
    files: tuple[list[str], list[str]]


def measure(folder: Path) -> Measured:
    worlds = [World(folder / name, name) for name in ("demo", "demo_classes", "demo_binary4")]
    # So small that room is made again and again.
    scratch = Scratch(folder / "scratch", 2**20)
    run(worlds, range(SETTLED), scratch)
    files, memory = open_files(), resident()
    run(worlds, range(SETTLED, TRAININGS), scratch)
    return Measured((memory, resident()), (files, open_files()))


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_two_hundred_trainings_leave_nothing_behind(tmp_path: Path) -> None:
    # In a fresh process: what other tests gave back to the allocator would hide a leak.
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        found = process.submit(measure, tmp_path).result()
    before, after = found.memory
    print(f"resident: {before / 2**20:.1f} MiB after {SETTLED}, {after / 2**20:.1f} MiB after {TRAININGS}")
    assert found.files[0] == found.files[1]
    assert after - before < ALLOWED
