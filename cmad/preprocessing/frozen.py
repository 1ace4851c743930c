"""Token sequences to the hidden states of a frozen model."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmad.language.model import Traits, load_model
from cmad.raw.raw_data import Ragged

_BATCH = 32


def write_hidden_states(
    folder: Path, traits: Traits, tokens: Ragged, threads: int, out: NDArray[np.float32]
) -> None:
    """Run the model on sequences of one length at a time, so that there is no padding.

    Args:
        folder: of the model.
        traits: of the model.
        tokens: int64 [sum of lengths, 2], (token id, segment).
        threads: of torch meanwhile; the count before is restored.
        out: float32 [sum of lengths, width], filled with the last hidden states.

    Raises:
        UserError: the model cannot be loaded.
    """
    import torch
    from tqdm import tqdm

    from cmad.computing.randomness import torch_threads

    starts = np.cumsum(tokens.lengths) - tokens.lengths
    model = load_model(folder)
    n = len(tokens.lengths)
    with torch_threads(threads), torch.no_grad(), tqdm(total=n, desc="text", disable=None) as bar:
        for batch in _batches(tokens.lengths):
            length = tokens.lengths[batch[0]]
            if length:
                rows = starts[batch][:, None] + np.arange(length)
                ids, segments = (torch.from_numpy(tokens.features[rows, part]) for part in (0, 1))
                typed = {"token_type_ids": segments} if traits.segments else {}
                states = model(input_ids=ids, attention_mask=torch.ones_like(ids), **typed)
                out[rows] = states.last_hidden_state.numpy()
            bar.update(len(batch))


def _batches(lengths: NDArray[np.int64]) -> Iterator[list[int]]:
    """Indices of samples of equal length, at most 32 at a time."""
    order = np.argsort(lengths, kind="stable").tolist()
    for _, group in groupby(order, key=lambda i: lengths[i]):
        alike = list(group)
        for start in range(0, len(alike), _BATCH):
            yield alike[start : start + _BATCH]
