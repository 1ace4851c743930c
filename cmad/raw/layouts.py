"""Which published layout a file or folder has, from its content alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from cmad.errors import UserError
from cmad.raw.pickles import load
from cmad.splits import SPLITS

Layout = Literal["folder", "mag", "mult", "mmsa", "hkt", "cherma"]
TITLES: Mapping[Layout, str] = {
    "folder": "a feature folder",
    "mag": "a MAG file",
    "mult": "a MulT file",
    "mmsa": "an MMSA file",
    "hkt": "an HKT file",
    "cherma": "a CHERMA folder",
}
# What the owners call each split.
_SPLIT_NAMES = {"train": ("train",), "dev": ("dev", "valid", "val"), "test": ("test",)}
# Items of train among which one must be of known form; a damaged one may stand before it.
_FIRST = 50
_PICKLES = (".pkl", ".pickle", ".p")


def recognise(path: Path) -> Layout:
    """The layout of a pickle, or of a folder that holds data or a single pickle.

    Raises:
        UserError: it has none of the layouts, or cannot be read.
    """
    if not path.is_dir():
        return layout_of(load(path), path)
    if (path / "samples.csv").exists():
        return "folder"
    if (path / "train.json").exists():
        return "cherma"
    found = pickles_in(path)
    if len(found) != 1:
        held = f"several pickles ({', '.join(found)}); name one of them" if found else "no known data in it"
        raise UserError(f"{path}: {held}" + ("" if found else "; see data/README.md for what is read"))
    return recognise(path / found[0])


def pickles_in(folder: Path) -> list[str]:
    """Names of the files that look like pickles, sorted."""
    return sorted(each.name for each in folder.iterdir() if each.suffix.lower() in _PICKLES)


def load_as(path: Path, layout: Layout) -> dict[str, Any]:
    """Load a pickle that must have a certain layout.

    Returns:
        What it holds for train, dev and test, whatever the file calls them.

    Raises:
        UserError: it cannot be read, has another layout (which is named) or none.
    """
    if not path.exists():
        there = pickles_in(path.parent) if path.parent.is_dir() else []
        found = f" (found {', '.join(there)})" if there else ""
        raise UserError(f"{path}: no such file{found}; put it there or set preprocess.file")
    content = load(path)
    actual = layout_of(content, path)
    if actual != layout:
        raise UserError(f"{path}: this is {TITLES[actual]}; set preprocess.format: {actual}")
    return splits_of(content, path)


def layout_of(content: Any, path: Path) -> Layout:
    """The layout of what a pickle holds.

    Raises:
        UserError: none of the four that come as pickles.
    """
    train = splits_of(content, path)["train"]
    if isinstance(train, dict):
        if {"text_bert", "regression_labels", "raw_text"} & train.keys():
            return "mmsa"
        if {"text", "audio", "vision", "labels"} <= train.keys():
            return "mult"
        raise UserError(
            f"{path}: train holds {_words(train)}, neither MulT's nor MMSA's names; "
            "give a published file, see data/README.md"
        )
    for item in train[:_FIRST] if isinstance(train, list | tuple) else ():
        sizes = _sizes(item)
        if sizes == (4, 4, 4):
            return "hkt"
        if sizes[:2] == (3, 3):
            return "mag"
    raise UserError(
        f"{path}: train holds {type(train).__name__} of items that are neither MAG's nor HKT's; "
        "give a published file, see data/README.md"
    )


def splits_of(content: Any, path: Path) -> dict[str, Any]:
    """The three splits of a pickle under our names.

    Raises:
        UserError: it is no dictionary of splits, one is absent, or one has no samples.
    """
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: holds {type(content).__name__}, not a dictionary of splits; "
            "give a published file, see data/README.md"
        )
    splits = {}
    for split in SPLITS:
        name = next((name for name in _SPLIT_NAMES[split] if name in content), None)
        if name is None:
            expected = " or ".join(_SPLIT_NAMES[split])
            raise UserError(f"{path}: has no split {expected} (found {_words(content)}); name it so")
        splits[split] = content[name]
        if isinstance(splits[split], list | tuple | dict) and not splits[split]:
            raise UserError(f"{path}: split {name} is empty; give it samples")
    return splits


def _sizes(item: Any) -> tuple[int, ...]:
    """Of the item, its first part and its second; 0 for what has none."""
    if not isinstance(item, list | tuple) or not item:
        return ()
    parts = [len(part) if isinstance(part, list | tuple) else 0 for part in item[:2]]
    return (len(item), *parts)


def _words(table: Mapping[Any, Any]) -> str:
    names = [ascii(name)[1:-1] if isinstance(name, str) else type(name).__name__ for name in table]
    return ", ".join(name[:40] for name in names[:12]) or "nothing"
