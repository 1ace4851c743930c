"""Section: where the time of a training epoch goes, by part and by operator."""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.clock import now
from benchmarks.epochs import Case, fresh_network, prepare, train
from benchmarks.section import Measured, Options, Section, table, tell
from benchmarks.shapes import mosei
from cmad.methods.cmad import Cmad
from cmad.network.network import Network
from cmad.training import fit
from cmad.training.optimiser import Adam

# Where a training step spends its time: who does it, and under what name.
WHERE: Mapping[str, tuple[Any, str]] = {
    "batches": (fit, "collate"),
    "encode": (Network, "encode"),
    "losses": (Cmad, "losses"),
    "backward": (Tensor, "backward"),
    "step": (Adam, "step"),
}
OPERATORS = 15


@dataclass(frozen=True)
class Operator:
    """One of torch's.

    Attributes:
        share: of the processor time of all, without what it calls.
        calls: in the epoch.
    """

    name: str
    share: float
    calls: int


@contextmanager
def watched(seconds: dict[str, float]) -> Iterator[None]:
    """Add up the processor seconds of each of ``WHERE`` inside this scope; one holds what it calls."""

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            start = now()
            try:
                return function(*arguments, **named)
            finally:
                seconds[name] = seconds.get(name, 0.0) + (now() - start).processor

        return call

    with ExitStack() as stack:
        for name, (owner, attribute) in WHERE.items():
            stack.enter_context(patch.object(owner, attribute, timed(name, getattr(owner, attribute))))
        yield


def part_seconds(case: Case) -> dict[str, float]:
    """Processor seconds of one epoch by part; they add up to the whole."""
    student = fresh_network(case.shape, case.store, "student")
    found: dict[str, float] = {}
    start = now()
    with watched(found):
        train(case, student, lambda epoch: (float(epoch), {}))
    whole = (now() - start).processor
    parts = {
        "encode": found["encode"],
        "fuse and losses": found["losses"] - found["encode"],
        "backward": found["backward"],
        "optimiser, with the clipping": found["step"],
        "batches": found["batches"],
    }
    return parts | {"rest": whole - sum(parts.values())}


def operators(case: Case) -> list[Operator]:
    """All operators of one epoch, the longest first."""
    student = fresh_network(case.shape, case.store, "student")
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        train(case, student, lambda epoch: (float(epoch), {}))
    averages = profiled.key_averages()
    whole = sum(each.self_cpu_time_total for each in averages)
    found = [Operator(each.key, each.self_cpu_time_total / whole, each.count) for each in averages]
    return sorted(found, key=lambda operator: -operator.share)


def describe(parts: Mapping[str, float], steps: int, listed: Sequence[Operator]) -> str:
    """Both tables."""
    whole = sum(parts.values())
    by_part = [
        [part, f"{seconds / steps * 1000:.1f}", f"{seconds / whole:.1%}"] for part, seconds in parts.items()
    ]
    by_part.append(["**step**", f"{whole / steps * 1000:.1f}", ""])
    by_operator = [[f"`{each.name}`", f"{each.share:.1%}", str(each.calls)] for each in listed]
    shown = sum(each.share for each in listed)
    return f"""\
{mosei().title}, {steps} training steps. By part, without a profiler, processor time of a step:

{table(["part", "ms", "share"], by_part)}

By operator, self time under `torch.profiler`, which makes short operators look longer than they are; calls
of all steps together. These {len(listed)} are {shown:.0%} of the whole.

{table(["operator", "self CPU", "calls"], by_operator)}
"""


def measure(options: Options) -> Measured:
    """At MOSEI's shape."""
    with tempfile.TemporaryDirectory() as name:
        case = prepare(mosei(), Path(name))
        runs = [part_seconds(case) for _ in range(min(options.repeats, 3))]
        parts = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
        tell("parts: " + ", ".join(f"{part} {seconds:.2f} s" for part, seconds in parts.items()))
        listed = operators(case)[:OPERATORS]
    steps = case.shape.train // case.shape.student.batch
    return Measured(
        describe(parts, steps, listed),
        {"steps": steps, "part_seconds": parts, "operators": [asdict(each) for each in listed]},
    )


SECTION = Section("parts", "Where the time goes", measure)
