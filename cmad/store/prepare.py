"""From a raw folder to a store: the whole of preprocessing."""

from dataclasses import replace
from pathlib import Path

from cmad.config.schema import Preprocess
from cmad.errors import UserError
from cmad.raw.raw_data import RawData
from cmad.raw.read import read
from cmad.raw.text import encode
from cmad.store.write import write_store


def prepare_store(raw_folder: Path, params: Preprocess, store_folder: Path) -> None:
    """Read raw data, encode raw text, clean, and write the store.

    Args:
        raw_folder: raw files; not looked at for generated data.
        params: the preset's preprocess section.
        store_folder: replaced on success, untouched on failure.

    Raises:
        UserError: the raw data are unusable, or a knob does not fit them.
    """
    raw, cut = _with_language(read(raw_folder, params), params)
    write_store(raw, params, store_folder, cut)


def _with_language(raw: RawData, params: Preprocess) -> tuple[RawData, int]:
    """The data with language as features, and the word pieces cut on the way."""
    if raw.texts is None:
        return raw, 0
    if params.text is None:
        raise UserError("preprocess.text: null, but the data come as raw text; set encoder and context")
    texts = raw.texts if params.text.context else [("", text) for _, text in raw.texts]
    # One thread: the bits of the store must not depend on the machine's number of cores.
    language, cut = encode(texts, params.max_frames.language, threads=1)
    return replace(raw, streams={"language": language, **raw.streams}, texts=None), cut
