"""The scores and logs of the grid to tables, figures and the report."""

from pathlib import Path

from cmad.config.stages import ReportParams, read
from cmad.entries import entries
from cmad.files import whole_file, whole_folder
from cmad.paper import read_published
from cmad.report.load import load
from cmad.report.markdown import report, written
from cmad.report.times import read_seconds, times
from cmad.report.write import metrics_json, write_figures, write_series, write_tables
from stages.command import PARAMS, REPORTS, RUNS, TIMES, main

# Only this stage needs it: in stages/command.py it would rerun all the others.
PAPER = Path("data/paper")


def run() -> None:
    """Report on every data set of the grid."""
    params = read(PARAMS, ReportParams)
    rows = entries(params.variants, params.unified, params.customised)
    of = [load(RUNS, dataset, rows, params.seeds) for dataset in params.datasets]
    published = read_published(PAPER)
    seconds = {dataset: read_seconds(TIMES, dataset, rows) for dataset in params.datasets}
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
        untracked.write_text(written(times(of, seconds)), encoding="utf-8")
    print(f"report: {REPORTS / 'report.md'}")


if __name__ == "__main__":
    main("report", run)
