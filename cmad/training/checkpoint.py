"""A network on disk: its weights with what is needed to build it again."""

import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cmad.combinations import COMBINATIONS
from cmad.config.schema import Network as Settings
from cmad.errors import UserError
from cmad.files import whole_file
from cmad.network.network import Network
from cmad.store.store import Store

FORMAT = "cmad network 1"


def checkpoint_name(seed: int, combination: int | None = None) -> str:
    """``seed-0.pt``, or ``seed-0-LA.pt`` of a model that is for one combination alone."""
    return f"seed-{seed}.pt" if combination is None else f"seed-{seed}-{COMBINATIONS[combination]}.pt"


def build_network(settings: Settings, store: Store) -> Network:
    """A network for a store's widths, lengths and task, with fresh weights."""
    lengths = store.manifest["max_frames"]
    return Network(settings, store.widths, lengths, store.task.outputs)


def _identity(settings: Settings, store: Store) -> dict[str, Any]:
    return {
        "network": asdict(settings),
        "widths": dict(store.widths),
        "task": {"kind": store.task.kind, "names": list(store.task.names)},
    }


def save_network(path: Path, state: Mapping[str, Tensor], settings: Settings, store: Store) -> None:
    """Write a checkpoint; the same weights give the same bytes."""
    content = {"format": FORMAT, "identity": _identity(settings, store), "state": dict(state)}
    with whole_file(path) as aside:
        torch.save(content, aside)


def load_network(path: Path, settings: Settings, store: Store, device: torch.device) -> Network:
    """Read a checkpoint as a frozen network in eval mode.

    Raises:
        UserError: as ``load_weights``.
    """
    network = build_network(settings, store).to(device)
    load_weights(network, path, settings, store, device)
    return network


def load_weights(
    network: nn.Module, path: Path, settings: Settings, store: Store, device: torch.device
) -> None:
    """Fill a network from a checkpoint, freeze it, and put it in eval mode.

    Untrusted: only tensors and plain data load.

    Raises:
        UserError: missing, unreadable, foreign, or of another network, data set or task.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; run the stage that trains it again") from None
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError):
        raise UserError(f"{path}: not a readable checkpoint; delete it and run its stage again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of this project; delete it and run its stage again")
    for part, value in _identity(settings, store).items():
        if content["identity"].get(part) != value:
            raise UserError(
                f"{path}: trained for another {part} ({content['identity'].get(part)}, now {value}); "
                "run its stage again"
            )
    try:
        network.load_state_dict(content["state"])
    except RuntimeError:
        raise UserError(
            f"{path}: its weights do not fit the network; delete it and run its stage again"
        ) from None
    network.eval().requires_grad_(False)
