"""Section: one epoch with its evaluation against the plain implementation, at each shape."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.clock import Seconds, median
from benchmarks.epochs import (
    Epoch,
    disagreement,
    fresh_network,
    padded,
    plain_epoch,
    prepare,
    project_epoch,
    shown_share,
    with_project_dropout,
)
from benchmarks.section import WITHOUT_TEXT, Measured, Options, Section, has_text_extra, table, tell
from benchmarks.shapes import Shape, all_shapes
from cmad.combinations import MODALITIES
from cmad.errors import UserError
from cmad.network.network import Network
from cmad.store.store import Store

# Both implementations must mean the same: losses and dev outputs, after an epoch of separate updates.
TOLERANCE = 1e-5
PARTS = {"training": "training", "evaluation": "evaluation", "whole": "**epoch**"}


@dataclass(frozen=True)
class Comparison:
    """What was timed at one shape.

    Attributes:
        project, plain: one epoch per repeat, in turn.
        caching: the project's teacher outputs on train, made once for all epochs.
        difference: the largest between losses and outputs of both, under the same dropout.
        frames: mean length of the train samples.
        shown: share of the (sample, modality) pairs that training shows.
    """

    shape: Shape
    project: Sequence[Epoch]
    plain: Sequence[Epoch]
    caching: Seconds
    difference: float
    frames: float
    shown: float


def compare(shape: Shape, repeats: int) -> Comparison:
    """Time both, in turn, so that what else the machine does falls on both.

    Raises:
        UserError: they do not compute the same.
    """
    with tempfile.TemporaryDirectory() as name:
        case = prepare(shape, Path(name))
        data = padded(case)
        # Not timed, with the same dropout in both; the project's own warms up.
        difference = disagreement(
            project_epoch(case), plain_epoch(case, data, with_project_dropout(_student(shape, case.store)))
        )
        if not difference <= TOLERANCE:
            raise UserError(
                f"{shape.title}: the implementations differ by {difference:.1e}, more than {TOLERANCE:.0e}; "
                "no times of different computations are compared"
            )
        project, plain = [], []
        for repeat in range(repeats):
            project.append(project_epoch(case))
            plain.append(plain_epoch(case, data, _student(shape, case.store)))
            ours, theirs = project[-1].whole.processor, plain[-1].whole.processor
            tell(
                f"{shape.name}, repeat {repeat + 1} of {repeats}: project {ours:.1f} s, plain {theirs:.1f} s"
            )
        frames = float(case.store.splits["train"].lengths["language"].mean())
        return Comparison(shape, project, plain, case.caching, difference, frames, shown_share(case))


def _student(shape: Shape, store: Store) -> Network:
    return fresh_network(shape, store, "student")


def _medians(epochs: Sequence[Epoch]) -> dict[str, Seconds]:
    return {part: median(getattr(epoch, part) for epoch in epochs) for part in PARTS}


def figures(comparison: Comparison) -> dict[str, Any]:
    """Medians and what goes with them."""
    ours, theirs = _medians(comparison.project), _medians(comparison.plain)
    return {
        "samples": {"train": comparison.shape.train, "dev": comparison.shape.dev},
        "project_seconds": {part: asdict(ours[part]) for part in PARTS},
        "plain_seconds": {part: asdict(theirs[part]) for part in PARTS},
        "times_as_fast": asdict(_ratio(ours["whole"], theirs["whole"])),
        "teacher_outputs_seconds": asdict(comparison.caching),
        "largest_difference": comparison.difference,
    }


def _ratio(ours: Seconds, theirs: Seconds) -> Seconds:
    return Seconds(theirs.wall / ours.wall, theirs.processor / ours.processor)


def _rows(comparison: Comparison) -> list[list[str]]:
    rows = []
    ours, theirs = _medians(comparison.project), _medians(comparison.plain)
    for part, label in PARTS.items():
        cells = [comparison.shape.title if part == "training" else "", label]
        for clock in ("processor", "wall"):
            mine, other = getattr(ours[part], clock), getattr(theirs[part], clock)
            cells += [f"{mine:.2f}", f"{other:.2f}", f"{other / mine:.2f}"]
        rows.append(cells)
    return rows


def _setting(comparison: Comparison) -> list[str]:
    shape, network = comparison.shape, comparison.shape.network
    widths = "/".join(
        "tokens" if shape.tokens and m == "language" else str(shape.widths[m]) for m in MODALITIES
    )
    once = comparison.caching.processor
    charged = _medians(comparison.plain)["whole"].processor / (
        _medians(comparison.project)["whole"].processor + once
    )
    return [
        shape.title,
        f"{shape.train} + {shape.dev}",
        f"{network.width}, {network.depth}, {network.heads}",
        str(shape.student.batch),
        f"{shape.lengths.longest} ({comparison.frames:.1f})",
        widths,
        f"{comparison.shown:.0%}",
        f"{comparison.difference:.0e}",
        f"{once:.2f}",
        f"{charged:.2f}",
    ]


def describe(comparisons: Sequence[Comparison], skipped: Sequence[Shape]) -> str:
    """Both tables with what is to be known of them."""
    fastest = ", ".join(
        f"{_ratio(_medians(c.project)['whole'], _medians(c.plain)['whole']).processor:.2f} ({c.shape.title})"
        for c in comparisons
    )
    times = table(
        ["shape", "part", "project, s", "plain, s", "ratio", "project, wall s", "plain, wall s", "ratio"],
        [row for comparison in comparisons for row in _rows(comparison)],
        texts=2,
    )
    settings = table(
        [
            "shape",
            "train + dev",
            "D, depth, H",
            "batch",
            "T (mean)",
            "widths",
            "pairs shown",
            "largest difference",
            "teacher once, s",
            "ratio with it",
        ],
        [_setting(comparison) for comparison in comparisons],
    )
    left_out = "".join(f"\n{shape.title}: {WITHOUT_TEXT}.\n" for shape in skipped)
    return f"""\
**One epoch with its seven-combination evaluation, times as fast as plain: {fastest}.**

Plain is a dense implementation of the same computation (`benchmarks/dense.py`): every modality of
every sample encoded, the teacher run in each step, seven evaluation passes, padding to T, attention by
einsum and softmax; with tokens, both encoders over all samples padded to T, with an attention mask.
Both start from the same weights, make the same optimiser, see the same batches and combinations and keep
the epoch's weights, in fp32. IEMOCAP's epoch is of as many samples as it has, MOSEI's of fewer, at its
proportions. Medians of {len(comparisons[0].project)} epochs, both implementations in turn. Seconds of this
process alone, then by the clock on the wall, which what else the machine does disturbs.

{times}
{left_out}
{settings}

Losses and dev outputs after an epoch with the same dropout in both differ by no more than the column says;
beyond {TOLERANCE:.0e} there would be no report. In the epochs that are timed each draws dropout in its own
way, plain as torch's stock layers do, the project in fewer passes (`cmad/network/dropout.py`). The project
runs the frozen teacher over train once for all epochs of all students; the last column charges that to
this single epoch. Plain got its padded data for nothing. The fine-tuned encoder's own dropout is off in
both: its masks would depend on what is encoded at once.
"""


def measure(options: Options) -> Measured:
    """All shapes that can be measured here."""
    shapes = [shape for shape in all_shapes() if has_text_extra() or not shape.tokens]
    comparisons = [compare(shape, options.repeats) for shape in shapes]
    skipped = [shape for shape in all_shapes() if shape not in shapes]
    return Measured(
        describe(comparisons, skipped),
        {c.shape.name: figures(c) for c in comparisons} | {shape.name: None for shape in skipped},
    )


SECTION = Section("epoch", "One epoch against the plain implementation", measure)
