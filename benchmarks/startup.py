"""Section: what is paid before any work is done: DVC's check of the grid, imports, a stage's own start."""

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict

from benchmarks.imports import NEEDED, Imports, imports
from benchmarks.overhead import Overhead, overheads
from benchmarks.section import Measured, Options, Section, table, tell
from benchmarks.shapes import ROOT
from stages.command import RUNS

# The least of so many tries.
REPEATS = 2


def no_op_repro() -> float | str:
    """Wall seconds of a ``dvc repro`` that finds nothing to do; or why it was not measured."""
    if not (ROOT / RUNS).is_dir():
        return f"skipped, for `{RUNS}` is not there (`make reproduce`)"
    if _dvc("status", "--quiet"):
        return "skipped, for the grid is not up to date and would be trained (`make reproduce`)"
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        if _dvc("repro", "--quiet"):
            return "skipped, for it failed"
        found.append(time.perf_counter() - start)
    return min(found)


def _dvc(*command: str) -> int:
    return subprocess.run([sys.executable, "-m", "dvc", *command], cwd=ROOT, capture_output=True).returncode


def describe(repro: float | str, imported: Mapping[str, Imports], found: Mapping[str, Overhead]) -> str:
    """All three."""
    check = repro if isinstance(repro, str) else f"**{repro:.1f} s**, the least of {REPEATS}"
    rows = [
        [
            name,
            ", ".join(f"`{library}`" for library in each.heavy),
            ", ".join(f"**`{library}`**" for library in each.superfluous) or "none",
            f"{each.seconds:.2f}",
        ]
        for name, each in imported.items()
    ]
    own = [
        [f"`{stage}`", f"{each.whole:.2f}", f"{each.work:.2f}", f"{each.beyond:.2f}"]
        for stage, each in found.items()
    ]
    return f"""\
A `dvc repro` of the default grid with nothing to do: {check}.

What each stage's module imports, of the libraries that take long, and which of them its work does not
need. Wall seconds, the least of {REPEATS}:

{table(["module", "imports", "not needed", "s"], rows, texts=3)}

A stage's process on a demo set with little to do, less the work that it records in `data/times`: the
interpreter's start, the imports and the end, without DVC; wall seconds, the least overhead of {REPEATS}:

{table(["stage", "whole, s", "work, s", "overhead, s"], own)}
"""


def measure(options: Options) -> Measured:
    """All three."""
    del options
    repro = no_op_repro()
    tell(f"dvc repro: {repro}")
    imported = {f"`stages.{stage}`": imports(stage, REPEATS) for stage in NEEDED}
    tell("imports done")
    found = overheads(REPEATS)
    return Measured(
        describe(repro, imported, found),
        {
            "no_op_repro_seconds": None if isinstance(repro, str) else repro,
            "imports": {name.strip("`"): asdict(each) for name, each in imported.items()},
            "stages": {stage: asdict(each) for stage, each in found.items()},
        },
    )


SECTION = Section("startup", "Start-up", measure)
