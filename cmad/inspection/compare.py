"""What was found against what is published."""

import math
from collections.abc import Iterator

from cmad.inspection.look import Found
from cmad.published.facts import DATASETS, DataSet, Published
from cmad.splits import SPLITS


def nearest(found: Found, layout: str, file: str) -> tuple[DataSet, Published] | None:
    """The published form that the data most likely are, of those of the same layout and task.

    One of the same widths is taken before others, then the nearest in size, then one of the same file name.

    Args:
        layout: of the data.
        file: its name, "" for a folder.
    """
    forms = [
        (dataset, form)
        for dataset in DATASETS.values()
        for form in dataset.files
        if form.layout == layout and dataset.task == found.kind
    ]
    n = max(1, len(found.splits))

    def distance(pair: tuple[DataSet, Published]) -> tuple[bool, float, bool]:
        form = pair[1]
        return dict(form.widths) != dict(found.widths), abs(math.log(n / form.total)), form.name != file

    return min(forms, key=distance, default=None)


def differences(found: Found, dataset: DataSet, form: Published) -> list[str]:
    """One line for each number that is not the published one; empty where all agree."""
    return [*_counts(found, form), *_widths(found, form), *_ones(found, dataset), *_checksum(found, form)]


def _counts(found: Found, form: Published) -> Iterator[str]:
    if form.counts is None:
        if len(found.splits) != form.total:
            yield f"{len(found.splits)} samples in all, published are {form.total} ({form.counts_from})"
        return
    for name, here, there in zip(SPLITS, found.counts(), form.counts, strict=True):
        if here != there:
            yield f"{name} has {here} samples, published are {there} ({form.counts_from})"


def _widths(found: Found, form: Published) -> Iterator[str]:
    for modality, there in form.widths.items():
        here = found.widths.get(modality)
        if here is not None and here != there:
            yield f"{modality} is {here} wide, published is {there}"


def _ones(found: Found, dataset: DataSet) -> Iterator[str]:
    here = found.ones()
    for label, there in dataset.ones.items():
        if here.get(label) != there:
            yield f"test has {here.get(label, 'no')} of {label}, published are {there} ({dataset.ones_from})"


def _checksum(found: Found, form: Published) -> Iterator[str]:
    here = found.checksums.get(form.name)
    if form.sha256 and here and here != form.sha256:
        yield f"the SHA-256 of {form.name} is not the published one: it was changed or is incomplete"
