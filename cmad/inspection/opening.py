"""Raw files of any layout, opened without a preset."""

import csv
from dataclasses import dataclass
from pathlib import Path

from cmad.config.rules import TASKS
from cmad.config.schema import PerModality, Preprocess, Text
from cmad.errors import UserError
from cmad.raw.layouts import TITLES, Layout, pickles_in, recognise
from cmad.raw.raw_data import RawData
from cmad.raw.read import read
from cmad.task import Kind

# The kinds of labels to try where none is asked for, the likelier first.
_KINDS: dict[str, tuple[Kind, ...]] = {
    "mag": ("regression",),
    "mmsa": ("regression",),
    "mult": ("binary", "regression"),
    "hkt": ("classes",),
    "cherma": ("classes",),
}
# How a reader refuses labels of another task than the preset's.
_OTHER_TASK = "; set preprocess.task: "
# Nothing is to be cut.
_WHOLE = 10**6
# A label column with more different numbers than this is a score, with fewer a class.
_FEW = 8


@dataclass(frozen=True)
class Opened:
    """A data set as read.

    Attributes:
        raw: what the reader gave.
        layout: of the files.
        kind: of the task that the labels are of.
    """

    raw: RawData
    layout: Layout
    kind: Kind


def open_raw(path: Path, layout: Layout | None = None, kind: Kind | None = None) -> Opened:
    """Read a file or folder as its layout wants it; samples that cannot be used are left out and counted.

    Args:
        path: a pickle, a feature folder, CHERMA's folder, or a folder with nothing but one pickle.
        layout: instead of the one that is recognised.
        kind: of the task, instead of the likely one.

    Raises:
        UserError: nothing is there, it cannot be read, or its labels cannot be of this kind.
    """
    path = _the_one_pickle(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; python -m cmad data lists where to get what")
    layout = layout or recognise(path)
    _check_kind(path, layout, kind)
    kinds = (kind,) if kind else _KINDS.get(layout) or (_folder_kind(path / "samples.csv"),)
    refused: list[UserError] = []
    for each in kinds:
        try:
            return Opened(_read(path, layout, each), layout, each)
        except UserError as error:
            refused.append(error)
    # That the labels are of another task says nothing where that one was tried too.
    raise next((error for error in refused if _OTHER_TASK not in str(error)), refused[-1])


def _check_kind(path: Path, layout: Layout, kind: Kind | None) -> None:
    """Refuse what a published layout never holds; its reader would take the labels for what they are not."""
    possible = TASKS.get(layout)
    if kind and possible and kind not in possible:
        raise UserError(
            f"{path}: the labels of {TITLES[layout]} are never of a {kind} task; "
            f"give --task {' or '.join(possible)}, or leave it out"
        )


def _the_one_pickle(path: Path) -> Path:
    """The pickle of a raw folder that holds no other data."""
    if path.is_dir() and not any((path / name).exists() for name in ("samples.csv", "train.json")):
        pickles = pickles_in(path)
        if len(pickles) > 1:
            raise UserError(f"{path}: {len(pickles)} pickles ({', '.join(pickles)}); name the one to inspect")
        return path / pickles[0] if pickles else path
    return path


def _read(path: Path, layout: Layout, kind: Kind) -> RawData:
    folder, file = (path, None) if path.is_dir() else (path.parent, path.name)
    params = Preprocess(
        format=layout,
        file=file,
        skip_bad=True,
        task=kind,
        max_frames=PerModality(_WHOLE, _WHOLE, _WHOLE),
        standardise=(),
        half=(),
        text=_text(path, layout),
        generator=None,
    )
    return read(folder, params)


def _text(path: Path, layout: Layout) -> Text | None:
    """The section that makes the reader give language as it stands in the files; nothing is encoded."""
    if layout in ("mag", "hkt"):
        return Text(encoder="minilm", fine_tune=False, context=layout == "hkt")
    if layout == "folder" and not (path / "language.npz").exists():
        return Text(encoder="minilm", fine_tune=False, context=False)
    return None


def _folder_kind(path: Path) -> Kind:
    """The likely task of a feature folder; what is wrong with its table the reader will say."""
    labels: set[str] = set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if any(name.startswith("label.") for name in rows.fieldnames or ()):
                return "binary"
            labels = {row.get("label") or "" for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error):
        return "classes"
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        return "classes"
    whole = all(number == int(number) for number in numbers if abs(number) < _WHOLE)
    return "classes" if whole and len(numbers) <= _FEW else "regression"
