"""What a finished training leaves on disk, as the keep section says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cmad.combinations import COMBINATIONS
from cmad.config.schema import Keep
from cmad.config.schema import Network as Settings
from cmad.network.network import Network
from cmad.store.store import Store
from cmad.students.kept import kept_name, run_on, save_kept
from cmad.training.checkpoint import checkpoint_name, save_difference, save_network


@dataclass(frozen=True)
class Cell:
    """One trained model.

    Attributes:
        seed: its seed.
        combination: the one that it is for; None for all seven.
    """

    seed: int
    combination: int | None


def keep_model(
    folder: Path,
    cell: Cell,
    network: Network,
    state: Mapping[str, Tensor],
    keep: Keep,
    batch: int,
    settings: Settings,
    store: Store,
    device: torch.device,
) -> None:
    """Write what is kept of a model into a folder.

    Args:
        network: the model, with whatever weights.
        state: the weights chosen.
        batch: samples encoded at once, where test is run.

    Raises:
        UserError: see ``save_difference``.
    """
    path = folder / checkpoint_name(cell.seed, cell.combination)
    if keep.weights == "full":
        save_network(path, state, settings, store)
    elif keep.weights == "difference":
        save_difference(path, state, settings, store)
    else:
        network.load_state_dict(state)
        combinations = range(len(COMBINATIONS)) if cell.combination is None else (cell.combination,)
        found = run_on(
            network, store.splits["test"], combinations, keep.drop_ratios, keep.seed, batch, device
        )
        save_kept(folder / kept_name(cell.seed, cell.combination), found, settings, store)
