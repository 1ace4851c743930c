"""Section: how time and memory grow with the size of the task, beside what the formulas say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.axes import AXES, Axis
from benchmarks.exponents import SLACK, exponent, verdict
from benchmarks.growth_figure import FIGURE, draw
from benchmarks.point import peak, seconds
from benchmarks.section import Measured, Options, Section, table, tell

# MiB below which a peak is noise.
LEAST = 0.05


@dataclass(frozen=True)
class Curve:
    """What was measured along an axis.

    Attributes:
        seconds: processor, by value.
        mebibytes: peak of memory, by value.
    """

    axis: Axis
    seconds: Sequence[float]
    mebibytes: Sequence[float]

    @property
    def of_time(self) -> float:
        """The exponent of time."""
        return exponent(self.axis.values, self.seconds)

    @property
    def of_memory(self) -> float:
        """The exponent of memory."""
        return exponent(self.axis.values, self.mebibytes)


def curve(axis: Axis, repeats: int) -> Curve:
    """Measure along an axis."""
    times, peaks = seconds(axis, repeats), []
    for value, time in zip(axis.values, times, strict=True):
        peaks.append(max(peak(axis, value), LEAST))
        tell(f"{axis.name} {value}: {time:.3f} s, {peaks[-1]:.1f} MiB")
    return Curve(axis, times, peaks)


def _exponents(curve: Curve) -> list[list[str]]:
    axis = curve.axis
    measured = (("time", curve.of_time, axis.time), ("memory", curve.of_memory, axis.memory))
    return [
        [
            axis.name if what == "time" else "",
            f"time of one {axis.per}" if what == "time" else "peak memory",
            axis.why if what == "time" else "",
            f"{found:.2f}",
            f"{bound:.0f}",
            verdict(found, bound),
        ]
        for what, found, bound in measured
    ]


def _points(curve: Curve) -> list[list[str]]:
    axis = curve.axis
    return [
        [axis.name, str(value), f"{time:.4f}", f"{peak:.1f}"]
        for value, time, peak in zip(axis.values, curve.seconds, curve.mebibytes, strict=True)
    ]


def worse(curves: Sequence[Curve]) -> str:
    """What grows faster than its formula, in a sentence."""
    found = [
        f"{what} with {curve.axis.name} ({got:.2f} instead of {bound:.0f})"
        for curve in curves
        for what, got, bound in (
            ("time", curve.of_time, curve.axis.time),
            ("memory", curve.of_memory, curve.axis.memory),
        )
        if got > bound + SLACK
    ]
    if not found:
        return f"**No fitted exponent is more than {SLACK} above that of its formula.**"
    return f"**Faster than their formulas grow: {', '.join(found)}.**"


def describe(curves: Sequence[Curve], repeats: int) -> str:
    """Exponents, figure and points."""
    heads = ["size", "of what", "why so", "exponent", "bound", ""]
    exponents = table(heads, [row for each in curves for row in _exponents(each)], texts=3)
    points = [row for each in curves for row in _points(each)]
    return f"""\
{worse(curves)}

A stage's training of its students for an epoch (the store opened, the teacher and its outputs loaded,
trained, judged on dev, weights kept) on networks of depth 1 small enough to be measured at every size. Time
is the processor's, the median of {repeats} runs, all sizes in turn; memory is the peak beyond what a process
held that had trained once at the smallest size before, pages of files apart, each point in a process of its
own whose allocator gives back what is freed. Exponents are fitted by least squares in log-log over the upper
half of the sizes; the formula's is an upper bound, for what does not grow pulls the measured one down. More
than {SLACK} above it is called worse.

{exponents}

![growth of time and memory]({FIGURE.name})

{table(["size", "value", "s", "peak, MiB"], points)}
"""


def figures(curve: Curve) -> dict[str, Any]:
    """Points, exponents and bounds."""
    return {
        "values": list(curve.axis.values),
        "time_of": curve.axis.per,
        "seconds": list(curve.seconds),
        "peaks_mib": list(curve.mebibytes),
        "exponents": {"time": curve.of_time, "memory": curve.of_memory},
        "bounds": {"time": curve.axis.time, "memory": curve.axis.memory},
    }


def measure(options: Options) -> Measured:
    """All axes; draws the figure."""
    curves = [curve(axis, options.repeats) for axis in AXES.values()]
    draw(
        [(each.axis, each.seconds, each.of_time) for each in curves],
        [(each.axis, each.mebibytes, each.of_memory) for each in curves],
    )
    return Measured(describe(curves, options.repeats), {each.axis.name: figures(each) for each in curves})


SECTION = Section("growth", "Growth", measure)
