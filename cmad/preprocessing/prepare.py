"""From a raw folder to a store: the whole of preprocessing."""

from pathlib import Path

from cmad.config.schema import Preprocess
from cmad.files import partial_folder
from cmad.preprocessing.language import prepare_language
from cmad.preprocessing.write import write_store
from cmad.raw.read import read


def prepare_store(raw_folder: Path, params: Preprocess, store_folder: Path) -> None:
    """Read raw data, tokenise or encode raw text, clean, and write the store.

    Args:
        raw_folder: raw files; not looked at for generated data.
        params: the preset's preprocess section.
        store_folder: replaced on success, untouched on failure.

    Raises:
        UserError: the raw data are unusable, or a knob does not fit them.
    """
    # Beside the store and not in /tmp, which may be held in memory.
    with partial_folder(store_folder) as scratch:
        raw, language = prepare_language(read(raw_folder, params), params, scratch)
        write_store(raw, params, store_folder, language)
