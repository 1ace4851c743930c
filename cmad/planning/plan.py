"""What a grid will run, and its time and disk."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from cmad.combinations import COMBINATIONS
from cmad.config.load import load
from cmad.config.schema import Config, Preset, Student, Teacher
from cmad.device import choose_device
from cmad.errors import UserError
from cmad.methods.method import Method
from cmad.planning.calibrate import (
    count,
    predict_seconds,
    step_seconds,
    student_method,
    teacher_method,
)
from cmad.planning.cells import Cell, cells, time_name
from cmad.planning.disk import checkpoint_bytes, evaluation_bytes, store_bytes, teacher_bytes
from cmad.planning.markdown import Line, markdown
from cmad.planning.measured import recorded, scaled
from cmad.planning.memory import available, training_bytes
from cmad.planning.shapes import Shapes, shapes_of
from cmad.randomness import torch_threads

MEASURED, SCALED = "its last run here", "its last run here, scaled to these epochs"
CALIBRATED, NOTHING = "a few steps on random batches", "trains nothing"
UNKNOWN_SIZES = "unknown: run its preprocess stage first"


@dataclass(frozen=True)
class Cost:
    """What one model costs.

    Attributes:
        step: seconds of a training step at full batch.
        predict: seconds to predict one sample under all combinations.
        predict_full: seconds to predict one sample under LAV.
        weights, of_encoder: of the network.
    """

    step: float
    predict: float
    predict_full: float
    weights: int
    of_encoder: int


def plan(params: Path, data: Path) -> str:
    """The plan as Markdown.

    Args:
        params: the parameter file.
        data: the folder with runs and times.

    Raises:
        UserError: the parameter file is refused.
    """
    config = load(params)
    with torch_threads(config.threads):
        of = {dataset: _Planner(config, dataset, data).lines() for dataset in config.datasets}
    return markdown(config, of)


class _Planner:
    """The lines of one data set; costs of rows that train alike are measured once."""

    def __init__(self, config: Config, dataset: str, data: Path) -> None:
        self.config, self.dataset = config, dataset
        self.preset: Preset = config.presets[dataset]
        self.times, self.here = data / "times", data / "runs" / dataset
        self.shapes: Shapes | None = None
        self.max_frames = vars(self.preset.preprocess.max_frames)
        self.device = choose_device(config.device)
        self._costs: dict[tuple[str, int, int | None], Cost] = {}

    def lines(self) -> list[Line]:
        """One for each stage."""
        rows = cells(self.config, self.dataset)
        seeds = len(self.config.seeds)
        why = UNKNOWN_SIZES
        try:
            self.shapes = shapes_of(self.dataset, self.preset.preprocess, self.here / "store")
        except UserError as error:
            why = f"cannot run: {error}"
        if self.shapes is None:
            names = ["preprocess", "teacher", *(cell.row.name for cell in rows), "evaluate"]
            return [Line(name, None, None, why, None) for name in names]
        shapes, ratios = self.shapes, len(self.preset.evaluate.drop_ratios)
        found = [self._preprocess(shapes), self._teacher(shapes)]
        for cell in tqdm(rows, desc=f"plan {self.dataset}", unit="row", disable=None):
            try:
                found.append(self._row(shapes, cell))
            except UserError as error:
                found.append(Line(cell.row.name, cell.models * seeds, None, f"cannot run: {error}", None))
        disk = evaluation_bytes(len(rows), seeds, shapes, ratios)
        seconds = recorded(self.times, f"evaluate-{self.dataset}")
        if seconds is not None:
            return [*found, Line("evaluate", None, seconds, MEASURED, disk)]
        costs = list(self._costs.values())
        if not costs:
            return [*found, Line("evaluate", None, None, "unknown", disk)]
        mean = sum(c.predict + ratios * c.predict_full for c in costs) / len(costs)
        return [
            *found,
            Line("evaluate", None, mean * shapes.counts["test"] * len(rows) * seeds, CALIBRATED, disk),
        ]

    def _preprocess(self, shapes: Shapes) -> Line:
        seconds = recorded(self.times, f"preprocess-{self.dataset}")
        disk = store_bytes(self.here / "store", self.preset.preprocess, shapes)
        source = "unknown: it did not run here yet" if seconds is None else MEASURED
        return Line("preprocess", None, seconds, source, disk)

    def _teacher(self, shapes: Shapes) -> Line:
        teacher, seeds = self.preset.teacher, len(self.config.seeds)
        width = self.preset.network.width
        try:
            weights, _ = self._size(None)
            disk = seeds * teacher_bytes(weights, shapes, width)
            if teacher.checkpoint is not None:
                return Line("teacher", 0, None, "is taken in", disk)
            known = self._recorded(f"teacher-{self.dataset}", self.here / "teacher", teacher.epochs * seeds)
            if known is not None:
                return Line("teacher", seeds, *known, disk)
            self._check_memory(weights)
            cost = self._teacher_cost(shapes, teacher)
        except UserError as error:
            return Line("teacher", seeds, None, f"cannot run: {error}", None)
        return Line("teacher", seeds, seeds * _seconds(cost, teacher, shapes), CALIBRATED, disk)

    def _row(self, shapes: Shapes, cell: Cell) -> Line:
        seeds = len(self.config.seeds)
        models, keep = cell.models * seeds, self.preset.keep
        if not cell.models:
            weights, of_encoder = self._size(None)
            disk = checkpoint_bytes(
                weights, of_encoder, keep.weights, shapes, self.preset.network.width, len(keep.drop_ratios)
            )
            return Line(cell.row.name, 0, 0.0, NOTHING, seeds * disk)
        weights, of_encoder = self._size(cell)
        disk = models * checkpoint_bytes(
            weights, of_encoder, keep.weights, shapes, self.preset.network.width, len(keep.drop_ratios)
        )
        folder = self.here / "students" / cell.row.name
        known = self._recorded(time_name(self.dataset, cell.row), folder, cell.student.epochs * models)
        if known is not None:
            return Line(cell.row.name, models, *known, disk)
        self._check_memory(weights)
        combinations = range(len(COMBINATIONS)) if cell.row.customised else (None,)
        seconds = sum(
            _seconds(self._student_cost(shapes, cell, combination), cell.student, shapes)
            for combination in combinations
        )
        return Line(cell.row.name, models, seeds * seconds, CALIBRATED, disk)

    def _recorded(self, name: str, folder: Path, epochs: int) -> tuple[float, str] | None:
        seconds = recorded(self.times, name)
        if seconds is None:
            return None
        seconds, changed = scaled(seconds, folder / "log.csv", epochs)
        return seconds, SCALED if changed else MEASURED

    def _size(self, cell: Cell | None) -> tuple[int, int]:
        """Weights of a row's network, or the teacher's; built without memory where no file is read for it."""
        assert self.shapes is not None
        device = torch.device("meta" if self.shapes.encoder is None else "cpu")
        with device:
            if cell is None:
                return count(teacher_method(self.shapes, self.preset.network, self.max_frames, None).network)
            return count(self._method(self.shapes, cell, 0 if cell.row.customised else None, device).network)

    def _method(self, shapes: Shapes, cell: Cell, combination: int | None, device: torch.device) -> Method:
        return student_method(
            cell.method,
            shapes,
            self.preset.network,
            cell.student,
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
        key = ("teacher", teacher.batch, None)
        if key not in self._costs:
            method = teacher_method(shapes, self.preset.network, self.max_frames, teacher.micro_batch)
            method.network.to(self.device)
            self._costs[key] = self._cost(method, shapes, teacher, taught=False)
        return self._costs[key]

    def _student_cost(self, shapes: Shapes, cell: Cell, combination: int | None) -> Cost:
        key = (cell.method, cell.student.batch, combination)
        if key not in self._costs:
            method = self._method(shapes, cell, combination, self.device)
            self._costs[key] = self._cost(method, shapes, cell.student, taught=True)
        return self._costs[key]

    def _cost(self, method: Method, shapes: Shapes, settings: Teacher | Student, taught: bool) -> Cost:
        step = step_seconds(
            method, shapes, self.max_frames, settings.optimiser, settings.batch, self.device, taught
        )
        predict, full = predict_seconds(method.network, shapes, self.max_frames, self.device)
        return Cost(step, predict, full, *count(method.network))


def _seconds(cost: Cost, settings: Teacher | Student, shapes: Shapes) -> float:
    """Of one model: its steps, and dev after each epoch."""
    steps = math.ceil(shapes.counts["train"] / settings.batch)
    return settings.epochs * (steps * cost.step + shapes.counts["dev"] * cost.predict)
