"""What evaluation needs of a trained network: its say on test, from the network or kept without it."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cmad.combinations import FULL, MODALITIES
from cmad.config.schema import Network as Settings
from cmad.errors import UserError
from cmad.files import whole_file
from cmad.network.network import Network
from cmad.network.predictions import predict_combinations, predict_dropped
from cmad.store.batches import frame_numbers
from cmad.store.store import Split, Store
from cmad.training.checkpoint import checkpoint_name, disagreements, identity


@dataclass(frozen=True)
class Kept:
    """A network's say on a split of n samples, C of them complete, under c combinations.

    Attributes:
        combinations: int64 [c], indices into COMBINATIONS.
        outputs: z, float32 [c, n, K], NaN where a sample lacks the combination.
        representation: E, float32 [c, C, D].
        ratios: float64 [P], shares of frames dropped.
        dropped: z, float32 [P, n, K].
        seed: of the dropped frames.
        parameters: weights of the network.
    """

    combinations: NDArray[np.int64]
    outputs: NDArray[np.float32]
    representation: NDArray[np.float32]
    ratios: NDArray[np.float64]
    dropped: NDArray[np.float32]
    seed: int
    parameters: int


def run_on(
    network: Network,
    split: Split,
    combinations: Sequence[int],
    ratios: Sequence[float],
    seed: int,
    batch: int,
    device: torch.device,
) -> Kept:
    """Run a network over a split.

    Args:
        combinations: those that it is for. Frames are dropped only if LAV is among them.
        ratios, seed: see ``predict_dropped`` of ``cmad.network.predictions`` and ``frame_numbers`` of
            ``cmad.store.batches``.
        batch: samples encoded at once.
    """
    found = predict_combinations(network, split, batch, device, combinations)
    chosen = list(combinations)
    ratios = ratios if FULL in chosen else ()
    dropped = np.empty((len(ratios), len(split), found.outputs.shape[2]), np.float32)
    if len(ratios):
        numbers = {m: frame_numbers(split, m, seed) for m in MODALITIES}
        for place, ratio in enumerate(ratios):
            dropped[place] = predict_dropped(network, split, ratio, numbers, batch, device)
    return Kept(
        combinations=np.array(chosen, np.int64),
        outputs=found.outputs[chosen],
        representation=found.representation[chosen][:, split.complete],
        ratios=np.array(ratios, np.float64),
        dropped=dropped,
        seed=seed,
        parameters=sum(weight.numel() for weight in network.parameters()),
    )


def kept_name(seed: int, combination: int | None) -> str:
    """Beside where the checkpoint would stand: ``seed-0.npz``, or ``seed-0-LA.npz``."""
    return str(Path(checkpoint_name(seed, combination)).with_suffix(".npz"))


def save_kept(path: Path, found: Kept, settings: Settings, store: Store) -> None:
    """Write as ``.npz``; the same content gives the same bytes."""
    with whole_file(path) as aside, aside.open("wb") as file:
        np.savez(file, allow_pickle=False, identity=_identity(settings, store), **vars(found))


def _identity(settings: Settings, store: Store) -> str:
    test = {"test": len(store.splits["test"])}
    return json.dumps(identity(settings, store) | test, sort_keys=True)


def load_kept(path: Path, ratios: Sequence[float], seed: int, settings: Settings, store: Store) -> Kept:
    """Read what ``save_kept`` wrote, with these ratios' dropped frames in their order.

    Raises:
        UserError: missing, unreadable, of another network or data set, or a ratio or seed that was not
            kept.
    """
    again = "delete it and run its stage again"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            parts: dict[str, Any] = {name: arrays[name] for name in arrays.files}
        found_identity: Mapping[str, Any] = json.loads(str(parts.pop("identity")))
        parts |= {name: int(parts[name]) for name in ("seed", "parameters")}
        found = Kept(**parts)
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{path}: not readable predictions; {again}") from None
    differ = disagreements(found_identity, json.loads(_identity(settings, store)))
    if differ:
        raise UserError(f"{path}: predictions of another network or data set ({'; '.join(differ)}); {again}")
    if FULL not in found.combinations:
        return found
    return _picked(path, found, ratios, seed)


def _picked(path: Path, found: Kept, ratios: Sequence[float], seed: int) -> Kept:
    kept = found.ratios.tolist()
    lost = [ratio for ratio in ratios if ratio not in kept]
    if lost or (ratios and seed != found.seed):
        what = f"drop ratio {lost[0]}" if lost else f"seed {seed} of the dropped frames"
        where = "drop_ratios" if lost else "seed"
        raise UserError(
            f"{path}: nothing was kept for {what}; add it to keep.{where} and train again, "
            f"or take it out of evaluate.{where}"
        )
    places = [kept.index(ratio) for ratio in ratios]
    return Kept(**{**vars(found), "ratios": np.array(ratios, np.float64), "dropped": found.dropped[places]})
