"""The scores and logs of the grid to tables, figures and the report."""

from cmad.config.stages import ReportParams, read
from cmad.files import whole_file, whole_folder
from cmad.report.load import load
from cmad.report.markdown import report
from cmad.report.write import metrics_json, write_figures, write_series, write_tables
from stages.command import PARAMS, REPORTS, RUNS, main


def run() -> None:
    """Report on every data set of the grid."""
    params = read(PARAMS, ReportParams)
    of = [load(RUNS, dataset, params.variants, params.seeds) for dataset in params.datasets]
    with (
        whole_folder(REPORTS / "tables") as tables,
        whole_folder(REPORTS / "figures") as figures,
        whole_folder(REPORTS / "plots") as plots,
        whole_file(REPORTS / "metrics.json") as metrics,
        whole_file(REPORTS / "report.md") as text,
    ):
        for cells in of:
            write_tables(cells, tables)
            write_figures(cells, figures)
        write_series(of, plots)
        metrics.write_text(metrics_json(of), encoding="utf-8")
        text.write_text(report(of, params.threads), encoding="utf-8")
    print(f"report: {REPORTS / 'report.md'}")


if __name__ == "__main__":
    main("report", run)
