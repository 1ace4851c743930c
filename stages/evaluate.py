"""All students of a data set to predictions and scores on test."""

from cmad.config.stages import EvaluateParams, read
from cmad.device import choose_device
from cmad.evaluation.evaluate import Inputs, predict_all, write_evaluation
from cmad.files import whole_folder
from cmad.randomness import torch_threads
from cmad.store.store import open_store
from stages.command import PARAMS, RUNS, main


def run(dataset: str) -> None:
    """Evaluate the variants of the grid on one data set."""
    params = read(PARAMS, EvaluateParams, dataset=dataset)
    here = RUNS / dataset
    inputs = Inputs(
        store=open_store(here / "store"),
        network=params.network,
        evaluate=params.evaluate,
        consistency_batch=params.student.batch,
        consistency_tau=params.student.tau,
        seeds=params.seeds,
        device=choose_device(params.device),
    )
    with torch_threads(params.threads), whole_folder(here / "evaluation") as folder:
        predicted = predict_all(inputs, here / "students", here / "teacher", params.variants)
        write_evaluation(folder, inputs, predicted)


if __name__ == "__main__":
    main("evaluate", run, "dataset")
