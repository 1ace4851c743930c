"""Every data set with its links, files, checksums, and what of it lies here."""

from pathlib import Path

from cmad.files import sha256
from cmad.published.facts import DATASETS, DataSet, Published


def listing(raw: Path) -> str:
    """The data sets as Markdown.

    Args:
        raw: the folder with one folder per data set. Files with a published checksum are read as a whole.
    """
    blocks = [
        "# Data sets",
        f"Where to put them: `{raw}/<data set>/<file>`. Only MMSA publishes checksums. The layout is the "
        "preset's `preprocess.format`; the file that the preset of this name reads comes first.",
    ]
    for name, dataset in DATASETS.items():
        blocks.append(_section(raw / name, name, dataset))
    return "\n\n".join(blocks) + "\n"


def presence(folder: Path, form: Published) -> str:
    """What lies in a data set's raw folder of one published form.

    Returns:
        "absent", "present, no checksum is published", "matches the published checksum", "differs from
        the published checksum", or for a folder which parts are absent.
    """
    path = folder / form.name
    if form.parts:
        missing = [part for part in form.parts if not (path / part).exists()]
        if len(missing) == len(form.parts):
            return "absent"
        return f"incomplete: no {', '.join(missing)}" if missing else "present, no checksum is published"
    if not path.is_file():
        return "absent"
    if form.sha256 is None:
        return "present, no checksum is published"
    verdict = "matches" if sha256(path) == form.sha256 else "differs from"
    return f"{verdict} the published checksum"


def _section(folder: Path, name: str, dataset: DataSet) -> str:
    lines = [f"## {name}: {dataset.title}", ""]
    for form in dataset.files:
        what = form.name or f"folder with {', '.join(form.parts)}"
        lines += [
            f"* {what} (layout {form.layout}{', read by the preset' if form.preset else ''}): "
            f"**{presence(folder, form)}**",
            f"  * {form.link[0]}: {form.link[1]}",
            f"  * samples: {_counts(form)} ({form.counts_from})",
        ]
        if form.sha256:
            lines.append(f"  * SHA-256 {form.sha256}")
    if dataset.note:
        lines += ["", dataset.note]
    return "\n".join(lines)


def _counts(form: Published) -> str:
    if form.counts is None:
        return f"{form.total} in all"
    train, dev, test = form.counts
    return f"train {train}, dev {dev}, test {test}"
