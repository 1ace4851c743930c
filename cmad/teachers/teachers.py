"""The teachers of a data set, one for each seed: trained, or taken in from a file."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cmad.computing.device import choose_device
from cmad.computing.precision import computing
from cmad.computing.processes import joined
from cmad.computing.randomness import torch_threads
from cmad.config.schema import ExistingTeacher, Teacher
from cmad.config.schema import Network as Settings
from cmad.errors import UserError
from cmad.files import sha256, whole_folder
from cmad.network.network import Network
from cmad.store.store import Store, open_store
from cmad.teachers.teacher import train_teacher
from cmad.training.checkpoint import (
    checkpoint_name,
    disagreements,
    identity,
    load_network,
    read_checkpoint,
    save_network,
)
from cmad.training.judge import teacher_judge
from cmad.training.log import Logged, write_log
from cmad.training.scratch import Place, Scratch, folder_digest, place, surroundings
from cmad.training.teacher_cache import TeacherCache, cache_name, save_cache, teacher_cache


@dataclass(frozen=True)
class Recipe:
    """How to get teachers.

    Attributes:
        network, teacher: see ``cmad.config.schema``.
        seeds, threads, device, precision: likewise.
    """

    network: Settings
    teacher: Teacher
    seeds: tuple[int, ...]
    threads: int
    device: str
    precision: str


def make_teachers(
    recipe: Recipe, store_folder: Path, target: Path, label: str, scratch: Scratch | None = None
) -> None:
    """Write ``target``: a checkpoint and the outputs on train for each seed, and ``log.csv``.

    Args:
        target: replaced on success, untouched on failure.
        label: for the progress bar and for error messages.
        scratch: where trainings are kept, so that those that are done are not done again.

    Raises:
        UserError: a training fails (``train_teacher``), or the teacher to take in does not fit.
    """
    device, store = choose_device(recipe.device), open_store(store_folder)
    with (
        torch_threads(recipe.threads),
        computing(recipe.precision, device),
        joined(device),
        whole_folder(target) as folder,
    ):
        if recipe.teacher.checkpoint is None:
            inputs = folder_digest(store_folder) if scratch else ""
            logs = []
            for seed in recipe.seeds:
                name = f"{label}, seed {seed}"
                with place(scratch, _key(recipe, store, inputs, seed, device), name) as kept:
                    logs.append(_train(recipe, store, seed, name, folder, device, kept))
        else:
            logs = _take_in(recipe, recipe.teacher.checkpoint, store, folder, device)
        write_log(folder / "log.csv", logs)


def _train(
    recipe: Recipe,
    store: Store,
    seed: int,
    label: str,
    folder: Path,
    device: torch.device,
    kept: Place | None,
) -> Logged:
    """Train one teacher and write what is left of it."""
    fitted = train_teacher(store, recipe.network, recipe.teacher, seed, label, device, kept)
    checkpoint = folder / checkpoint_name(seed)
    save_network(checkpoint, fitted.state, recipe.network, store)
    network = load_network(checkpoint, recipe.network, store, device)
    save_cache(folder / cache_name(seed), _outputs(network, recipe, store, device))
    return Logged(fitted.log, {"seed": seed})


def _key(recipe: Recipe, store: Store, inputs: str, seed: int, device: torch.device) -> dict[str, Any]:
    """All that determines the bits of one teacher; ``inputs`` is the digest of the store."""
    return {
        "network": asdict(recipe.network),
        "teacher": asdict(recipe.teacher),
        "seed": seed,
        "store": inputs,
    } | surroundings(recipe.threads, recipe.precision, device, store.encoder is not None)


def _take_in(
    recipe: Recipe, existing: ExistingTeacher, store: Store, folder: Path, device: torch.device
) -> list[Logged]:
    """One teacher for all seeds; its log is one row of what it scores."""
    network = existing_teacher(existing, recipe.network, store, device)
    outputs = _outputs(network, recipe, store, device)
    row = _judged(network, outputs, recipe, store, device)
    for seed in recipe.seeds:
        save_network(folder / checkpoint_name(seed), network.state_dict(), recipe.network, store)
        save_cache(folder / cache_name(seed), outputs)
    return [Logged([row], {"seed": seed}) for seed in recipe.seeds]


def existing_teacher(
    existing: ExistingTeacher, settings: Settings, store: Store, device: torch.device
) -> Network:
    """Read a teacher that was trained elsewhere, frozen and in eval mode.

    Raises:
        UserError: the file is missing or another one than its checksum says, no checkpoint of this
            project, or of a network with other settings, widths, task or encoder.
    """
    path, where = Path(existing.path), "teacher.checkpoint"
    if not path.is_file():
        raise UserError(f"{where}.path: there is no file {path}; mend the path, or set {where}: null")
    try:
        digest = sha256(path)
    except OSError as error:
        raise UserError(f"{where}.path: {path} cannot be read ({error.strerror})") from None
    if digest != existing.sha256:
        raise UserError(
            f"{where}: the SHA-256 of {path} is {digest}, not {existing.sha256}; "
            "get the right file, or state this checksum if it is the right one"
        )
    differ = disagreements(read_checkpoint(path, device)["identity"], identity(settings, store))
    if differ:
        raise UserError(
            f"{where}: {path} was trained for something else ({'; '.join(differ)}); "
            f"change the preset to match, or set {where}: null"
        )
    return load_network(path, settings, store, device)


def _outputs(network: Network, recipe: Recipe, store: Store, device: torch.device) -> TeacherCache:
    return teacher_cache(network, store.splits["train"], store.task, recipe.teacher.batch, device)


def _judged(
    network: Network, outputs: TeacherCache, recipe: Recipe, store: Store, device: torch.device
) -> dict[str, Any]:
    """The columns that a training's log would have, of the teacher as it is."""
    dev, settings = store.splits["dev"], recipe.teacher
    _, columns = teacher_judge(network, dev, store.task, settings.select, settings.batch, device)(0)
    # An incomplete sample has no loss.
    loss = float(outputs.loss.nanmean())
    return {"epoch": 0, "learning_rate": 0.0, "loss": loss, "loss_task": loss} | dict(columns)
