"""Raw files or generator to ``RawData``, by the preset's format."""

from pathlib import Path

from cmad.combinations import MODALITIES
from cmad.config.schema import Preprocess
from cmad.errors import UserError
from cmad.raw import demo, feature_folder
from cmad.raw.check import check
from cmad.raw.raw_data import RawData


def read(folder: Path, params: Preprocess) -> RawData:
    """Read the raw data of a preset.

    Args:
        folder: raw files; not looked at for generated data.
        params: the preset's preprocess section.

    Raises:
        UserError: the raw data are unusable, or a knob does not fit them.
    """
    if params.format == "folder":
        raw = feature_folder.read(folder, params.task, "features" if params.text is None else "text")
        if params.text is not None and params.text.context and not any(c.strip() for c, _ in raw.texts or []):
            raise UserError(
                f"{folder / 'samples.csv'}: column context is absent or empty; fill it or set the preset's "
                "preprocess.text.context to false"
            )
        return raw
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
