"""All rows of a data set to predictions and scores on test."""

from cmad.computing.device import choose_device
from cmad.computing.precision import computing
from cmad.computing.randomness import torch_threads
from cmad.config.stages import EvaluateParams, read
from cmad.entries import entries
from cmad.evaluation.evaluate import write_evaluation
from cmad.evaluation.origin import write_origin
from cmad.evaluation.predict import Inputs, predict_all
from cmad.files import whole_folder
from cmad.store.store import open_store
from stages.command import PARAMS, RUNS, main


def run(dataset: str) -> None:
    """Evaluate the grid's variants and systems on one data set."""
    params = read(PARAMS, EvaluateParams, dataset=dataset)
    here = RUNS / dataset
    inputs = Inputs(
        store=open_store(here / "store"),
        network=params.network,
        student=params.student,
        systems=params.systems,
        evaluate=params.evaluate,
        students=here / "students",
        seeds=params.seeds,
        device=choose_device(params.device),
    )
    rows = entries(params.variants, params.unified, params.customised)
    with (
        torch_threads(params.threads),
        computing(params.precision, inputs.device),
        whole_folder(here / "evaluation") as folder,
    ):
        write_evaluation(folder, inputs, rows, predict_all(inputs, here / "teacher", rows))
        write_origin(folder, here, rows)


if __name__ == "__main__":
    main("evaluate", run, "dataset")
