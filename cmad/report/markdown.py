"""The report as Markdown: tables and figures with the sentences that explain them."""

import math
from collections.abc import Sequence

from cmad.report.load import Cells
from cmad.report.series import weighted_variant
from cmad.report.summary import AVERAGE, score_summary
from cmad.report.table import NO_VALUE, markdown
from cmad.report.tables import (
    combination_tables,
    consistency_tables,
    difference_table,
    drop_tables,
    modality_table,
    split_table,
)
from cmad.scores.bootstrap import REFERENCE


def report(of: Sequence[Cells], threads: int) -> str:
    """The whole report.

    Args:
        of: at least one data set, in the order of the report.
        threads: of torch, as they are part of the result.
    """
    blocks = ["# CMAD: report", _what_was_run(of, threads)]
    for cells in of:
        blocks += _dataset(cells)
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def _what_was_run(of: Sequence[Cells], threads: int) -> str:
    variants, seeds = of[0].variants, of[0].seeds
    return (
        f"{_count(len(of), 'data set')} ({_listed([cells.dataset for cells in of])}), "
        f"{_count(len(variants), 'variant')} ({_listed(variants)}), "
        f"{_count(len(seeds), 'seed')} ({', '.join(map(str, seeds))}), "
        f"{_count(threads, 'thread')}. "
        "What each variant changes stands in `params.yaml` under `definitions`. "
        "All scores are on test; nothing was chosen on test. "
        "The tables are in `tables/` as CSV too, with all digits and more metrics."
    )


def _dataset(cells: Cells) -> list[str]:
    return [
        f"## {cells.dataset}",
        *_data(cells),
        *_scores(cells),
        *_differences(cells),
        *_drops(cells),
        *_consistency(cells),
        *_weights(cells),
        "### Training",
        "Dev F1, averaged over the combinations by their dev samples, chooses the epoch that is kept unless "
        "student.select says otherwise. Where MAR's weights set in, the weighted losses jump."
        f"{_bands_text(cells)} A loss that varies much is on a logarithmic scale.",
        _figure(cells, "training", "losses and dev F1 by epoch"),
    ]


def _data(cells: Cells) -> list[str]:
    shared = [
        f"{a} and {b} share {count}"
        for (a, b), count in ((pair.split("-"), n) for pair, n in cells.manifest["shared_groups"].items())
        if count
    ]
    groups = f"Groups (speakers or videos) in more than one split: {'; '.join(shared) or 'none'}."
    return [
        "### Data",
        'Samples by split. "without" counts samples that natively lack a modality, '
        '"with" those that have all of a combination.',
        markdown(split_table(cells)),
        f"Features, and what cleaning did to them. {groups}",
        markdown(modality_table(cells)),
    ]


def _scores(cells: Cells) -> list[str]:
    tables = combination_tables(cells)
    spread = "mean ± standard deviation over seeds" if len(cells.seeds) > 1 else "one seed, so no deviation"
    blocks = [
        "### Accuracy",
        f"In percent, {spread}. Avg. is the mean of the seven columns. "
        f"The best variant of each column is bold. {_n_text(cells)}",
        markdown(tables["accuracy"]),
        "### F1",
        f"Weighted by the true classes.{_labels_text(cells)}",
        markdown(tables["f1"]),
        f"The constant predictor is fitted on train and sees no input.{_ceiling_text(cells)}",
        "The figures show the same; each panel has its own scale.",
        _figure(cells, "accuracy", "accuracy by combination"),
        _figure(cells, "f1", "F1 by combination"),
    ]
    if cells.kind == "regression":
        blocks += [
            "### Mean absolute error and correlation",
            "Over all samples that have the combination, label 0 included. Lower error is better.",
            markdown(tables["mae"]),
            "Pearson correlation. It is 0 for a constant.",
            markdown(tables["correlation"]),
        ]
    else:
        blocks += [
            "### Paper-comparable F1",
            "Only for comparison with the published numbers: their scorer swaps truth and prediction, "
            "so each class weighs by how often it is predicted.",
            markdown(tables["f1_paper"]),
        ]
    if "f1_macro" in tables:
        blocks += ["### Macro F1", "Each class weighs the same.", markdown(tables["f1_macro"])]
    return blocks


def _n_text(cells: Cells) -> str:
    text = "n counts the test samples that natively have the combination"
    if cells.kind == "regression":
        text += (
            " and a label other than 0: accuracy and F1 ask whether the score is positive, "
            "which label 0 leaves open"
        )
    return f"{text}. Where there are none, the column shows {NO_VALUE}."


def _labels_text(cells: Cells) -> str:
    if cells.kind != "binary":
        return ""
    return f" Accuracy and F1 are means over the labels {_listed(cells.manifest['task']['names'])}."


def _ceiling_text(cells: Cells) -> str:
    summary = score_summary(cells)["mean"]
    if "ceiling" not in set(cells.references["variant"]):
        return ""
    text = (
        " The data are generated, so the best possible predictor is known: the Bayes ceiling. "
        "No system has a higher accuracy in expectation; F1 is that of the same predictor."
    )
    best = _shown_variant(cells)
    gaps = [summary[m, "ceiling", AVERAGE] - summary[m, best, AVERAGE] for m in ("accuracy", "f1")]
    if any(math.isnan(gap) for gap in gaps):
        return text
    accuracy, f1 = (f"{abs(gap) * 100:.1f} points {'below' if gap >= 0 else 'above'}" for gap in gaps)
    return f"{text} On average {best} stays {accuracy} it in accuracy and {f1} in F1."


def _shown_variant(cells: Cells) -> str:
    """``cmad``, or where it is not in the grid the variant with the best average accuracy."""
    if REFERENCE in cells.variants:
        return REFERENCE
    summary = score_summary(cells)["mean"]
    return max(cells.variants, key=lambda v: float(summary["accuracy", v, AVERAGE]))


def _differences(cells: Cells) -> list[str]:
    if cells.differences.empty:
        return []
    paper = "" if cells.kind == "regression" else " f1_paper is the paper-comparable F1."
    return [
        f"### {REFERENCE} minus the other variants",
        "Average over the seven combinations, in percent points, with a paired bootstrap interval of "
        f"{100 * cells.differences['confidence'].iloc[0]:g} % over seeds and test samples, which are taken "
        "as independent. "
        f"Where it holds 0, these seeds and samples do not tell the two apart.{paper}",
        markdown(difference_table(cells)),
    ]


def _drops(cells: Cells) -> list[str]:
    heading = "### Drop ratios"
    if cells.drops.empty:
        return [heading, "No test sample has all three modalities, so no frames were dropped."]
    tables = drop_tables(cells)
    return [
        heading,
        "A share of the frames of every modality is dropped from the test samples that have all three; "
        "at 1 nothing is left. Accuracy in percent, mean over seeds:",
        markdown(tables["accuracy"]),
        "F1 in percent:",
        markdown(tables["f1"]),
        f"A ratio of 0 is the combination LAV.{_bands_text(cells)}",
        _figure(cells, "drop_ratios", "accuracy and F1 by drop ratio"),
    ]


def _consistency(cells: Cells) -> list[str]:
    heading = "### Consistency with the teacher"
    if cells.consistency.empty:
        return [heading, "No test sample has all three modalities, so there is no teacher to compare with."]
    tables = consistency_tables(cells)
    itself = " `tea` is the teacher itself, so its LAV is 0." if "tea" in cells.variants else ""
    return [
        heading,
        "E^s on a combination against E^t on full input, over the test samples that have all three "
        f"modalities. Lower is closer.{itself} MSE:",
        markdown(tables["mse"]),
        "SIMS, how much the similarities between samples differ:",
        markdown(tables["sims"]),
    ]


def _weights(cells: Cells) -> list[str]:
    variant = weighted_variant(cells)
    if variant is None:
        return []
    spread = " Right of them, one standard deviation over seeds." if len(cells.seeds) > 1 else ""
    return [
        "### MAR weights",
        f"Of {variant}, by epoch. Left: the weights Ψ, as if they were fixed at that epoch. Middle: the same "
        "without subtracting the teacher's difficulty. Right: the difficulty W behind the left panel, before "
        "it is normalised. The lines end with the warm-up: until then training uses weights of 1, from then "
        f"on the last ones.{spread}",
        _figure(cells, "mar_weights", "MAR weights by epoch"),
    ]


def _bands_text(cells: Cells) -> str:
    return " Bands are one standard deviation over seeds." if len(cells.seeds) > 1 else ""


def _figure(cells: Cells, name: str, text: str) -> str:
    return f"![{cells.dataset}: {text}](figures/{cells.dataset}_{name}.png)"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
