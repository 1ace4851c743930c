"""``python -m tools.reproduce [--jobs N]``: ``dvc repro`` with a line of progress, N stages at a time.

Results do not depend on N: each stage has the threads that the params say.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from dvc.exceptions import DvcException

from tools.plan import pipeline, stage_of, to_run
from tools.pool import interrupt, run_all
from tools.progress import Progress, read_times

ROOT = Path()
TIMES = Path("data/times")
# What running stages read and write.
IN_USE = Path(".dvc/tmp/rwlock")


def follow(lines: Iterable[str], progress: Progress, write: Callable[[str], object]) -> None:
    """Hand DVC's lines on, each stage's first with the progress line before it."""
    current = None
    for line in lines:
        stage = stage_of(line)
        if stage is None:
            write(line)
            continue
        if current is not None:
            progress.finished(current, time.monotonic())
        current = stage
        write(progress.started(stage, time.monotonic()) + "\n")


def write(line: str) -> None:
    """To the terminal at once: before the stage's own output, which goes straight there."""
    sys.stdout.write(line)
    sys.stdout.flush()


def forget_torn(file: Path) -> None:
    """Delete DVC's list of what is in use where it is torn: no run would start any more.

    DVC writes it in its place, so a kill can leave half of it. Whole it stays, for DVC itself drops what
    dead processes left in it.
    """
    try:
        content = file.read_bytes()
        json.loads(content)
    except FileNotFoundError:
        return
    except ValueError:
        # A DVC that runs now may be just writing it.
        time.sleep(1)
        if file.read_bytes() == content:
            file.unlink()
            write(f"deleted {file}, which a kill had torn\n")


def one_by_one(progress: Progress) -> int:
    """``dvc repro`` as it is; its exit status."""
    # A group of its own: of a signal to this process alone DVC and its stage would not hear.
    command, pipe = ["dvc", "repro"], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, text=True, bufsize=1, start_new_session=True) as running:
        assert running.stdout is not None
        try:
            follow(running.stdout, progress, write)
        except KeyboardInterrupt:
            interrupt(running)
            # Read on: a pipe that is full would hold it up.
            for line in running.stdout:
                write(line)
            running.wait()
            return 130
    return running.returncode


def main(jobs: int) -> int:
    """Run the pipeline and return the exit status."""
    forget_torn(IN_USE)
    try:
        stages = to_run(pipeline(ROOT))
    except (DvcException, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    progress = Progress({n: s.command for n, s in stages.items()}, read_times(TIMES), jobs)
    if jobs > 1:
        try:
            failed = run_all(ROOT, stages, progress, write)
        except KeyboardInterrupt:
            return 130
        if failed:
            # Once more at the end: what they said stands far above.
            for name, said in failed.items():
                print(f"{name}: {said}", file=sys.stderr)
            print(f"error: failed: {', '.join(failed)}; stages that need them did not run", file=sys.stderr)
            return 1
    # Alone, or to see that nothing is left to do.
    return one_by_one(progress)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.reproduce", description=main.__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="stages at a time")
    given = parser.parse_args()
    if given.jobs < 1:
        sys.exit("error: --jobs must be at least 1")
    # End the stages too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(given.jobs))
