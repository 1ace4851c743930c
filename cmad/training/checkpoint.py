"""A network on disk: its weights with what is needed to build it again."""

import errno
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cmad.combinations import COMBINATIONS
from cmad.config.schema import Network as Settings
from cmad.errors import UserError
from cmad.files import whole_file
from cmad.language.find import find, weights_checksum
from cmad.network.encoder import TokenEncoder, load_encoder
from cmad.network.network import Network
from cmad.store.store import Store
from cmad.training.difference import from_difference, to_difference

FORMAT = "cmad network 1"
DIFFERENCE = "cmad difference 1"


def checkpoint_name(seed: int, combination: int | None = None) -> str:
    """``seed-0.pt``, or ``seed-0-LA.pt`` of a model that is for one combination alone."""
    return f"seed-{seed}.pt" if combination is None else f"seed-{seed}-{COMBINATIONS[combination]}.pt"


def build_network(settings: Settings, store: Store, micro_batch: int | None = None) -> Network:
    """A network for a store's widths, lengths and task, with fresh weights.

    The encoder's are the pretrained ones; all other weights are those of a network without encoder.

    Args:
        micro_batch: samples encoded at once in training.

    Raises:
        UserError: the store's encoder is not there, or has other weights than it had.
    """
    lengths = store.manifest["max_frames"]
    encoder = None if store.encoder is None else pretrained_encoder(store)
    return Network(settings, store.widths, lengths, store.task.outputs, encoder, micro_batch)


def pretrained_encoder(store: Store) -> TokenEncoder:
    """The encoder that the store's token ids are for.

    Raises:
        UserError: it is not there, or has other weights than when the store was made.
    """
    assert store.encoder is not None
    folder = find(store.encoder.name)
    if _checksum(folder) != store.manifest["encoder"]["checksum"]:
        raise UserError(
            f"{folder}: these are other weights of {store.encoder.name} than the store was made with; "
            "put the former back, or run the preprocess stage again"
        )
    return load_encoder(folder)


@cache
def _checksum(folder: Path) -> str:
    # Once a process: weights are large, and networks are built many times.
    return weights_checksum(folder)


def identity(settings: Settings, store: Store) -> dict[str, Any]:
    """What must agree between a network and whoever uses it: settings, widths, task, encoder."""
    what = {
        "network": asdict(settings),
        "widths": dict(store.widths),
        "task": {"kind": store.task.kind, "names": list(store.task.names)},
    }
    # Its weights, not its name, which may be a folder's.
    return what if store.encoder is None else what | {"encoder": store.manifest["encoder"]["checksum"]}


def disagreements(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What differs between two identities, one text for each value."""
    theirs, ours = dict(_flat(found, "")), dict(_flat(wanted, ""))
    return [
        f"{key} {theirs.get(key, 'none')}, here {ours.get(key, 'none')}"
        for key in dict.fromkeys([*ours, *theirs])
        if theirs.get(key) != ours.get(key)
    ]


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield key, value
        return
    for name, each in value.items():
        yield from _flat(each, f"{key}.{name}" if key else str(name))


def save_network(path: Path, state: Mapping[str, Tensor], settings: Settings, store: Store) -> None:
    """Write a checkpoint; the same weights give the same bytes."""
    _save(path, FORMAT, state, settings, store)


def save_difference(path: Path, state: Mapping[str, Tensor], settings: Settings, store: Store) -> None:
    """Write a checkpoint with the encoder as its difference to the pretrained one (see ``Keep``).

    Without an encoder this is ``save_network``.

    Raises:
        UserError: a weight has moved further than half precision can say.
    """
    if store.encoder is None:
        save_network(path, state, settings, store)
        return
    base = pretrained_encoder(store).state_dict()
    _save(path, DIFFERENCE, to_difference(state, base), settings, store)


def _save(path: Path, kind: str, state: Mapping[str, Tensor], settings: Settings, store: Store) -> None:
    # Without the device that it was trained on, which torch would write down too.
    weights = {name: value.cpu() for name, value in state.items()}
    content = {"format": kind, "identity": identity(settings, store), "state": weights}
    with whole_file(path) as aside:
        try:
            torch.save(content, aside)
        except RuntimeError as error:
            # How torch's writer tells a full disk.
            raise OSError(errno.ENOSPC, str(error).splitlines()[0], str(path)) from None


def load_network(path: Path, settings: Settings, store: Store, device: torch.device) -> Network:
    """Read a checkpoint as a frozen network in eval mode.

    Raises:
        UserError: as ``load_weights``.
    """
    network = build_network(settings, store).to(device)
    load_weights(network, path, settings, store, device)
    return network


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """What ``save_network`` or ``save_difference`` wrote: format, identity, state.

    Untrusted: only tensors and plain data load.

    Raises:
        UserError: missing, unreadable or foreign.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint; run the stage that trains it again") from None
    # A damaged file makes torch raise errors of many kinds.
    except Exception:
        raise UserError(f"{path}: not a readable checkpoint; delete it and run its stage again") from None
    if (
        not isinstance(content, dict)
        or content.get("format") not in (FORMAT, DIFFERENCE)
        or not all(isinstance(content.get(part), Mapping) for part in ("identity", "state"))
    ):
        raise UserError(f"{path}: not a checkpoint of this project; delete it and run its stage again")
    return content


def load_weights(
    network: nn.Module, path: Path, settings: Settings, store: Store, device: torch.device
) -> None:
    """Fill a network from a checkpoint, freeze it, and put it in eval mode.

    Raises:
        UserError: missing, unreadable, foreign, or of another network, data set or task.
    """
    content = read_checkpoint(path, device)
    found, wanted = content["identity"], identity(settings, store)
    for part in dict.fromkeys([*wanted, *found]):
        differ = disagreements({part: found.get(part)}, {part: wanted.get(part)})
        if differ:
            raise UserError(f"{path}: trained for another {part} ({'; '.join(differ)}); run its stage again")
    state = content["state"]
    if content["format"] == DIFFERENCE:
        state = from_difference(state, pretrained_encoder(store).to(device).state_dict())
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise UserError(
            f"{path}: its weights do not fit the network; delete it and run its stage again"
        ) from None
    network.eval().requires_grad_(False)
