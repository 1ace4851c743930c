"""Raw files or generator to ``RawData``, by the preset's format."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from cmad.combinations import MODALITIES
from cmad.config.schema import Preprocess
from cmad.errors import UserError
from cmad.raw import cherma, demo, feature_folder, hkt, mag, mmsa, mult
from cmad.raw.check import check
from cmad.raw.layouts import TITLES, pickles_in
from cmad.raw.raw_data import RawData

# The published layouts that are one pickle.
_PICKLED: Mapping[str, Callable[[Path, Preprocess], RawData]] = {
    "mag": mag.read,
    "mult": mult.read,
    "mmsa": mmsa.read,
    "hkt": hkt.read,
}
# The file by which each folder is known.
_SIGNS: Mapping[Literal["folder", "cherma"], str] = {"folder": "samples.csv", "cherma": "train.json"}


def read(folder: Path, params: Preprocess) -> RawData:
    """Read the raw data of a preset.

    Args:
        folder: raw files; not looked at for generated data.
        params: the preset's preprocess section.

    Raises:
        UserError: the raw data are unusable, or a knob does not fit them.
    """
    if params.format == "demo":
        return _generated(params)
    if params.format in _PICKLED:
        if params.file is None:
            raise UserError(
                f"preprocess.file: null; format {params.format} needs a pickle's name in {folder}"
            )
        return _PICKLED[params.format](folder / params.file, params)
    if params.format == "cherma":
        _check_folder(folder, "cherma")
        return cherma.read(folder, params)
    _check_folder(folder, "folder")
    return _feature_folder(folder, params)


def _check_folder(folder: Path, wanted: Literal["folder", "cherma"]) -> None:
    """Name the layout of a folder that has another one than wanted."""
    if not folder.is_dir() or (folder / _SIGNS[wanted]).exists():
        return
    for layout, sign in _SIGNS.items():
        if (folder / sign).exists():
            raise UserError(f"{folder}: this is {TITLES[layout]}; set preprocess.format: {layout}")
    pickles = pickles_in(folder)
    if pickles:
        raise UserError(
            f"{folder}: holds {', '.join(pickles[:3])} and no {_SIGNS[wanted]}; set preprocess.format to its "
            "layout (mag, mult, mmsa or hkt) and preprocess.file to its name"
        )


def _feature_folder(folder: Path, params: Preprocess) -> RawData:
    raw = feature_folder.read(folder, params.task, "features" if params.text is None else "text")
    if params.text is not None and params.text.context and not any(c.strip() for c, _ in raw.texts or []):
        raise UserError(
            f"{folder / 'samples.csv'}: column context is absent or empty; fill it or set the preset's "
            "preprocess.text.context to false"
        )
    return raw


def _generated(params: Preprocess) -> RawData:
    if params.generator is None:
        raise UserError("preprocess.generator: null; format demo needs seed, sizes and missing shares")
    raw = demo.generate(params.generator, params.task)
    for m in MODALITIES:
        longest = demo.LENGTHS[m][1]
        if getattr(params.max_frames, m) < longest:
            raise UserError(
                f"preprocess.max_frames.{m}: {getattr(params.max_frames, m)} would cut the demo streams, and "
                f"their ceiling holds for whole ones; set {longest} or more"
            )
    check(raw, "preprocess.generator")
    return raw
