"""Data sets in memory whose language is transcripts as words, with a frame of audio and vision each."""

from collections.abc import Sequence

import numpy as np

from cmad.raw.raw_data import Ragged, RawData, Words
from cmad.splits import SPLITS

WIDTHS = {"audio": 4, "vision": 3}
_SYLLABLES = ("ka", "lo", "mi", "tru", "sen", "ba", "ing", "ed", "ly", "po", "zu", "wh", "ar", "en", "t", "s")


def make_vocabulary(size: int, seed: int = 0) -> list[str]:
    """Made-up words of one to four syllables."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(_SYLLABLES, rng.integers(1, 5))) for _ in range(size)]


def make_words(
    sizes: tuple[int, int, int] = (8, 4, 4),
    vocabulary: Sequence[str] = ("well", "this", "was", "not", "good", "\u200b", "[SEP]", "unbelievable"),
    longest: int = 9,
    context: int = 0,
    widths: dict[str, int] = WIDTHS,
    seed: int = 0,
) -> RawData:
    """Normal features and scores for random transcripts.

    Args:
        sizes: samples of train, dev and test.
        vocabulary: that words are drawn from.
        longest: most own words; about half of that are usual.
        context: most context words.
        widths: of audio and vision.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    splits = [name for name, size in zip(SPLITS, sizes, strict=True) for _ in range(size)]
    own = np.clip(rng.gamma(2.0, longest / 6, n).astype(int) + 1, 1, longest)
    before = rng.integers(0, context + 1, n)
    drawn = np.array(vocabulary, dtype=object)[rng.integers(0, len(vocabulary), (own + before).sum())]
    ends = np.cumsum(own + before)
    words = [
        Words(tuple(drawn[end - o - b : end - o]), tuple(drawn[end - o : end]))
        for end, o, b in zip(ends, own, before, strict=True)
    ]
    return RawData(
        ids=[f"clip_{i}" for i in range(n)],
        splits=splits,
        groups=[""] * n,
        labels=rng.uniform(-3, 3, n),
        names=(),
        streams={
            m: Ragged(rng.standard_normal((int(ends[-1]), width), dtype=np.float32), own + before)
            for m, width in widths.items()
        },
        words=words,
    )
