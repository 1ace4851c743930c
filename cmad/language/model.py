"""A language model of transformers: its traits from its config, and the model itself."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmad.errors import UserError
from cmad.language.find import KEY
from cmad.language.quiet import quiet

# These count positions from the padding id plus one, so that fewer than the table's rows can be used.
_OFFSET = ("roberta", "camembert", "data2vec-text", "ibert", "mpnet")

# These have nothing but plain attention between tokens, which know their place by ``position_ids`` alone.
PLAIN = frozenset({"albert", "bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"})

# Keys of a config that make transformers look for kernels or quantisers outside itself.
_FOREIGN = frozenset({"attn_implementation", "_attn_implementation", "quantization_config"})


@dataclass(frozen=True)
class Traits:
    """What the rest needs to know of an encoder.

    Attributes:
        width: of its hidden states.
        vocabulary: number of its token ids.
        positions: longest sequence that it takes; None where there is no limit.
        segments: whether it tells the first part of a sequence from the second.
        first: its number of a sequence's first place.
        packs: whether sequences can be laid end to end (``cmad.network.packed``).
    """

    width: int
    vocabulary: int
    positions: int | None
    segments: bool
    first: int
    packs: bool


def traits(folder: Path) -> Traits:
    """Read the traits from a model's folder (``cmad.language.find``).

    Raises:
        UserError: the config cannot be read, or it is not one of an encoder of text.
    """
    _check_plain(folder / "config.json")
    with quiet():
        from transformers import AutoConfig

        try:
            config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        # What a faulty config makes transformers raise is of no few kinds.
        except Exception as error:
            raise UserError(f"{folder / 'config.json'}: {_first_line(error)}; set {KEY} to another") from None
    width, vocabulary = (getattr(config, name, None) for name in ("hidden_size", "vocab_size"))
    if not isinstance(width, int) or not isinstance(vocabulary, int) or config.is_encoder_decoder:
        raise UserError(
            f"{folder}: a {config.model_type} model is no encoder of text alone; "
            f"set {KEY} to a BERT-type model"
        )
    positions = getattr(config, "max_position_embeddings", None)
    offset = any(kind in config.model_type for kind in _OFFSET)
    first = (config.pad_token_id or 0) + 1 if offset else 0
    return Traits(
        width=width,
        vocabulary=vocabulary,
        positions=None if positions is None else positions - first,
        segments=(getattr(config, "type_vocab_size", 0) or 0) > 1,
        first=first,
        packs=config.model_type in PLAIN,
    )


def load_model(folder: Path) -> Any:
    """Load a model with its pretrained weights in float32, in eval mode, without a pooling layer.

    Args:
        folder: as ``cmad.language.find.find`` gives it.

    Returns:
        A torch module; called with ``input_ids``, ``attention_mask`` [n, T] and, where the model has
        segments, ``token_type_ids``, it returns an object with ``last_hidden_state`` [n, T, width].

    Raises:
        UserError: the weights are not those of the config's model.
    """
    import torch

    from cmad.computing.randomness import torch_seeded

    _check_plain(folder / "config.json")
    # A model class draws initial weights before it loads: chance elsewhere must not notice.
    with quiet(), torch_seeded(0, "encoder"):
        from transformers import AutoModel

        settings: dict[str, Any] = {
            "local_files_only": True,
            "trust_remote_code": False,
            "use_safetensors": True,
            "dtype": torch.float32,
            "output_loading_info": True,
        }
        try:
            try:
                model, info = AutoModel.from_pretrained(folder, add_pooling_layer=False, **settings)
            except TypeError:
                # A class that knows no pooling layer.
                model, info = AutoModel.from_pretrained(folder, **settings)
        except Exception as error:
            raise UserError(f"{folder}: not a readable model ({_first_line(error)}); get it again") from None
    # Without a word, transformers would leave what the file lacks at random values.
    absent = sorted(name for name in info["missing_keys"] if "pooler" not in name)
    if absent:
        raise UserError(
            f"{folder}: the weights lack {absent[0]} (absent: {len(absent)}), so they are of another model "
            "than config.json says; get the model again"
        )
    return model.eval()


def _check_plain(path: Path) -> None:
    """Refuse a config that asks for more than a model of transformers: it could name code to fetch."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: {_first_line(error)}; set {KEY} to another") from None
    asked = sorted(set(config) & _FOREIGN) if isinstance(config, dict) else []
    if asked:
        raise UserError(f"{path}: {asked[0]} is not taken from a file; remove it, or set {KEY} to another")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
