import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmad.preprocessing.align import ZERO, as_read, by_tokens, first_frames
from cmad.preprocessing.tokenise import Tokens
from cmad.raw.raw_data import Ragged, Words


def stream(lengths: list[int]) -> Ragged:
    """Frame number r holds r."""
    return Ragged(np.arange(sum(lengths), dtype=np.float32)[:, None], np.array(lengths, dtype=np.int64))


def tokens(numbers: list[list[int]]) -> Tokens:
    """Tokens of the words with these numbers."""
    flat = np.array([number for sample in numbers for number in sample], dtype=np.int64)
    lengths = np.array([len(sample) for sample in numbers], dtype=np.int64)
    return Tokens(Ragged(np.zeros((len(flat), 2), dtype=np.int64), lengths), flat, 0, 0)


def words(context: int, own: int) -> Words:
    return Words(("c",) * context, ("o",) * own)


def test_a_words_frame_stands_at_each_of_its_tokens() -> None:
    found = by_tokens(
        stream([3, 2]),
        [words(0, 3), words(0, 2)],
        tokens([[-1, 0, 0, 2, -1], [-1, 0, 1, 1, -1]]),
        context=True,
    )
    # Word 1 of the first sample has no token: its frame, row 1, is nowhere.
    assert found.rows.tolist() == [ZERO, 0, 0, 2, ZERO, ZERO, 3, 4, 4, ZERO]
    assert found.lengths.tolist() == [5, 5]
    assert found.offered == 5


def test_the_contexts_frames_come_first_or_not_at_all() -> None:
    read, said = stream([4, 3]), [words(2, 2), words(1, 2)]
    found = by_tokens(read, said, tokens([[-1, 1, -1, 2, 3, -1], [-1, 0, -1, 1, 2, -1]]), context=True)
    assert found.rows.tolist() == [ZERO, 1, ZERO, 2, 3, ZERO, ZERO, 4, ZERO, 5, 6, ZERO]
    assert found.offered == 7
    found = by_tokens(read, said, tokens([[-1, 0, 1, -1], [-1, 0, 1, 1, -1]]), context=False)
    assert found.rows.tolist() == [ZERO, 2, 3, ZERO, ZERO, 5, 6, 6, ZERO]
    assert found.offered == 4


@pytest.mark.parametrize(("context", "rows"), [(True, [0, 1, 2, ZERO, 3, ZERO]), (False, [2, ZERO, 3, ZERO])])
def test_a_sample_without_language_keeps_its_frames(context: bool, rows: list[int]) -> None:
    found = by_tokens(stream([3, 1]), [words(2, 1), words(0, 1)], tokens([[], [-1, 0, -1]]), context=context)
    assert found.rows.tolist() == rows


def test_a_sample_without_the_modality_stays_without() -> None:
    numbers = tokens([[-1, 0, -1], [-1, 0, 0, -1], []])
    found = by_tokens(stream([0, 1, 0]), [words(0, 1), words(0, 1), words(3, 0)], numbers, context=True)
    assert found.lengths.tolist() == [0, 4, 0]
    assert found.rows.tolist() == [ZERO, 0, 0, ZERO]


def test_streams_that_are_not_aligned_to_the_words_are_a_mistake_of_the_reader() -> None:
    with pytest.raises(ValueError, match="1 of 2 streams do not have a frame for each word"):
        by_tokens(stream([3, 1]), [words(0, 2), words(0, 1)], tokens([[-1, 0, -1]] * 2), context=True)


@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    longest=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_first_frames_of_some_samples_in_their_order(lengths: list[int], longest: int, seed: int) -> None:
    read = stream(lengths)
    samples = np.random.default_rng(seed).permutation(len(lengths))[: 1 + seed % len(lengths)]
    parts = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
    expected = [row for i in samples for row in parts[i][:longest].tolist()]
    assert first_frames(as_read(read), samples, longest).tolist() == expected
