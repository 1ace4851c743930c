"""How far a run of the pipeline is, and the time left.

What a stage will take is what it took last time on this machine (``data/times``), else the mean of
stages of its kind so far, else a guess.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Seconds of stages of which nothing is known yet, and what DVC and imports add to each.
GUESS, OVERHEAD = 10.0, 3.0
# Kinds that train several models.
GUESSES = {"stages.system customised": 60.0, "stages.sweep": 40.0}


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        todo: stages that will run, by name, with the command of each.
        known: seconds from earlier runs, by the name of the record (see ``record``).
        jobs: stages at a time.
        taken: seconds of the finished stages of this run, by name.
    """

    todo: Mapping[str, str]
    known: Mapping[str, float]
    jobs: int = 1
    taken: dict[str, float] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)

    def started(self, stage: str, now: float) -> str:
        """The line for a stage that starts: its place, and the time left with it.

        Args:
            stage: its name.
            now: seconds of any clock.
        """
        self._since[stage] = now
        count = len(self.taken) + len(self._since)
        seconds = sum(self.expected(name) for name in self.todo if name not in self.taken)
        running = (min(now - since, self.expected(name)) for name, since in self._since.items())
        left = max(0.0, seconds - sum(running)) / self.jobs
        return f"stage {count} of {max(len(self.todo), count)}: {stage}, about {minutes(left)} left"

    def finished(self, stage: str, now: float) -> None:
        """A stage that runs has ended."""
        self.taken[stage] = now - self._since.pop(stage)

    def expected(self, stage: str) -> float:
        """Seconds that a stage takes."""
        command = self.todo.get(stage, stage)
        if record(command) in self.known:
            return self.known[record(command)] + OVERHEAD
        alike = [s for name, s in self.taken.items() if kind(self.todo.get(name, name)) == kind(command)]
        return sum(alike) / len(alike) if alike else GUESSES.get(kind(command), GUESS) + OVERHEAD


def record(command: str) -> str:
    """What a stage calls its record of time: its module and arguments (``stages/command.py``)."""
    words = command.split()
    return "-".join([words[2].removeprefix("stages."), *words[3:]]) if len(words) > 2 else command


def kind(command: str) -> str:
    """The stage's module, and for a system its scope: what takes about as long."""
    words = command.split()
    return " ".join([words[2], *words[5:]]) if len(words) > 2 else command


def minutes(seconds: float) -> str:
    """A duration for people."""
    return f"{max(1, round(seconds / 60))} min" if seconds >= 90 else f"{max(1, round(seconds))} s"


def read_times(folder: Path) -> dict[str, float]:
    """Seconds of every stage that left its time, by name of the record; what cannot be read is not there."""
    found = {}
    for path in folder.glob("*.json"):
        try:
            found[path.stem] = float(json.loads(path.read_text(encoding="utf-8"))["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
