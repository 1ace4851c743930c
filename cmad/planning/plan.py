"""What the grids will run, and its time and disk."""

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from tqdm import tqdm

from cmad.combinations import COMBINATIONS, FULL
from cmad.computing.device import choose_device
from cmad.computing.precision import computing
from cmad.computing.randomness import torch_threads
from cmad.config.load import load
from cmad.config.schema import Config, Preset, Student, Teacher
from cmad.errors import UserError
from cmad.methods.method import Method
from cmad.planning.calibrate import (
    count,
    predict_seconds,
    step_seconds,
    student_method,
    teacher_method,
)
from cmad.planning.cells import Cell, Grid, cells, grids
from cmad.planning.disk import (
    checkpoint_bytes,
    evaluation_bytes,
    scores_bytes,
    store_bytes,
    teacher_bytes,
)
from cmad.planning.markdown import Line, markdown
from cmad.planning.measured import epochs_of, models_of, recorded, scaled
from cmad.planning.memory import available, training_bytes
from cmad.planning.shapes import Shapes, shapes_of

MEASURED = "its last run here"
SCALED_EPOCHS, SCALED_MODELS = f"{MEASURED}, scaled to these epochs", f"{MEASURED}, scaled to these models"
CALIBRATED, NOTHING = "a few steps on random batches", "trains nothing"
UNKNOWN_SIZES = "unknown: run its preprocess stage first"


@dataclass(frozen=True)
class Cost:
    """What one model costs.

    Attributes:
        step: seconds of a training step at full batch.
        predict: seconds to predict one sample under all combinations.
        predict_full: seconds to predict one sample under LAV.
    """

    step: float
    predict: float
    predict_full: float


def plan(params: Path, data: Path) -> str:
    """The plan as Markdown.

    Args:
        params: the parameter file.
        data: the folder with runs and times.

    Raises:
        UserError: the parameter file is refused.
    """
    config = load(params)
    with torch_threads(config.threads), computing(config.precision, choose_device(config.device)):
        of = {
            dataset: _Planner(config, grid, dataset, data).lines()
            for grid in grids(config)
            for dataset in grid.datasets
        }
    return markdown(config, of)


class _Planner:
    """The lines of one data set; costs of stages that train alike are measured once."""

    def __init__(self, config: Config, grid: Grid, dataset: str, data: Path) -> None:
        self.config, self.grid, self.dataset = config, grid, dataset
        self.preset: Preset = config.presets[dataset]
        self.times, self.here = data / "times", data / "runs" / dataset
        self.shapes: Shapes | None = None
        self.max_frames = vars(self.preset.preprocess.max_frames)
        self.device = choose_device(config.device)
        self._costs: dict[tuple[str, int, int | None, int | None], Cost] = {}

    def lines(self) -> list[Line]:
        """One for each stage."""
        trained = cells(self.config, self.grid, self.dataset)
        why = UNKNOWN_SIZES
        try:
            self.shapes = shapes_of(self.dataset, self.preset.preprocess, self.here / "store")
        except UserError as error:
            why = f"cannot run: {error}"
        if self.shapes is None:
            first, last = map(self._stage, ("preprocess", "teacher")), self._stage("evaluate")
            names = [*first, *(cell.stage for cell in trained), last]
            return [Line(name, None, None, why, None) for name in names]
        shapes = self.shapes
        found = [self._preprocess(shapes), self._teacher(shapes)]
        for cell in tqdm(trained, desc=f"plan {self.dataset}", unit="stage", disable=None):
            found.append(self._cell(shapes, cell))
        return [*found, self._evaluate(shapes)]

    def _stage(self, name: str) -> str:
        return self.grid.stage(name, self.dataset)

    def _preprocess(self, shapes: Shapes) -> Line:
        seconds = recorded(self.times, f"preprocess-{self.dataset}")
        disk = store_bytes(self.here / "store", self.preset.preprocess, shapes)
        source = "unknown: it did not run here yet" if seconds is None else MEASURED
        return Line(self._stage("preprocess"), None, seconds, source, disk)

    def _teacher(self, shapes: Shapes) -> Line:
        stage, teacher, seeds = self._stage("teacher"), self.preset.teacher, len(self.config.seeds)
        width = self.preset.network.width
        try:
            weights, _ = self._size(None)
            disk = seeds * teacher_bytes(weights, shapes, width)
            if teacher.checkpoint is not None:
                return Line(stage, 0, None, "is taken in", disk)
            seconds = recorded(self.times, f"teacher-{self.dataset}")
            if seconds is not None:
                then = epochs_of(self.here / "teacher" / "log.csv")
                seconds, changed = scaled(seconds, then, teacher.epochs * seeds)
                return Line(stage, seeds, seconds, SCALED_EPOCHS if changed else MEASURED, disk)
            self._check_memory(weights)
            cost = self._teacher_cost(shapes, teacher)
        except UserError as error:
            return Line(stage, seeds, None, f"cannot run: {error}", None)
        return Line(stage, seeds, seeds * _seconds(cost, teacher, shapes), CALIBRATED, disk)

    def _cell(self, shapes: Shapes, cell: Cell) -> Line:
        models = cell.models * len(self.config.seeds)
        try:
            weights, of_encoder = self._size(cell if models else None)
            disk = self._disk(shapes, cell, weights, of_encoder)
            seconds, source = self._time(shapes, cell, weights)
        except UserError as error:
            return Line(cell.stage, models, None, f"cannot run: {error}", None)
        return Line(cell.stage, models, seconds, source, disk)

    def _disk(self, shapes: Shapes, cell: Cell, weights: int, of_encoder: int) -> int:
        keep, seeds = cell.keep, len(self.config.seeds)
        if keep is None:
            return scores_bytes(seeds * len(cell.students), shapes)
        width = self.preset.network.width
        # Where nothing is trained, the teacher stands in.
        return seeds * sum(
            checkpoint_bytes(
                weights,
                of_encoder,
                keep.weights,
                shapes,
                width,
                combinations=len(COMBINATIONS) if only is None else 1,
                # Frames are dropped from LAV alone.
                ratios=len(keep.drop_ratios) if only in (None, FULL) else 0,
            )
            for only in cell.combinations or (None,)
        )

    def _time(self, shapes: Shapes, cell: Cell, weights: int) -> tuple[float, str]:
        if not cell.models:
            return 0.0, NOTHING
        seconds = recorded(self.times, cell.time)
        if seconds is not None:
            return self._rescaled(seconds, cell)
        self._check_memory(weights)
        of_one_seed = sum(
            _seconds(self._student_cost(shapes, cell, student, combination), student, shapes)
            for student, combination in product(cell.students, cell.combinations)
        )
        return len(self.config.seeds) * of_one_seed, CALIBRATED

    def _rescaled(self, seconds: float, cell: Cell) -> tuple[float, str]:
        folder, seeds = self.here / cell.folder, len(self.config.seeds)
        if cell.keep is None:
            seconds, changed = scaled(seconds, models_of(folder / "scores.csv"), seeds * cell.models)
            return seconds, SCALED_MODELS if changed else MEASURED
        epochs = sum(student.epochs for student in cell.students) * len(cell.combinations) * seeds
        seconds, changed = scaled(seconds, epochs_of(folder / "log.csv"), epochs)
        return seconds, SCALED_EPOCHS if changed else MEASURED

    def _evaluate(self, shapes: Shapes) -> Line:
        ratios = len(self.preset.evaluate.drop_ratios)
        rows, seeds = len(self.grid.rows), len(self.config.seeds)
        disk = evaluation_bytes(rows, seeds, shapes, ratios)
        seconds = recorded(self.times, f"evaluate{self.grid.suffix}-{self.dataset}")
        if seconds is not None:
            return Line(self._stage("evaluate"), None, seconds, MEASURED, disk)
        costs = list(self._costs.values())
        if not costs:
            return Line(self._stage("evaluate"), None, None, "unknown", disk)
        mean = sum(c.predict + ratios * c.predict_full for c in costs) / len(costs)
        seconds = mean * shapes.counts["test"] * rows * seeds
        return Line(self._stage("evaluate"), None, seconds, CALIBRATED, disk)

    def _size(self, cell: Cell | None) -> tuple[int, int]:
        """Weights of a cell's network, or the teacher's; built without memory where it needs no file."""
        assert self.shapes is not None
        device = torch.device("meta" if self.shapes.encoder is None else "cpu")
        with device:
            if cell is None:
                return count(teacher_method(self.shapes, self.preset.network, self.max_frames, None).network)
            model = cell.students[0], cell.combinations[0]
            return count(self._method(self.shapes, cell, *model, device).network)

    def _method(
        self, shapes: Shapes, cell: Cell, student: Student, combination: int | None, device: torch.device
    ) -> Method:
        return student_method(
            cell.method,
            shapes,
            self.preset.network,
            student,
            cell.options,
            self.max_frames,
            combination,
            device,
        )

    def _check_memory(self, weights: int) -> None:
        need, there = training_bytes(weights), available()
        if self.device.type == "cpu" and there is not None and need > there:
            raise UserError(
                f"training {weights:,} weights needs {need / 2**30:.1f} GB of memory, "
                f"{there / 2**30:.1f} GB are free"
            )

    def _teacher_cost(self, shapes: Shapes, teacher: Teacher) -> Cost:
        key = ("teacher", teacher.batch, teacher.micro_batch, None)
        if key not in self._costs:
            method = teacher_method(shapes, self.preset.network, self.max_frames, teacher.micro_batch)
            method.network.to(self.device)
            self._costs[key] = self._cost(method, shapes, teacher, taught=False)
        return self._costs[key]

    def _student_cost(self, shapes: Shapes, cell: Cell, student: Student, combination: int | None) -> Cost:
        key = (cell.method, student.batch, student.micro_batch, combination)
        if key not in self._costs:
            method = self._method(shapes, cell, student, combination, self.device)
            self._costs[key] = self._cost(method, shapes, student, taught=True)
        return self._costs[key]

    def _cost(self, method: Method, shapes: Shapes, settings: Teacher | Student, taught: bool) -> Cost:
        step = step_seconds(
            method, shapes, self.max_frames, settings.optimiser, settings.batch, self.device, taught
        )
        return Cost(step, *predict_seconds(method.network, shapes, self.max_frames, self.device))


def _seconds(cost: Cost, settings: Teacher | Student, shapes: Shapes) -> float:
    """Of one model: its steps, and dev after each epoch."""
    steps = math.ceil(shapes.counts["train"] / settings.batch)
    return settings.epochs * (steps * cost.step + shapes.counts["dev"] * cost.predict)
