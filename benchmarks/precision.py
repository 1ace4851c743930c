"""Section: what ``precision: bf16`` changes: scores on the demo set, times of a training and of an epoch."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.clock import median, now
from benchmarks.epochs import CPU, Epoch, prepare, project_epoch
from benchmarks.section import Measured, Options, Section, table, tell
from benchmarks.shapes import mosei
from cmad.computing.device import choose_device
from cmad.computing.precision import computing, has_bf16
from cmad.computing.randomness import generator, torch_threads
from cmad.config.load import load
from cmad.config.overrides import override
from cmad.config.schema import Config, Preset
from cmad.network.predictions import predict_combinations
from cmad.preprocessing.prepare import prepare_store
from cmad.scores.bootstrap import Interval, averages, paired_difference
from cmad.store.store import Store, open_store
from cmad.students import students
from cmad.teachers import teachers
from cmad.training.checkpoint import checkpoint_name, load_network

PARAMS, DATASET, SEEDS = Path("params.yaml"), "demo", 5
PRECISIONS = ("float32", "bf16")
# The teacher itself, and the students that learn from it.
TEACHER, STUDENTS = "tea", ("dropout", "cmad")


@dataclass(frozen=True)
class Row:
    """One row of the demo set's table in both precisions.

    Attributes:
        f1: by precision, the average F1 over the seven combinations on test of each seed, [S].
        difference: of bf16 to float32, with its interval over seeds and test samples.
        seconds: by precision, for one training.
    """

    f1: Mapping[str, NDArray[np.float64]]
    difference: Interval
    seconds: Mapping[str, float]


def demo_rows(
    seeds: int, device: Literal["cpu", "cuda"] = "cpu", clock: Literal["wall", "processor"] = "processor"
) -> dict[str, Row]:
    """Train and test teacher and students with seeds 0, 1, ... in both precisions.

    Args:
        clock: that the seconds are by.
    """
    config = replace(load(PARAMS), seeds=tuple(range(seeds)), device=device)
    preset = config.presets[DATASET]
    seconds: dict[str, dict[str, float]] = {row: {} for row in (TEACHER, *STUDENTS)}
    outputs: dict[str, dict[str, NDArray[np.float32]]] = {row: {} for row in seconds}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare_store(folder / "none", preset.preprocess, folder / "store")
        store = open_store(folder / "store")
        # In turn, so that what else the machine does meets both alike.
        for row in seconds:
            for precision in PRECISIONS:
                start = now()
                _train(config, precision, row, folder)
                seconds[row][precision] = getattr(now() - start, clock) / seeds
                outputs[row][precision] = _outputs(config, precision, folder / precision / row, store)
                tell(f"{row} in {precision}: {seconds[row][precision]:.1f} s a seed")
        return {row: _row(preset, store, outputs[row], seconds[row]) for row in seconds}


def _train(config: Config, precision: str, row: str, folder: Path) -> None:
    """Write ``folder/<precision>/<row>``."""
    preset, own = config.presets[DATASET], folder / precision
    own.mkdir(exist_ok=True)
    if row == TEACHER:
        recipe = teachers.Recipe(
            network=preset.network,
            teacher=preset.teacher,
            seeds=config.seeds,
            threads=config.threads,
            device=config.device,
            precision=precision,
        )
        teachers.make_teachers(recipe, folder / "store", own / TEACHER, row)
        return
    definition = config.definitions[row]
    student = students.Recipe(
        method=definition.method,
        options={},
        network=preset.network,
        student=override(preset.student, definition.student),
        keep=preset.keep,
        seeds=config.seeds,
        threads=config.threads,
        device=config.device,
        precision=precision,
    )
    students.train_students(student, folder / "store", own / TEACHER, own / row, customised=False)


def _outputs(config: Config, precision: str, trained: Path, store: Store) -> NDArray[np.float32]:
    """What the networks of all seeds say of test, [S, 7, n, K]."""
    preset, found, device = config.presets[DATASET], [], choose_device(config.device)
    with torch_threads(config.threads), computing(precision, device):
        for seed in config.seeds:
            network = load_network(trained / checkpoint_name(seed), preset.network, store, device)
            said = predict_combinations(network, store.splits["test"], preset.evaluate.batch, device)
            found.append(said.outputs)
    return np.stack(found)


def _row(
    preset: Preset, store: Store, outputs: Mapping[str, NDArray[np.float32]], seconds: Mapping[str, float]
) -> Row:
    labels, settings = store.splits["test"].labels, preset.evaluate
    compared = paired_difference(
        store.task,
        outputs["bf16"],
        outputs["float32"],
        labels,
        settings.resamples,
        settings.confidence,
        generator(settings.seed, "precision"),
    )
    f1 = {precision: averages(store.task, said, labels)["f1"] for precision, said in outputs.items()}
    return Row(f1, compared["f1"], seconds)


def mosei_epochs(repeats: int) -> dict[str, list[Epoch]]:
    """Epochs at MOSEI's shape in both precisions, in turn."""
    epochs: dict[str, list[Epoch]] = {precision: [] for precision in PRECISIONS}
    with tempfile.TemporaryDirectory() as name:
        case = prepare(mosei(), Path(name))
        # The first one warms up.
        for repeat in range(repeats + 1):
            for precision in PRECISIONS:
                with computing(precision, CPU):
                    epoch = project_epoch(case)
                if repeat:
                    epochs[precision].append(epoch)
    return epochs


def demo_table(rows: Mapping[str, Row]) -> str:
    """Average F1 in percent, and seconds."""
    lines = []
    for name, row in rows.items():
        found, (difference, low, high) = (_spread(row.f1[p]) for p in PRECISIONS), row.difference
        apart = f"{100 * difference:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
        lines.append([name, *found, apart, *(f"{row.seconds[p]:.1f}" for p in PRECISIONS)])
    return table(["", "float32, F1", "bf16, F1", "difference", "float32, s", "bf16, s"], lines)


def _epoch_table(epochs: Mapping[str, Sequence[Epoch]]) -> str:
    """Medians of processor seconds, and their ratio."""
    lines = []
    for label, part in (("training", "training"), ("evaluation", "evaluation"), ("**epoch**", "whole")):
        single, half = (median(getattr(epoch, part) for epoch in epochs[p]).processor for p in PRECISIONS)
        lines.append([label, f"{single:.2f}", f"{half:.2f}", f"{single / half:.2f}"])
    return table(["", "float32, s", "bf16, s", "ratio"], lines)


def describe(rows: Mapping[str, Row], epochs: Mapping[str, Sequence[Epoch]]) -> str:
    """Both tables."""
    seeds = len(rows[TEACHER].f1["float32"])
    return f"""\
Processor seconds.

The demo set, {seeds} seeds: average F1 over the seven combinations in percent, with the standard deviation
over seeds; the difference bf16 - float32 with its interval over seeds and test samples; one training with
its evaluations on dev.

{demo_table(rows)}

An epoch of CMAD at MOSEI's shape, {mosei().train} samples, median of {len(epochs["bf16"])}:

{_epoch_table(epochs)}
"""


def _spread(values: NDArray[np.float64]) -> str:
    deviation = values.std(ddof=1) if len(values) > 1 else 0.0
    return f"{100 * values.mean():.2f} ± {100 * deviation:.2f}"


def demo_figures(rows: Mapping[str, Row]) -> dict[str, Any]:
    """The demo set's table in numbers."""
    return {
        name: {
            "f1": {p: row.f1[p].tolist() for p in PRECISIONS},
            "difference": list(row.difference),
            "seconds": dict(row.seconds),
        }
        for name, row in rows.items()
    }


def figures(rows: Mapping[str, Row], epochs: Mapping[str, Sequence[Epoch]]) -> dict[str, Any]:
    """The same in numbers."""
    return {
        "demo": demo_figures(rows),
        "mosei_epoch_seconds": {p: median(e.whole for e in epochs[p]).processor for p in PRECISIONS},
    }


def measure(options: Options) -> Measured:
    """Both parts; where the processor has no bfloat16, a line that says so."""
    if not has_bf16(CPU):
        return Measured("Not measured: this processor has no arithmetic in bfloat16.\n", {})
    rows, epochs = demo_rows(SEEDS), mosei_epochs(options.repeats)
    return Measured(describe(rows, epochs), figures(rows, epochs))


SECTION = Section("precision", "Precision", measure)
