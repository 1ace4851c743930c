"""Tiny language models with random weights, in folders as transformers writes them."""

from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AlbertConfig,
    AlbertModel,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

Kind = Literal["bert", "roberta", "albert", "distilbert"]
KINDS: tuple[Kind, ...] = ("bert", "roberta", "albert", "distilbert")
WIDTH = 8
CORPUS = ["this was not good at all", "well , that is the unbelievable end of it", "sure . so what ?"] * 4
_LETTERS = "abcdefghijklmnopqrstuvwxyz,.?'"


def write_encoder(folder: Path, kind: Kind = "bert", positions: int = 32, seed: int = 0) -> Path:
    """Write a model that can be loaded by its folder.

    Args:
        folder: made if need be.
        kind: of the model. "bert" has word pieces and segments; "roberta" byte-level pieces, no
            segments and a double [SEP] between two parts; "albert" sentence pieces and segments;
            "distilbert" word pieces and no segments.
        positions: longest sequence that the model takes.
        seed: of the weights.

    Returns:
        ``folder``.
    """
    tokenizer = {"roberta": _byte_level, "albert": _sentence_pieces}.get(kind, _word_pieces)()
    tokenizer.model_max_length = positions
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _model(kind, len(tokenizer), positions).save_pretrained(folder)
    return folder


def _model(kind: Kind, vocabulary: int, positions: int) -> Any:
    heads: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    sizes: dict[str, Any] = {"vocab_size": vocabulary, "hidden_size": WIDTH, **heads}
    if kind == "distilbert":
        return DistilBertModel(
            DistilBertConfig(
                vocab_size=vocabulary, dim=WIDTH, n_layers=2, n_heads=2, hidden_dim=16,
                max_position_embeddings=positions,
            )
        )  # fmt: skip
    if kind == "albert":
        return AlbertModel(AlbertConfig(**sizes, embedding_size=4, max_position_embeddings=positions))
    if kind == "roberta":
        config = RobertaConfig(
            **sizes, type_vocab_size=1, pad_token_id=1, max_position_embeddings=positions + 2
        )
        return RobertaModel(config, add_pooling_layer=False)
    return BertModel(BertConfig(**sizes, max_position_embeddings=positions), add_pooling_layer=False)


def _word_pieces() -> PreTrainedTokenizerFast:
    words = ["good", "this", "was", "not", "un", "##believ", "##able", "the", "it"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *_LETTERS, *(f"##{c}" for c in _LETTERS)]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return _fast(tokenizer, "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")


def _byte_level() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=320, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return _fast(tokenizer, "<s>", "</s>", "<pad>", "<unk>", "<mask>")


def _sentence_pieces() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    specials = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        [*CORPUS, *_LETTERS],
        trainers.UnigramTrainer(
            vocab_size=60, special_tokens=specials, unk_token="<unk>", show_progress=False
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return _fast(tokenizer, "[CLS]", "[SEP]", "<pad>", "<unk>", "[MASK]")


def _fast(
    tokenizer: Tokenizer, cls: str, sep: str, pad: str, unknown: str, mask: str
) -> PreTrainedTokenizerFast:
    make: Any = PreTrainedTokenizerFast
    fast: PreTrainedTokenizerFast = make(
        tokenizer_object=tokenizer,
        cls_token=cls,
        sep_token=sep,
        pad_token=pad,
        unk_token=unknown,
        mask_token=mask,
    )
    return fast
