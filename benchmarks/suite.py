"""A report of several sections, from the command line to the files."""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.machine import Machine, this_machine
from benchmarks.report import Entry, read_entries, write
from benchmarks.section import Options, Section
from cmad.computing.randomness import torch_threads
from cmad.errors import UserError


@dataclass(frozen=True)
class Suite:
    """What is measured together.

    Attributes:
        module: that the command line names.
        title: of the report.
        sections: in its order.
        report, numbers: the Markdown and the JSON.
        gpu: whether the GPU is part of the machine.
    """

    module: str
    title: str
    sections: Sequence[Section]
    report: Path
    numbers: Path
    gpu: bool = False


def measured(section: Section, options: Options, machine: Machine, command: str) -> Entry:
    """Measure a section."""
    print(section.title, flush=True)
    date, start = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"), time.perf_counter()
    found = section.measure(options)
    seconds = round(time.perf_counter() - start, 1)
    return Entry(date, command, seconds, machine, found.text, found.figures)


def run(suite: Suite, chosen: Iterable[Section], options: Options, command: str) -> None:
    """Measure some sections and write the report, the others staying as they were measured before.

    Raises:
        UserError: the implementations that are compared do not agree; of that section nothing is written.
    """
    machine = this_machine(os.cpu_count() or 1, options.threads, suite.gpu)
    for section in chosen:
        with torch_threads(options.threads):
            found = measured(section, options, machine, command)
        # After each, so that what was measured stays when a later one is stopped. What this machine cannot
        # measure stays as another did.
        before = read_entries(suite.numbers)
        entries = before | {section.name: found} if found.figures else {section.name: found} | before
        write(suite.title, suite.sections, entries, suite.report, suite.numbers)


def main(suite: Suite) -> None:
    """Measure and write the report; stop where implementations that are compared disagree."""
    parser = argparse.ArgumentParser(prog=f"python -m {suite.module}", description=main.__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--only", choices=[section.name for section in suite.sections], help="measure it alone"
    )
    given = parser.parse_args()
    command = " ".join([f"python -m {suite.module}", *sys.argv[1:]])
    chosen = [section for section in suite.sections if given.only in (None, section.name)]
    try:
        run(suite, chosen, Options(given.repeats, given.threads), command)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"report: {suite.report}")
