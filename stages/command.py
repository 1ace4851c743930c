"""What all stages share: their command line, where things stand, and how they fail."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cmad.errors import UserError, of_system
from cmad.files import whole_file

PARAMS = Path("params.yaml")
RUNS = Path("data/runs")
RAW = Path("data/raw")
REPORTS = Path("reports")
# Wall times differ from run to run, so they stay out of everything that is tracked.
TIMES = Path("data/times")


def main(stage: str, run: Callable[..., None], *arguments: str) -> None:
    """Parse the command line, run a stage, and turn failures into one line and an exit status.

    Args:
        stage: its name.
        run: called with the arguments as keywords.
        arguments: their names.
    """
    parser = argparse.ArgumentParser(prog=f"python -m stages.{stage}", description=run.__doc__)
    for argument in arguments:
        parser.add_argument(argument)
    given = vars(parser.parse_args())
    start = time.perf_counter()
    # Unwind on SIGTERM too, so that what is half-written is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run(**given)
        _record_time("-".join([stage, *given.values()]), time.perf_counter() - start)
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {of_system(error)}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        # Leave without running exit handlers of libraries that may hang; files are whole or absent.
        sys.stderr.flush()
        os._exit(130)


def _record_time(name: str, seconds: float) -> None:
    with whole_file(TIMES / f"{name}.json") as aside:
        aside.write_text(json.dumps({"seconds": round(seconds, 2)}) + "\n", encoding="utf-8")
