"""Headings, sentences and captions of the figures beyond scores, epochs and drop ratios."""

from dataclasses import dataclass

from cmad.report.load import Cells
from cmad.report.pairs import pair_variants
from cmad.report.predicted import sample_figures
from cmad.report.projection import projected_variants


@dataclass(frozen=True)
class Shown:
    """A part of the report around some figures.

    Attributes:
        heading, text: above them.
        figures: (file stem without the data set, caption).
    """

    heading: str
    text: str
    figures: tuple[tuple[str, str], ...]


def further_figures(cells: Cells) -> list[Shown]:
    """What ``cmad.report.write.write_figures`` draws of a data set and no other part shows, in order."""
    return [*_sweeps(cells), *_pairs(cells), *_projection(cells), *_samples(cells), *_ceiling(cells)]


def _sweeps(cells: Cells) -> list[Shown]:
    if cells.sweeps.empty:
        return []
    parameters = set(cells.sweeps["parameter"])
    notes = ""
    if "phi" in parameters:
        notes += " phi cancels in the loss (`docs/deviations.md`), so its line can only be flat."
    if "alpha" in parameters and cells.kind == "binary":
        notes += " With two classes alpha only scales gamma."
    text = (
        "CMAD with one number of the student section changed, as in the supplement's Figures 10 and 11: "
        "the average over the seven combinations, small points for seeds, bars of one deviation. The grey "
        f"line marks the value of `cmad` itself. Each value was trained on its own.{notes} "
        f"The numbers are in `tables/{cells.dataset}_sweeps.csv`."
    )
    return [Shown("Sweeps", text, (("sweeps", "scores by one knob"),))]


def _pairs(cells: Cells) -> list[Shown]:
    if not pair_variants(cells):
        return []
    text = (
        "Cosines of E^s, on each combination, and E^t on full input, as in the supplement's Figure 8: of "
        "the same sample (positive pairs) and of two of a batch (negative pairs). The term is to pull "
        "the first up and the second down."
    )
    return [Shown("Similarity of pairs", text, (("pairs", "similarity of positive and negative pairs"),))]


def _projection(cells: Cells) -> list[Shown]:
    if not projected_variants(cells):
        return []
    text = (
        "E^s of complete test samples on two principal axes, fitted over all combinations, each variant "
        "by itself. Large marks are the centres of the combinations."
    )
    return [Shown("Representations", text, (("projection", "E^s on two principal axes"),))]


def _samples(cells: Cells) -> list[Shown]:
    figures = sample_figures(cells)
    if not figures:
        return []
    captions = {
        "scatter": "predicted against true score",
        "reliability": "how often decisions of a probability are right",
        "confusion": "confusion of classes",
    }
    (variant,) = {variant for _, variant in figures.values()}
    text = f"Of {variant}, on each combination"
    text += ", the first 300 samples that have it." if "scatter" in figures else ", all seeds together."
    return [Shown("Single predictions", text, tuple((name, captions[name]) for name in figures))]


def _ceiling(cells: Cells) -> list[Shown]:
    if not cells.has_ceiling:
        return []
    text = (
        "How many points each row stays below the Bayes ceiling of that combination; bars are one deviation "
        "over seeds. Below the dashed line is luck: the ceiling is best in expectation, not on every sample."
    )
    return [Shown("Gap to the ceiling", text, (("ceiling", "points below the Bayes ceiling"),))]
