"""What was found, as Markdown."""

from collections.abc import Sequence

import numpy as np

from cmad.combinations import MODALITIES
from cmad.inspection.compare import differences
from cmad.inspection.look import QUANTILES, Found
from cmad.published.facts import DataSet, Published
from cmad.report.table import aligned
from cmad.splits import SPLITS

# Of the checksums of many files and of the constant columns, so many are written down.
_SHOWN = 12


def gist(found: Found, layout: str, published: tuple[DataSet, Published] | None) -> list[str]:
    """What to know first: one line each, what is unusual among them."""
    train, dev, test = found.counts()
    lines = [
        f"layout {layout}, {len(found.splits)} samples: train {train}, dev {dev}, test {test}",
        f"task {found.kind}{': ' + ', '.join(found.names) if found.names else ''}",
        *_notable(found),
    ]
    if published is None:
        return [*lines, "no published numbers are known for this layout and task"]
    dataset, form = published
    found_differences = differences(found, dataset, form)
    name = f"{dataset.title} ({form.name or 'folder'})"
    if not found_differences:
        return [*lines, f"agrees with what is published of {name}"]
    return [*lines, *(f"differs from {name}: {each}" for each in found_differences)]


def _notable(found: Found) -> list[str]:
    lines = [f"left out as unusable: {count} samples, {reason}" for reason, count in found.skipped.items()]
    for modality in MODALITIES:
        missing = int((found.lengths[modality] == 0).sum())
        if missing:
            lines.append(f"{missing} samples have no {modality}")
        bad = sum(found.non_finite.get(modality, {}).values())
        if bad:
            lines.append(f"{modality} has {bad} values that are not finite; preprocess makes them 0")
        if found.constant.get(modality):
            lines.append(
                f"{modality} has {len(found.constant[modality])} columns that do not vary over train"
            )
    if found.repeated_ids:
        lines.append(f"{found.repeated_ids} ids stand more than once")
    lines += [
        f"{pair.replace('-', ' and ')} share {n} groups" for pair, n in found.shared_groups.items() if n
    ]
    lines += [
        f"{n} samples of {pair.split('-')[0]} stand in {pair.split('-')[1]} with the same content"
        for pair, n in found.copies.items()
        if n
    ]
    lines += [f"{n} samples of {name} repeat another's content" for name, n in found.within.items() if n]
    return lines


def markdown(
    title: str,
    found: Found,
    layout: str,
    published: tuple[DataSet, Published] | None,
    pictures: Sequence[str],
) -> str:
    """The whole text.

    Args:
        title: what was inspected.
        published: what it is compared with.
        pictures: file names beside the text.
    """
    blocks = [
        f"# {title}",
        "\n".join(f"* {line}" for line in gist(found, layout, published)),
        "## Features",
        aligned(_features(found)),
        "## Lengths",
        f"Quantiles over the samples that have the modality; language in {found.language_unit}.",
        aligned(_lengths(found)),
        "## Labels",
        aligned(_labels(found)),
        *(
            [
                f"Constant columns of {m}: {_some(found.constant[m])}."
                for m in found.constant
                if found.constant[m]
            ]
        ),
        "## Between the splits",
        aligned(_between(found)),
        "## Files",
        aligned(_files(found)),
        *(f"![{name}]({name})" for name in pictures),
    ]
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def _features(found: Found) -> list[list[str]]:
    lines = [["modality", "width", "type", *(f"non-finite in {s}" for s in SPLITS), "constant columns"]]
    for m in MODALITIES:
        if m in found.widths:
            bad = [str(found.non_finite[m][s]) for s in SPLITS]
            lines.append([m, str(found.widths[m]), found.dtypes[m], *bad, str(len(found.constant[m]))])
        else:
            lines.append([m, "", found.language_unit, "", "", "", ""])
    return lines


def _lengths(found: Found) -> list[list[str]]:
    heads = [f"{100 * q:g} %" for q in QUANTILES]
    lines = [["modality, split", "have it", "lack it", "mean", *heads]]
    for m in MODALITIES:
        for name in SPLITS:
            lengths = found.lengths[m][found.splits == name]
            own = lengths[lengths > 0]
            if not len(own):
                lines.append([f"{m}, {name}", "0", str(len(lengths)), *[""] * (1 + len(heads))])
                continue
            points = [f"{value:g}" for value in np.quantile(own, QUANTILES, method="nearest")]
            lack = str(len(lengths) - len(own))
            lines.append([f"{m}, {name}", str(len(own)), lack, f"{own.mean():.1f}", *points])
    return lines


def _labels(found: Found) -> list[list[str]]:
    keys = list(next(iter(found.label_balance.values())))
    shares = found.kind != "regression"
    lines = [["label", *SPLITS, *(f"{s}, %" for s in SPLITS if shares)]]
    sizes = dict(zip(SPLITS, found.counts(), strict=True))
    for key in keys:
        values = [found.label_balance.get(s, {}).get(key, 0) for s in SPLITS]
        line = [key.replace("_", " "), *(f"{value:g}" for value in values)]
        if shares:
            line += [f"{100 * v / max(1, sizes[s]):.1f}" for s, v in zip(SPLITS, values, strict=True)]
        lines.append(line)
    return lines


def _between(found: Found) -> list[list[str]]:
    lines = [["splits", "shared groups", "samples of the first with content of the second"]]
    lines += [[pair, str(found.shared_groups[pair]), str(found.copies[pair])] for pair in found.shared_groups]
    return lines


def _files(found: Found) -> list[list[str]]:
    names = sorted(found.checksums)
    lines = [["file", "SHA-256"]]
    lines += [[name, found.checksums[name]] for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        lines.append([f"and {len(names) - _SHOWN} more", ""])
    return lines


def _some(columns: Sequence[int]) -> str:
    text = ", ".join(map(str, columns[:_SHOWN]))
    return text if len(columns) <= _SHOWN else f"{text} and {len(columns) - _SHOWN} more"
