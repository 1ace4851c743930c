"""What a stage imports before it works: seconds, and large libraries that it does not need."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.shapes import ROOT

# Libraries that take long to import, and the large parts of torch that nothing here uses.
HEAVY = (
    "numpy",
    "pandas",
    "torch",
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "transformers",
    "matplotlib",
    "PIL",
    "scipy",
    "sklearn",
    "dvc",
)
_DATA = frozenset({"numpy", "pandas"})
# What each stage works with; the encoder of text is imported where a data set has text, not before.
NEEDED: Mapping[str, frozenset[str]] = {
    "preprocess": _DATA,
    "teacher": frozenset({"numpy", "torch"}),
    "student": frozenset({"numpy", "torch"}),
    "system": frozenset({"numpy", "torch"}),
    "sweep": _DATA | {"torch"},
    "evaluate": _DATA | {"torch"},
    "evaluate_also": _DATA | {"torch"},
    "report": _DATA | {"matplotlib", "PIL"},
}
_PROBE = """
import json, sys, time
start = time.perf_counter()
import stages.{stage}
took = time.perf_counter() - start
print(json.dumps([took, [name for name in {heavy!r} if name in sys.modules]]))
"""


@dataclass(frozen=True)
class Imports:
    """Of one stage.

    Attributes:
        seconds: the least of some tries, wall.
        heavy: which of ``HEAVY`` it imports.
        superfluous: those of them that it does not need.
    """

    seconds: float
    heavy: tuple[str, ...]
    superfluous: tuple[str, ...]


def imports(stage: str, repeats: int) -> Imports:
    """Import a stage's module in processes of its own."""
    tries = [_tried(stage) for _ in range(repeats)]
    heavy = tuple(tries[0][1])
    return Imports(
        min(took for took, _ in tries), heavy, tuple(name for name in heavy if name not in NEEDED[stage])
    )


def _tried(stage: str) -> tuple[float, list[str]]:
    probe = _PROBE.format(stage=stage, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", probe], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    took, heavy = json.loads(done.stdout)
    return took, heavy
