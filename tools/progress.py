"""``python -m tools.progress``: ``dvc repro`` with a line before each stage that tells the time left.

Arguments are handed on to ``dvc repro``. What a stage will take is what it took last time on this machine
(``data/times``), else the mean of stages of its kind so far, else a guess.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

TIMES = Path("data/times")
# Seconds of a stage of which nothing is known yet, and what DVC and imports add to each.
GUESS, OVERHEAD = 10.0, 3.0


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        todo: stages that will run, by name, with the command of each.
        known: seconds from earlier runs, by the name of the record (see ``record``).
        taken: seconds of the finished stages of this run, by command.
    """

    todo: Mapping[str, str]
    known: Mapping[str, float]
    taken: dict[str, float] = field(default_factory=dict)
    _current: str | None = None
    _since: float = 0.0

    def started(self, stage: str, now: float) -> str:
        """The line for a stage that starts: its place, and the time left with it.

        Args:
            stage: its name.
            now: seconds of any clock.
        """
        self.finished(now)
        self._current, self._since = self.todo.get(stage, stage), now
        done = len(self.taken)
        left = [command for command in self.todo.values() if command not in self.taken]
        seconds = sum(self._expected(command) for command in left)
        return f"stage {done + 1} of {max(len(self.todo), done + 1)}: {stage}, about {minutes(seconds)} left"

    def finished(self, now: float) -> None:
        """The stage that runs has ended, if one does."""
        if self._current is not None:
            self.taken[self._current] = now - self._since
            self._current = None

    def _expected(self, command: str) -> float:
        if record(command) in self.known:
            return self.known[record(command)] + OVERHEAD
        alike = [s for other, s in self.taken.items() if kind(other) == kind(command)]
        return sum(alike) / len(alike) if alike else GUESS + OVERHEAD


def record(command: str) -> str:
    """What a stage calls its record of time: its module and arguments (``stages/command.py``).

    There is no way back, for a value such as alpha_1e-3 has a dash of its own.
    """
    words = command.split()
    return "-".join([words[2].removeprefix("stages."), *words[3:]]) if len(words) > 2 else command


def kind(command: str) -> str:
    """The stage's module, and for a system its scope: what takes about as long."""
    words = command.split()
    return " ".join([words[2], *words[5:]]) if len(words) > 2 else command


def minutes(seconds: float) -> str:
    """A duration for people."""
    return f"{max(1, round(seconds / 60))} min" if seconds >= 90 else f"{max(1, round(seconds))} s"


def planned(lines: Iterable[str]) -> dict[str, str]:
    """Stages and their commands from the output of ``dvc repro --dry``."""
    found: dict[str, str] = {}
    stage = None
    for line in lines:
        if (started := stage_of(line)) is not None:
            stage = started
        elif stage is not None and line.startswith("> "):
            found[stage] = line[2:].strip()
            stage = None
    return found


def stage_of(line: str) -> str | None:
    """The name in DVC's line that a stage starts; None for any other line."""
    return line.split("'")[1] if line.startswith("Running stage '") else None


def read_times(folder: Path) -> dict[str, float]:
    """Seconds of every stage that left its time, by name of the record; what cannot be read is not there."""
    found = {}
    for path in folder.glob("*.json"):
        try:
            found[path.stem] = float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def follow(lines: Iterable[str], progress: Progress, write: Callable[[str], object]) -> None:
    """Hand DVC's lines on, each stage's first with the progress line before it."""
    for line in lines:
        stage = stage_of(line)
        if stage is not None:
            write(progress.started(stage, time.monotonic()) + "\n")
        else:
            write(line)


def main(arguments: Sequence[str]) -> int:
    """Run ``dvc repro`` and return its exit status."""
    command = ["dvc", "repro", *arguments]
    dry = subprocess.run([*command, "--dry"], stdout=subprocess.PIPE, text=True)
    if dry.returncode:
        return dry.returncode
    progress = Progress(planned(dry.stdout.splitlines()), read_times(TIMES))

    def write(line: str) -> None:
        # Before the stage's own output, which goes straight to the terminal.
        sys.stdout.write(line)
        sys.stdout.flush()

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as running:
        assert running.stdout is not None
        # DVC gets a Ctrl-C too and ends its stage; wait for it.
        with suppress(KeyboardInterrupt):
            follow(running.stdout, progress, write)
    return running.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
