import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.section import has_text_extra
from cmad.errors import UserError
from cmad.language.find import find
from cmad.language.model import traits
from cmad.preprocessing.frozen import write_hidden_states
from cmad.preprocessing.tokenise import from_texts, load_tokeniser
from cmad.raw.raw_data import Ragged
from tests.generators.encoders import KINDS, WIDTH, Kind, write_encoder

NO_TEXT = "the text extra is not installed (make text)"
MINILM = pytest.mark.skipif(not has_text_extra(), reason=NO_TEXT)

TEXTS = [
    ("", "It was REALLY good."),
    ("Who was he? His name is Ron.", "Sure."),
    ("said before", "   "),
    ("", "a " * 40),
    ("one two three four five six seven eight nine ten", "the end of it"),
    ("", "😀"),
    ("", "it was really good."),
]


def encode(
    texts: Sequence[tuple[str, str]], max_tokens: int, threads: int, folder: Path | None = None
) -> tuple[Ragged, int]:
    """Hidden states of texts, and the number of word pieces cut."""
    folder = folder or find("minilm")
    found = traits(folder)
    tokens = from_texts(load_tokeniser(folder, found), texts, max_tokens)
    states = np.empty((len(tokens.stream.features), found.width), dtype=np.float32)
    write_hidden_states(folder, found, tokens.stream, threads, states)
    return Ragged(states, tokens.stream.lengths), tokens.cut


@pytest.fixture(scope="module")
def encoded() -> tuple[Ragged, int]:
    return encode(TEXTS, max_tokens=12, threads=1)


def rows(ragged: Ragged, sample: int) -> np.ndarray:
    start = int(ragged.lengths[:sample].sum())
    return ragged.features[start : start + ragged.lengths[sample]]


@MINILM
def test_lengths_and_cut_pieces(encoded: tuple[Ragged, int]) -> None:
    ragged, cut = encoded
    # [CLS] it was really good . [SEP]; [CLS] 8 [SEP] sure . [SEP]; empty; cut; cut; [UNK]; as the first.
    assert ragged.lengths.tolist() == [7, 12, 0, 12, 12, 3, 7]
    assert ragged.features.shape == (53, 384)
    assert ragged.features.dtype == np.float32
    assert np.isfinite(ragged.features).all()
    # "Who was he? His name is Ron." is 9 pieces of which 7 fit, 30 of 40 a's, 5 of the ten numbers.
    assert cut == 2 + 30 + 5


@MINILM
def test_case_does_not_matter_to_this_model(encoded: tuple[Ragged, int]) -> None:
    np.testing.assert_array_equal(rows(encoded[0], 0), rows(encoded[0], 6))


@MINILM
def test_equals_the_model_called_directly(encoded: tuple[Ragged, int]) -> None:
    transformers = pytest.importorskip("transformers", reason=NO_TEXT)
    folder = find("minilm")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    # "who was" is what the front of the context loses.
    for sample, parts in ((0, ("It was REALLY good.",)), (1, ("he? his name is ron.", "sure."))):
        inputs = tokenizer(*parts, return_tensors="pt")
        with torch.no_grad():
            expected = model(**inputs).last_hidden_state[0].numpy()
        np.testing.assert_allclose(rows(encoded[0], sample), expected, atol=1e-5)


@MINILM
def test_the_rest_of_the_batch_does_not_matter(encoded: tuple[Ragged, int]) -> None:
    for sample in (0, 1, 3, 4):
        alone, _ = encode([TEXTS[sample]], max_tokens=12, threads=1)
        np.testing.assert_allclose(alone.features, rows(encoded[0], sample), atol=1e-5)
    backwards, cut = encode(TEXTS[::-1], max_tokens=12, threads=1)
    for sample in range(len(TEXTS)):
        np.testing.assert_allclose(
            rows(backwards, len(TEXTS) - 1 - sample), rows(encoded[0], sample), atol=1e-5
        )
    assert cut == encoded[1]


@MINILM
def test_repeats_to_the_bit_and_leaves_torch_as_it_was(
    encoded: tuple[Ragged, int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:

    def refuse(*_: object) -> None:
        raise AssertionError("no network access is needed")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    again, _ = encode(TEXTS, max_tokens=12, threads=threads + 1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    again, _ = encode(TEXTS, max_tokens=12, threads=1)
    assert again.features.tobytes() == encoded[0].features.tobytes()
    # Neither bars nor reports where the output is no terminal.
    assert capfd.readouterr() == ("", "")


@MINILM
def test_all_empty_texts_give_an_empty_stream() -> None:
    ragged, cut = encode([("", ""), ("x", "\n")], max_tokens=5, threads=1)
    assert ragged.lengths.tolist() == [0, 0]
    assert ragged.features.shape == (0, 384)
    assert cut == 0


@MINILM
@pytest.mark.parametrize("tokens", [2, 513])
def test_a_length_that_the_model_cannot_take_is_refused(tokens: int) -> None:
    with pytest.raises(
        UserError, match=rf"max_frames.language: {tokens} tokens; encoded text takes 3 to 512"
    ):
        encode(TEXTS, max_tokens=tokens, threads=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("context", ["", "well , that is"])
def test_any_model_gives_what_transformers_itself_gives(kind: Kind, context: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason=NO_TEXT)
    folder = write_encoder(tmp_path / kind, kind)
    ragged, cut = encode(
        [("", "sure"), (context, "this was not good")], max_tokens=32, threads=1, folder=folder
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    parts = (context, "this was not good") if context else ("this was not good",)
    inputs = tokenizer(*parts, return_tensors="pt", return_token_type_ids=kind in ("bert", "albert"))
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state[0].numpy()
    assert cut == 0
    assert ragged.features.shape[1] == WIDTH
    np.testing.assert_allclose(rows(ragged, 1), expected, atol=1e-5)


def test_a_model_whose_weights_are_of_another_is_refused(tmp_path: Path) -> None:
    save = pytest.importorskip("safetensors.numpy", reason=NO_TEXT)
    folder = write_encoder(tmp_path / "bert")
    weights = save.load_file(folder / "model.safetensors")
    kept = {name: array for name, array in weights.items() if "layer.1" not in name}
    save.save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        UserError, match=r"bert: the weights lack encoder.layer.1.*get the model again"
    ) as caught:
        encode([("", "sure")], max_tokens=8, threads=1, folder=folder)
    assert "\n" not in str(caught.value)


def test_reading_needs_neither_torch_nor_transformers() -> None:
    heavy = "any(m in sys.modules for m in ('torch', 'transformers'))"
    code = f"import sys, cmad.preprocessing.prepare; sys.exit({heavy})"
    root = Path(__file__).parents[1]
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=root, env={**os.environ}, check=False).returncode
        == 0
    )
