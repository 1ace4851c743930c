"""Commands around the pipeline: ``python -m cmad inspect | data | plan``."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from cmad.errors import UserError, of_system


def main() -> None:
    """Run the command that is named; what is wrong is said in one line, with status 1."""
    given = vars(_parser().parse_args())
    run: Callable[..., str] = given.pop("run")
    try:
        print(run(**given))
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:
        # The reader of a pipe has seen enough; without this Python complains again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        sys.exit(f"error: {of_system(error)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cmad", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="inspect | data | plan")
    inspect = commands.add_parser("inspect", help="look at raw files: counts, lengths, labels, what is odd")
    inspect.add_argument("path", type=Path, help="a pickle or a folder")
    inspect.add_argument("--format", choices=("folder", "mag", "mult", "mmsa", "hkt", "cherma"))
    inspect.add_argument("--task", choices=("regression", "classes", "binary"))
    inspect.add_argument("--out", type=Path, help="folder to write into; reports/inspect/<name> by default")
    inspect.set_defaults(run=_inspect)
    data = commands.add_parser("data", help="the published data sets, their files, and what is present")
    data.add_argument("--raw", type=Path, default="data/raw")
    data.set_defaults(run=_data)
    plan = commands.add_parser("plan", help="what the grid will run, and its time and disk")
    plan.add_argument("--params", type=Path, default="params.yaml")
    plan.add_argument("--data", type=Path, default="data")
    plan.set_defaults(run=_plan)
    return parser


def _inspect(path: Path, format: str | None, task: str | None, out: Path | None) -> str:
    from cmad.inspection.inspect import inspect

    name = path.resolve().name
    return inspect(path, format, task, out or Path("reports/inspect") / name)  # type: ignore[arg-type]


def _data(raw: Path) -> str:
    from cmad.published.listing import listing

    return listing(raw).rstrip("\n")


def _plan(params: Path, data: Path) -> str:
    from cmad.planning.plan import plan

    return plan(params, data).rstrip("\n")


if __name__ == "__main__":
    main()
