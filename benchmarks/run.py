"""The benchmark suite; writes ``reports/benchmark.md``, ``.json`` and the figure of growth.

``python -m benchmarks.run [--repeats 5] [--threads 1] [--only SECTION]``

A new section is a module with a ``SECTION``, and its place in ``SECTIONS``.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from benchmarks import against, growth, parts, precision, rate, startup, systems
from benchmarks.machine import this_machine
from benchmarks.report import NUMBERS, REPORT, Entry, read_entries, write
from benchmarks.section import Options, Section
from cmad.errors import UserError
from cmad.randomness import torch_threads

SECTIONS: Sequence[Section] = (
    against.SECTION,
    rate.SECTION,
    parts.SECTION,
    growth.SECTION,
    startup.SECTION,
    systems.SECTION,
    precision.SECTION,
)


def measured(section: Section, options: Options, command: str) -> Entry:
    """Measure a section."""
    print(section.title, flush=True)
    date, start = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"), time.perf_counter()
    found = section.measure(options)
    return Entry(date, command, round(time.perf_counter() - start, 1), found.text, found.figures)


def run(
    chosen: Iterable[Section], options: Options, command: str, report: Path = REPORT, numbers: Path = NUMBERS
) -> None:
    """Measure some sections and write the report, the others staying as they were measured here before.

    Raises:
        UserError: the implementations that are compared do not agree; of that section nothing is written.
    """
    machine = this_machine(os.cpu_count() or 1, options.threads)
    for section in chosen:
        with torch_threads(options.threads):
            found = measured(section, options, command)
        # After each, so that what was measured stays when a later one is stopped.
        write(SECTIONS, read_entries(numbers, machine) | {section.name: found}, machine, report, numbers)


def main() -> None:
    """Measure and write the report; stop where implementations that are compared disagree."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=main.__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=[section.name for section in SECTIONS], help="measure it alone")
    given = parser.parse_args()
    command = " ".join(["python -m benchmarks.run", *sys.argv[1:]])
    chosen = [section for section in SECTIONS if given.only in (None, section.name)]
    try:
        run(chosen, Options(given.repeats, given.threads), command)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"report: {REPORT}")


if __name__ == "__main__":
    main()
