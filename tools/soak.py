"""``python -m tools.soak [tests]``: every check that is marked soak, its outcome to ``reports/soak.md``.

The file tells of one run, whole: what failed stands in it as failed, and the exit status is then 1.
"""

import argparse
import datetime
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from cmad.files import whole_file
from cmad.report.blocks import Block, Heading, Printed
from cmad.report.grid import Grid, Line, text
from cmad.report.markdown import written
from cmad.report.provenance import hardware
from cmad.report.soak import NAME

REPORT = Path("reports") / NAME
# From the worst.
OUTCOMES = ("failed", "skipped", "passed")


@dataclass(frozen=True)
class Check:
    """One test function, all its parameters together.

    Attributes:
        name: of its file and of itself.
        n: how many times it ran, once for each set of parameters.
        outcome: the worst of them.
        seconds: of all of them.
    """

    name: str
    n: int
    outcome: str
    seconds: float


def checks(junit: Path) -> list[Check]:
    """What pytest's JUnit XML tells, in its order.

    Raises:
        OSError, ElementTree.ParseError: pytest left no such file.
    """
    found: dict[str, Check] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        # The parameters follow in brackets.
        name = f"{case.get('classname', '').rpartition('.')[2]}: {case.get('name', '').partition('[')[0]}"
        before = found.get(name, Check(name, 0, OUTCOMES[-1], 0.0))
        worst = min(before.outcome, _outcome(case), key=OUTCOMES.index)
        seconds = before.seconds + float(case.get("time", "0"))
        found[name] = Check(name, before.n + 1, worst, seconds)
    return list(found.values())


def _outcome(case: ElementTree.Element) -> str:
    kinds = {child.tag for child in case}
    # An error is a failure before or after the test itself.
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def report(found: Iterable[Check], command: str, date: str) -> str:
    """The result of a run in Markdown."""
    machine = "; ".join(f"{name}: {value}" for name, value in hardware().items())
    lines = tuple(
        Line((text(f"`{check.name}`"), text(str(check.n)), text(check.outcome), text(f"{check.seconds:.1f}")))
        for check in found
    )
    blocks: tuple[Block, ...] = (
        Heading(1, "The long checks"),
        f"Run on {date} with `{command}` on this machine: {machine}.",
        Printed(Grid((("check", "n", "outcome", "seconds"),), lines)),
    )
    return written(blocks)


def main(tests: Sequence[str]) -> int:
    """Run the checks and write the report; the exit status."""
    command = ["pytest", "--numprocesses", "0", "-m", "soak", *tests]
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        done = subprocess.run([sys.executable, "-m", *command, f"--junitxml={junit}"])
        try:
            found = checks(junit)
        except (OSError, ElementTree.ParseError):
            found = []
    # Interrupted, or nothing was run: the last result stays.
    if not found or done.returncode not in (0, 1):
        print(f"error: pytest ended with {done.returncode}; {REPORT} is as it was", file=sys.stderr)
        return 1
    with whole_file(REPORT) as aside:
        aside.write_text(report(found, " ".join(command), date), encoding="utf-8")
    failed = [check.name for check in found if check.outcome == "failed"]
    print(f"report: {REPORT}")
    if failed:
        print(f"error: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed or done.returncode else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=main.__doc__)
    parser.add_argument("tests", nargs="*", help="files or names of tests; all of them by default")
    sys.exit(main(parser.parse_args().tests))
