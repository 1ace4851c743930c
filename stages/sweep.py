"""The store and the teachers to the scores of a sweep: CMAD with one knob at each of its values."""

from cmad.config.schema import Keep
from cmad.config.stages import SweepParams, read
from cmad.config.sweeps import sweep
from cmad.evaluation.sweep import write_sweep
from cmad.students.students import Recipe
from stages.command import PARAMS, RUNS, main
from stages.scratch import scratch


def run(dataset: str, parameter: str) -> None:
    """Train and score CMAD with one knob changed on one data set; parameter is such as sigma."""
    params = read(PARAMS, SweepParams, dataset=dataset, parameter=parameter)
    recipe = Recipe(
        method="cmad",
        options={},
        network=params.network,
        student=params.student,
        keep=Keep(weights="none", drop_ratios=(), seed=0),
        seeds=params.seeds,
        threads=params.threads,
        device=params.device,
        precision=params.precision,
    )
    here = RUNS / dataset
    swept = sweep(parameter, params.values)
    write_sweep(recipe, swept, here / "store", here / "teacher", here / "sweeps" / parameter, scratch())


if __name__ == "__main__":
    main("sweep", run, "dataset", "parameter")
