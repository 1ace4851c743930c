"""The store and the teachers to the scores of one value of a sweep."""

from cmad.config.overrides import override
from cmad.config.schema import Keep
from cmad.config.stages import SweepParams, read
from cmad.config.sweeps import sweep
from cmad.evaluation.sweep import write_sweep
from cmad.training.students import Recipe
from stages.command import PARAMS, RUNS, main


def run(dataset: str, value: str) -> None:
    """Train and score CMAD with one knob changed on one data set; value is such as sigma_0.05."""
    swept = sweep(value)
    params = read(PARAMS, SweepParams, dataset=dataset)
    recipe = Recipe(
        method="cmad",
        options={},
        network=params.network,
        student=override(params.student, swept.changes),
        keep=Keep(weights="none", drop_ratios=(), seed=0),
        seeds=params.seeds,
        threads=params.threads,
        device=params.device,
    )
    here = RUNS / dataset
    own = getattr(params.student, swept.parameter)
    write_sweep(recipe, swept, own, here / "store", here / "teacher", here / "sweeps" / value)


if __name__ == "__main__":
    main("sweep", run, "dataset", "value")
