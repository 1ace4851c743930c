"""The store to one teacher per seed, with its outputs on the train split."""

from cmad.config.stages import TeacherParams, read
from cmad.teachers.teachers import Recipe, make_teachers
from stages.command import PARAMS, RUNS, main
from stages.scratch import scratch


def run(dataset: str) -> None:
    """Train the teachers of one data set, or take one in."""
    params = read(PARAMS, TeacherParams, dataset=dataset)
    recipe = Recipe(
        network=params.network,
        teacher=params.teacher,
        seeds=params.seeds,
        threads=params.threads,
        device=params.device,
        precision=params.precision,
    )
    here = RUNS / dataset
    make_teachers(recipe, here / "store", here / "teacher", f"{dataset} teacher", scratch())


if __name__ == "__main__":
    main("teacher", run, "dataset")
