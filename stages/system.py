"""The store and the teachers to one comparison system, unified or customised."""

from cmad import entries
from cmad.config.stages import SystemParams, read
from cmad.errors import UserError
from cmad.students.students import Recipe, train_students
from stages.command import PARAMS, RUNS, main
from stages.scratch import scratch


def run(dataset: str, system: str, scope: str) -> None:
    """Train one comparison system on one data set; scope is unified or customised."""
    if scope not in ("unified", "customised"):
        raise UserError(f"scope {scope!r} is unknown; it is unified or customised")
    params = read(PARAMS, SystemParams, dataset=dataset, system=system)
    recipe = Recipe(
        method=system,
        options=params.options,
        network=params.network,
        student=params.student,
        keep=params.keep,
        seeds=params.seeds,
        threads=params.threads,
        device=params.device,
        precision=params.precision,
    )
    row = entries.customised(system) if scope == "customised" else entries.unified(system)
    here = RUNS / dataset
    train_students(
        recipe, here / "store", here / "teacher", here / "students" / row.name, row.customised, scratch()
    )


if __name__ == "__main__":
    main("system", run, "dataset", "system", "scope")
