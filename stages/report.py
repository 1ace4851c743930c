"""The scores and logs of the grid to tables, figures and the report."""

from pathlib import Path

from cmad.config.stages import ReportParams, read
from cmad.config.sweeps import sweep
from cmad.entries import entries
from cmad.files import whole_file, whole_folder
from cmad.paper import read_published
from cmad.report.load import load
from cmad.report.markdown import report
from cmad.report.times import read_seconds, times
from cmad.report.write import metrics_json, write_figures, write_series, write_tables
from stages.command import PARAMS, REPORTS, RUNS, TIMES, main

# Only this stage needs it: in stages/command.py it would rerun all the others.
PAPER = Path("data/paper")


def run() -> None:
    """Report on every data set of the grid."""
    params = read(PARAMS, ReportParams)
    rows = entries(params.variants, params.unified, params.customised)
    sweeps = tuple(map(sweep, params.sweeps))
    of = [load(RUNS, dataset, rows, params.seeds, sweeps) for dataset in params.datasets]
    rows = entries(params.also.variants, (), ())
    sweeps = tuple(map(sweep, params.also.sweeps))
    of += [load(RUNS, dataset, rows, params.seeds, sweeps, "_also") for dataset in params.also.datasets]
    published = read_published(PAPER)
    seconds = {cells.dataset: read_seconds(TIMES, cells.dataset, cells.rows) for cells in of}
    with (
        whole_folder(REPORTS / "tables") as tables,
        whole_folder(REPORTS / "figures") as figures,
        whole_folder(REPORTS / "plots") as plots,
        whole_file(REPORTS / "metrics.json") as metrics,
        whole_file(REPORTS / "report.md") as text,
        whole_file(REPORTS / "times.md") as untracked,
    ):
        for cells in of:
            write_tables(cells, tables, published)
            write_figures(cells, figures)
        write_series(of, plots)
        metrics.write_text(metrics_json(of), encoding="utf-8")
        text.write_text(report(of, params.threads, published), encoding="utf-8")
        untracked.write_text(times(of, seconds), encoding="utf-8")
    print(f"report: {REPORTS / 'report.md'}")


if __name__ == "__main__":
    main("report", run)
