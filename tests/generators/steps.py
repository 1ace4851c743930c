"""One training batch of made data, with the teacher's say on its complete samples."""

import numpy as np
import torch

from cmad.combinations import FULL, combination_index
from cmad.losses.task import task_loss
from cmad.methods.method import Context, Step, TeacherRows
from cmad.network.predictions import predict_combinations
from cmad.store.batches import collate
from tests.generators.splits import CPU, draw_masks, make_split, random_lengths


def make_step(context: Context, samples: int = 14, seed: int = 5, complete: int | None = None) -> Step:
    """A batch of which the first ``complete`` samples have everything, the others no vision."""
    rng = np.random.default_rng(seed)
    lengths = random_lengths(samples, rng)
    if complete is not None:
        lengths = np.maximum(lengths, 1)
        lengths[complete:, 2] = 0
    split = make_split(lengths, seed, context.task)
    masks = draw_masks(split.has, rng)
    taught = predict_combinations(context.teacher, split, samples, CPU)
    whole = split.complete
    outputs = torch.from_numpy(taught.outputs[FULL, whole])
    loss = task_loss(context.task, outputs, torch.from_numpy(split.labels[whole]))
    return Step(
        batch=collate(split, np.arange(samples), masks, CPU),
        masks=torch.from_numpy(masks),
        combinations=torch.from_numpy(combination_index(masks)),
        complete=torch.from_numpy(whole),
        teacher=TeacherRows(torch.from_numpy(taught.representation[FULL, whole]), outputs, loss),
    )
