"""The store and the teachers to one student per seed, of one variant."""

from cmad.config.stages import StudentParams, read
from cmad.students.students import Recipe, train_students
from stages.command import PARAMS, RUNS, main
from stages.scratch import scratch


def run(dataset: str, variant: str) -> None:
    """Train the students of one variant on one data set."""
    params = read(PARAMS, StudentParams, dataset=dataset, variant=variant)
    recipe = Recipe(
        method=params.method,
        options={},
        network=params.network,
        student=params.student,
        keep=params.keep,
        seeds=params.seeds,
        threads=params.threads,
        device=params.device,
        precision=params.precision,
    )
    here = RUNS / dataset
    train_students(
        recipe,
        here / "store",
        here / "teacher",
        here / "students" / variant,
        customised=False,
        scratch=scratch(),
    )


if __name__ == "__main__":
    main("student", run, "dataset", "variant")
