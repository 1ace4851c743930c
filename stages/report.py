"""The scores and logs of the grid to tables, figures and the report."""

import subprocess
from pathlib import Path

from cmad.config.load import load as load_config
from cmad.config.stages import ReportParams, read
from cmad.config.sweeps import sweeps
from cmad.entries import entries
from cmad.files import whole_file, whole_folder
from cmad.paper import read_published
from cmad.report.content import content
from cmad.report.html import page
from cmad.report.load import load
from cmad.report.markdown import written
from cmad.report.provenance import Origin, provenance
from cmad.report.soak import long_checks
from cmad.report.times import read_all_seconds, read_seconds, times
from cmad.report.write import metrics_json, write_figures, write_series, write_tables
from stages.command import PARAMS, REPORTS, RUNS, TIMES, main

# Only this stage needs it: in stages/command.py it would rerun all the others.
PAPER = Path("data/paper")
# What makes the results; the rest of the repository is what they lead to.
_CODE = ("cmad", "stages", "data/paper", "data/presets", "params.yaml", "dvc.yaml")
# Those that pyproject.toml asks for, tests aside.
_LIBRARIES = (
    "torch",
    "dvc",
    "numpy",
    "pandas",
    "pyyaml",
    "matplotlib",
    "pillow",
    "tqdm",
    "ruamel.yaml.clib",
    "transformers",
)


def run() -> None:
    """Report on every data set of the grid."""
    params = read(PARAMS, ReportParams)
    rows = entries(params.variants, params.unified, params.customised)
    swept = sweeps(params.sweeps, params.sweep_values)
    of = [load(RUNS, dataset, rows, params.seeds, swept) for dataset in params.datasets]
    rows = entries(params.also.variants, (), ())
    swept = sweeps(params.also.sweeps, params.sweep_values)
    of += [load(RUNS, dataset, rows, params.seeds, swept, "_also") for dataset in params.also.datasets]
    seconds = {cells.dataset: read_seconds(TIMES, cells.dataset, cells.rows) for cells in of}
    published = read_published(PAPER)
    blocks = content(of, params.threads, published)
    # Only the page shows all parameters, and it is no output that DVC knows: what changes nothing in the
    # runs must not rerun this stage.
    origin = Origin(_revision(), load_config(PARAMS), seconds, read_all_seconds(TIMES), _LIBRARIES)
    with (
        whole_folder(REPORTS / "tables") as tables,
        whole_folder(REPORTS / "figures") as figures,
        whole_folder(REPORTS / "plots") as plots,
        whole_file(REPORTS / "metrics.json") as metrics,
        whole_file(REPORTS / "report.md") as text,
        whole_file(REPORTS / "report.html") as html,
        whole_file(REPORTS / "times.md") as untracked,
    ):
        for cells in of:
            write_tables(cells, tables, published)
            write_figures(cells, figures)
        write_series(of, plots)
        metrics.write_text(metrics_json(of), encoding="utf-8")
        text.write_text(written(blocks), encoding="utf-8")
        whole = page("CMAD: report", (*blocks, *provenance(of, origin), *long_checks(REPORTS)), figures)
        html.write_text(whole, encoding="utf-8")
        untracked.write_text(written(times(of, seconds)), encoding="utf-8")
    print(f"report: {REPORTS / 'report.md'}")


def _revision() -> str:
    """The commit of the code, and whether it was changed since; "unknown" outside of a repository."""
    try:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--", *_CODE)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} + changes" if changes else commit


def _git(*command: str) -> str:
    done = subprocess.run(["git", *command], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main("report", run)
