"""Independent stages side by side, each in a ``dvc repro`` of its own, on DVC's own locks.

A process of DVC takes a second to start, so each gets a batch of stages that are ready: long ones first,
and as many as make a fair share of the work that is left.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from threading import Thread

from tools.plan import Stage, stage_of
from tools.progress import Progress

# Lines of DVC that say nothing to a reader of several runs at once.
_NOISE = re.compile(
    r"$|> |Updating lock file|Use `dvc push`|Stage .* (didn.t change|is cached)|WARNING: "
    r"|To (track the changes|enable auto staging)|\t(git add|dvc config)"
)
_FAILED = re.compile(r"failed to reproduce(?: stages:)? (.*)")


@dataclass(frozen=True)
class Line:
    """What a process says.

    Attributes:
        process: which.
        text: a line of its output; None when it has ended.
    """

    process: "Running"
    text: str | None


@dataclass(eq=False)
class Running:
    """A process of DVC.

    Attributes:
        batch: names of its stages, in order.
        process: itself.
        current: the stage that it is at.
        failed: names of the stages that failed.
        last: the last line that each stage said.
    """

    batch: Sequence[str]
    process: subprocess.Popen[str]
    current: str | None = None
    failed: list[str] = field(default_factory=list)
    last: dict[str, str] = field(default_factory=dict)


def run_all(
    root: Path, stages: Mapping[str, Stage], progress: Progress, write: Callable[[str], object]
) -> dict[str, str]:
    """Run stages, ``progress.jobs`` at a time. A failure stops those that need it, and no other.

    Args:
        root: the project's folder.
        stages: that run, each after those of them that it needs.
        progress: of these stages.
        write: takes each line for the reader.

    Returns:
        Names of the stages that failed, each with the last line that it said.
    """
    waiting, failed = dict(stages), dict[str, str]()
    running: list[Running] = []
    said: Queue[Line] = Queue()
    try:
        while waiting or running:
            for batch in _next(waiting, failed, running, progress):
                running.append(_start(root, batch, said))
                for name in batch:
                    del waiting[name]
            if not running:
                break
            line = said.get()
            _heard(line, progress, write)
            if line.text is None:
                running.remove(line.process)
                failed |= {name: line.process.last.get(name, "") for name in line.process.failed}
    finally:
        _stop(running)
    return {name: failed[name] for name in stages if name in failed}


def _next(
    waiting: Mapping[str, Stage], failed: Mapping[str, str], running: Sequence[Running], progress: Progress
) -> list[list[str]]:
    """Batches for the processes that are free."""
    busy = {name for each in running for name in each.batch}
    unready = failed.keys() | busy | waiting.keys()
    ready = sorted(
        (name for name, stage in waiting.items() if not stage.needs & unready),
        key=progress.expected,
        reverse=True,
    )
    batches = []
    for _ in range(progress.jobs - len(running)):
        if not ready:
            break
        share = sum(map(progress.expected, ready)) / (2 * progress.jobs)
        batch = [ready.pop(0)]
        while ready and sum(map(progress.expected, [*batch, ready[0]])) <= share:
            batch.append(ready.pop(0))
        batches.append(batch)
    return batches


def _start(root: Path, batch: list[str], said: "Queue[Line]") -> Running:
    command = ["dvc", "--wait-for-lock", "repro", "--single-item", "--keep-going", *batch]
    process = subprocess.Popen(
        command,
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A group of its own, so that an interrupt reaches the stage together with DVC, and once.
        start_new_session=True,
    )
    running = Running(batch, process)
    Thread(target=_listen, args=(running, said), daemon=True).start()
    return running


def _listen(running: Running, said: "Queue[Line]") -> None:
    assert running.process.stdout is not None
    for text in running.process.stdout:
        said.put(Line(running, text.rstrip("\n")))
    running.process.wait()
    said.put(Line(running, None))


def _heard(line: Line, progress: Progress, write: Callable[[str], object]) -> None:
    """Tell the reader what matters, and keep count."""
    here, now = line.process, time.monotonic()
    stage = None if line.text is None else stage_of(line.text)
    if (stage is not None or line.text is None) and here.current is not None:
        progress.finished(here.current, now)
        here.current = None
    if stage is not None:
        here.current = stage
        write(progress.started(stage, now) + "\n")
    elif line.text is not None:
        found = _FAILED.search(line.text)
        if found:
            here.failed += re.findall(r"'([^']+)'", found[1])
        elif not _NOISE.match(line.text):
            if here.current is not None and not line.text.startswith("ERROR: "):
                here.last[here.current] = line.text
            write(f"{here.current or 'dvc'}: {line.text}\n")
    elif here.process.returncode and not here.failed:
        # DVC itself could not go on: none of the batch is known to be done.
        here.failed += here.batch


def _stop(running: Sequence[Running]) -> None:
    """End what still runs, as Ctrl-C would."""
    for each in running:
        interrupt(each.process)
    for each in running:
        each.process.wait()


def interrupt(process: subprocess.Popen[str]) -> None:
    """Send a process of DVC, which has a group of its own, and its stage what Ctrl-C would."""
    # It may end by itself meanwhile.
    with suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
