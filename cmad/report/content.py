"""What the report says: tables and figures with the sentences that explain them."""

import math
from collections.abc import Mapping, Sequence

from cmad.config.grid import REFERENCE
from cmad.entries import Entry
from cmad.paper import AVERAGE, Published
from cmad.report.ablations import ablation_tables
from cmad.report.blocks import Block, Heading, Link, Notes, Paragraph, Picture, Printed
from cmad.report.captions import further_figures
from cmad.report.comparison import columns_won, comparison_grid
from cmad.report.drops import all_banded, drawn_rows, has_gaps
from cmad.report.grid import pairs, side_by_side
from cmad.report.load import Cells
from cmad.report.paper import paper_blocks
from cmad.report.series import weighted_variant
from cmad.report.summary import score_summary
from cmad.report.systems import compared, footnotes
from cmad.report.table import NO_VALUE, Table, plural
from cmad.report.tables import (
    class_tables,
    combination_tables,
    consistency_tables,
    difference_table,
    drop_tables,
    label_tables,
    modality_table,
    p_table,
    split_table,
)
from cmad.scores.bootstrap import MOST_SEEDS

# Of the tests.
LEVEL = 0.05

# Headings and sentences of the ablations.
_ABLATIONS: Mapping[str, tuple[str, str]] = {
    "consistency_losses": (
        "Consistency losses",
        "What CAFD compares, as in the supplement's Tables 9 and 10: features and correlations (cmad), "
        "either alone, or the student's correlations with the teacher's directly.",
    ),
    "loss_components": (
        "Loss components",
        "CMAD without one part of its loss, as in the supplement's Tables 11 and 12: without CAFD, "
        "without MAR's weights, with them on one of the two losses, without the task loss, without the "
        "auxiliary loss.",
    ),
}


def content(of: Sequence[Cells], threads: int, published: Sequence[Published] = ()) -> tuple[Block, ...]:
    """The whole report.

    Args:
        of: at least one data set, in the order of the report.
        threads: of torch, as they are part of the result.
        published: what stands beside our numbers.
    """
    blocks: list[Block] = [Heading(1, "CMAD: report"), _what_was_run(of, threads)]
    for cells in of:
        blocks += _dataset(cells, published)
    return tuple(blocks)


def _what_was_run(of: Sequence[Cells], threads: int) -> Paragraph:
    # Data sets of one grid together.
    grids = {cells.rows: [each for each in of if each.rows == cells.rows] for cells in of}
    counted = [_grid_text(rows, together) for rows, together in grids.items()]
    seeds = [str(seed) for seed in of[0].seeds]
    return Paragraph(
        (
            f"{'; '.join(counted)}, {plural(len(seeds), 'seed')} ({', '.join(seeds)}), "
            f"{plural(threads, 'thread')}. "
            "What each variant changes stands in `params.yaml` under `definitions`, what each system is in ",
            Link("docs/systems.md", "../docs/systems.md"),
            ". All scores are on test; nothing was chosen on test. "
            "The tables are in `tables/` as CSV too, with all digits and more metrics.",
        )
    )


def _grid_text(rows: Sequence[Entry], of: Sequence[Cells]) -> str:
    names = {
        "data set": [cells.dataset for cells in of],
        "variant": [row.name for row in rows if row.system is None],
        "unified system": [str(row.system) for row in rows if row.system and not row.customised],
        "customised system": [str(row.system) for row in rows if row.customised],
        "swept value": list(dict.fromkeys(str(name) for cells in of for name in cells.sweeps["sweep"])),
    }
    counted = [f"{plural(len(each), what)} ({', '.join(each)})" for what, each in names.items() if each]
    return ", ".join(counted)


def _dataset(cells: Cells, published: Sequence[Published]) -> list[Block]:
    return [
        Heading(2, cells.dataset),
        *_systems(cells),
        *paper_blocks(cells, published, "systems"),
        *_data(cells),
        *_scores(cells),
        *_ablations(cells, published),
        *_differences(cells),
        *_drops(cells),
        *_consistency(cells),
        *paper_blocks(cells, published, "consistency"),
        *_weights(cells),
        Heading(3, "Training"),
        "Dev F1, averaged over the combinations by their dev samples, chooses the epoch that is kept unless "
        "student.select says otherwise. Where MAR's weights set in, the weighted losses jump."
        f"{_bands_text(cells)} A loss that varies much is on a logarithmic scale.{_customised_text(cells)}",
        _figure(cells, "training", "losses and dev F1 by epoch", "plots/training.csv"),
        *_further(cells),
    ]


def _further(cells: Cells) -> list[Block]:
    blocks: list[Block] = []
    for part in further_figures(cells):
        blocks += [Heading(3, part.heading), part.text]
        blocks += [_figure(cells, name, caption) for name, caption in part.figures]
    return blocks


def _systems(cells: Cells) -> list[Block]:
    marks = tuple(footnotes(compared(cells.rows)))
    return [
        Heading(3, "Systems"),
        f"Accuracy / F1 in percent, {_spread_text(cells)}, as in the supplement's Table 6. Set C trains, "
        "selects and tests one model for each combination, set U one model for all seven. Avg. is the mean "
        "of the seven columns. The best value of each column is bold; the rows under the sets are for "
        "reference and do not compete: `dropout` is the same student with the task loss alone, the constant "
        f"predictor is fitted on train and sees no input{_ceiling_known(cells)}. {_n_text(cells)}",
        Printed(comparison_grid(cells), _csv(cells, "systems")),
        *([Notes(marks)] if marks else []),
        f"{_won_text(cells)}Models are those of one seed. Parameters are those of one model as it is tested; "
        "set C's models differ, and theirs are those of the one for LAV. Training times, which no second run "
        "repeats, are in `times.md`, which is not tracked.",
    ]


def _won_text(cells: Cells) -> str:
    if REFERENCE not in cells.variants or len(compared(cells.rows)) < 2:
        return ""
    won = columns_won(cells)
    accuracy, f1 = (_listed(won[metric]) or "no column" for metric in ("accuracy", "f1"))
    return f"CMAD is best, ties included, in accuracy in: {accuracy}; in F1 in: {f1.removesuffix('.')}. "


def _spread_text(cells: Cells) -> str:
    return "mean ± standard deviation over seeds" if len(cells.seeds) > 1 else "one seed, so no deviation"


def _ceiling_known(cells: Cells) -> str:
    return ", the Bayes ceiling knows how the data were generated" if cells.has_ceiling else ""


def _customised(cells: Cells) -> list[Entry]:
    return [row for row in cells.rows if row.customised]


def _customised_text(cells: Cells) -> str:
    if not _customised(cells):
        return ""
    return " Customised systems are left out: each of their models has a dev F1 of its own combination."


def _data(cells: Cells) -> list[Block]:
    shared = [
        f"{a} and {b} share {count}"
        for (a, b), count in ((pair.split("-"), n) for pair, n in cells.manifest["shared_groups"].items())
        if count
    ]
    groups = f"Groups (speakers or videos) in more than one split: {'; '.join(shared) or 'none'}."
    return [
        Heading(3, "Data"),
        'Samples by split. "without" counts samples that natively lack a modality, '
        '"with" those that have all of a combination.',
        _printed(cells, "data", "table", split_table(cells)),
        f"Features, and what cleaning did to them. {groups}{_left_out(cells)}",
        _printed(cells, "data", "table", modality_table(cells)),
    ]


def _left_out(cells: Cells) -> str:
    """What ``skip_bad`` skipped, and the words of which no token is left."""
    skipped, wordless = cells.manifest["skipped"], cells.manifest["wordless"]
    text = ""
    if skipped:
        reasons = "; ".join(f"{reason} ({count})" for reason, count in sorted(skipped.items()))
        text += f" Samples left out, because `skip_bad` says so: {sum(skipped.values())}: {reasons}."
    if wordless:
        text += f" Words that yield no token, and lost their frames: {wordless}."
    return text


def _scores(cells: Cells) -> list[Block]:
    tables = combination_tables(cells)
    blocks: list[Block] = [
        Heading(3, "Accuracy"),
        f"Of all rows, in percent, {_spread_text(cells)}. The best row of each column is bold.",
        _printed(cells, "combinations", "metric", tables["accuracy"]),
        Heading(3, "F1"),
        f"Weighted by the true classes.{_labels_text(cells)}",
        _printed(cells, "combinations", "metric", tables["f1"]),
        *([text] if (text := _ceiling_text(cells)) else []),
        "The figures show the same; each panel has its own scale.",
        _figure(cells, "accuracy", "accuracy by combination", _csv(cells, "combinations")),
        _figure(cells, "f1", "F1 by combination", _csv(cells, "combinations")),
    ]
    if cells.kind == "regression":
        blocks += [
            Heading(3, "Mean absolute error and correlation"),
            "Over all samples that have the combination, label 0 included. Lower error is better.",
            _printed(cells, "combinations", "metric", tables["mae"]),
            "Pearson correlation. It is 0 for a constant.",
            _printed(cells, "combinations", "metric", tables["correlation"]),
            Heading(3, "Acc-7 and Acc-5"),
            "Share of samples whose score and label agree once both are clipped to [-3, 3] and rounded, "
            "label 0 included:",
            _printed(cells, "combinations", "metric", tables["acc7"]),
            "The same clipped to [-2, 2]:",
            _printed(cells, "combinations", "metric", tables["acc5"]),
        ]
    else:
        blocks += [
            Heading(3, "Paper-comparable F1"),
            "Only for comparison with the published numbers: their scorer swaps truth and prediction, "
            "so each class weighs by how often it is predicted.",
            _printed(cells, "combinations", "metric", tables["f1_paper"]),
        ]
    if "f1_macro" in tables:
        blocks += [
            Heading(3, "Macro F1"),
            "Each class weighs the same.",
            _printed(cells, "combinations", "metric", tables["f1_macro"]),
        ]
    return [*blocks, *_by_class(cells), *_by_label(cells)]


def _by_class(cells: Cells) -> list[Block]:
    variant = _shown_variant(cells)
    tables = class_tables(cells, variant)
    if not tables:
        return []
    return [
        Heading(3, "By class"),
        f"Of {variant}, with the class's number of test samples. F1 in percent:",
        _printed(cells, "classes", "metric", tables["f1"]),
        "Recall, the share of the class that is found:",
        _printed(cells, "classes", "metric", tables["recall"]),
    ]


def _by_label(cells: Cells) -> list[Block]:
    variant = _shown_variant(cells)
    tables = label_tables(cells, variant)
    if not tables:
        return []
    return [
        Heading(3, "By label"),
        f"Of {variant}. Accuracy in percent:",
        _printed(cells, "combinations", "metric", tables["accuracy"]),
        "F1 in percent:",
        _printed(cells, "combinations", "metric", tables["f1"]),
    ]


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
    if not cells.has_ceiling:
        return ""
    text = (
        "The data are generated, so the best possible predictor is known: the Bayes ceiling. "
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


def _ablations(cells: Cells, published: Sequence[Published]) -> list[Block]:
    blocks: list[Block] = []
    for name, (heading, text) in _ABLATIONS.items():
        tables = ablation_tables(cells, name)
        if tables:
            blocks += [
                Heading(3, heading),
                f"{text} Accuracy / F1 in percent, {_spread_text(cells)}.",
                Printed(pairs(*tables), _csv(cells, "combinations"), "metric accuracy and f1"),
                *paper_blocks(cells, published, name),
            ]
    return blocks


def _differences(cells: Cells) -> list[Block]:
    if cells.differences.empty:
        return []
    paper = "" if cells.kind == "regression" else " f1_paper is the paper-comparable F1."
    tested = bool(cells.differences["p"].notna().any())
    return [
        Heading(3, f"{REFERENCE} minus the others"),
        "Average over the seven combinations, in percent points, with a paired bootstrap interval of "
        f"{100 * cells.differences['confidence'].iloc[0]:g} % over seeds and test samples "
        f"(n = {cells.manifest['splits']['test']['n']}), which are taken as independent. "
        f"Where it holds 0, these seeds and samples do not tell the two apart.{paper}",
        _test_text(cells, tested),
        Printed(
            side_by_side(difference_table(cells), *([p_table(cells)] if tested else [])),
            _csv(cells, "differences"),
        ),
    ]


def _test_text(cells: Cells, tested: bool) -> str:
    if tested:
        return (
            "p is that of a sign-flip permutation test over seeds, of `tea` and the comparison systems; "
            "p_holm is corrected for their number after Holm, each metric by itself."
        )
    seeds, tests = len(cells.seeds), sum(row.system is not None or row.name == "tea" for row in cells.rows)
    # The least p is that of seeds which all agree.
    if 2.0 ** (1 - seeds) * tests > LEVEL:
        return (
            f"With {plural(seeds, 'seed')} a sign-flip test over seeds cannot reach .05 after correction, "
            "so none is shown."
        )
    text = "No sign-flip test over seeds was made"
    return f"{text}: it takes {MOST_SEEDS} seeds at most, not {seeds}." if seeds > MOST_SEEDS else f"{text}."


def _drops(cells: Cells) -> list[Block]:
    heading = Heading(3, "Drop ratios")
    if cells.drops.empty:
        return [heading, "No test sample has all three modalities, so no frames were dropped."]
    tables = drop_tables(cells)
    gaps: list[Block] = []
    if not all_banded(cells):
        figure = _figure(cells, "drop_bands", "each system with its band", _csv(cells, "drop_ratios"))
        gaps += ["Each system by itself, with a band of one standard deviation over seeds:", figure]
    if has_gaps(cells):
        figure = _figure(cells, "drop_gaps", "the same, minus CMAD", _csv(cells, "drop_ratios"))
        gaps += ["Means minus those of CMAD:", figure]
    customised = " A customised system is shown by its model for LAV." if _customised(cells) else ""
    left_out = "" if len(drawn_rows(cells)) == len(cells.rows) else " The figures leave CMAD's ablations out."
    bands = _bands_text(cells) if all_banded(cells) else _band_text(cells)
    return [
        heading,
        "A share of the frames of every modality is dropped from the test samples that have all three; "
        "at 1 nothing is left. Accuracy in percent, mean over seeds:",
        _printed(cells, "drop_ratios", "metric", tables["accuracy"]),
        "F1 in percent:",
        _printed(cells, "drop_ratios", "metric", tables["f1"]),
        f"A ratio of 0 is the combination LAV.{customised}{left_out}{bands}",
        _figure(cells, "drop_ratios", "accuracy and F1 by drop ratio", _csv(cells, "drop_ratios")),
        *gaps,
    ]


def _consistency(cells: Cells) -> list[Block]:
    heading = Heading(3, "Consistency with the teacher")
    if cells.consistency.empty:
        return [heading, "No test sample has all three modalities, so there is no teacher to compare with."]
    tables = consistency_tables(cells)
    itself = " `tea` is the teacher itself, so its LAV is 0." if "tea" in cells.variants else ""
    return [
        heading,
        "E^s on a combination against E^t on full input, over the test samples that have all three "
        f"modalities. Lower is closer.{itself} MSE:",
        _printed(cells, "consistency", "metric", tables["mse"]),
        "SIMS, how much the similarities between samples differ:",
        _printed(cells, "consistency", "metric", tables["sims"]),
    ]


def _weights(cells: Cells) -> list[Block]:
    variant = weighted_variant(cells)
    if variant is None:
        return []
    spread = " Right of them, one standard deviation over seeds." if len(cells.seeds) > 1 else ""
    return [
        Heading(3, "MAR weights"),
        f"Of {variant}, by epoch. Above: the weights Ψ, as if they were fixed at that epoch, and the same "
        "without subtracting the teacher's difficulty. Below: the second minus the first, and the difficulty "
        "W behind the first, before it is normalised. The lines end with the warm-up: until then training "
        f"uses weights of 1, from then on the last ones.{spread}",
        _figure(cells, "mar_weights", "MAR weights by epoch", "plots/mar_weights.csv"),
    ]


def _bands_text(cells: Cells) -> str:
    return " Bands are one standard deviation over seeds." if len(cells.seeds) > 1 else ""


def _band_text(cells: Cells) -> str:
    known = len(cells.seeds) > 1 and REFERENCE in cells.variants
    return " CMAD's band is one standard deviation over seeds." if known else ""


def _csv(cells: Cells, name: str) -> str:
    return f"tables/{cells.dataset}_{name}.csv"


def _printed(cells: Cells, csv: str, key: str, table: Table) -> Printed:
    """A table whose numbers stand in a CSV, where its name is the value of ``key``."""
    return Printed(side_by_side(table), _csv(cells, csv), f"{key} {table.name}")


def _figure(cells: Cells, name: str, text: str, csv: str = "") -> Picture:
    return Picture(f"{cells.dataset}_{name}", f"{cells.dataset}: {text}", csv)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
