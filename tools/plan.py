"""Which stages ``dvc repro`` will run, and what waits for what."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dvc.repo import Repo


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline.

    Attributes:
        command: that it runs.
        needs: names of the stages whose outputs it reads.
        changed: whether its params, code, inputs or outputs differ from ``dvc.lock``, or are absent.
    """

    command: str
    needs: frozenset[str]
    changed: bool


def pipeline(root: Path) -> dict[str, Stage]:
    """All stages by name, each after those that it needs.

    Raises:
        DvcException: DVC refuses the pipeline.
    """
    with Repo(str(root)) as repo:
        changed = repo.status()
        graph = repo.index.graph
        stages = {
            stage.addressing: Stage(
                command=stage.cmd or "",
                needs=frozenset(needed.addressing for needed in graph.successors(stage)),
                changed=stage.addressing in changed,
            )
            for stage in repo.index.stages
        }
    ordered: dict[str, Stage] = {}
    while len(ordered) < len(stages):
        ordered |= {n: s for n, s in stages.items() if n not in ordered and s.needs <= ordered.keys()}
    return ordered


def to_run(stages: Mapping[str, Stage]) -> dict[str, Stage]:
    """The stages that run: changed, or after one that runs.

    Args:
        stages: as ``pipeline`` gives them.
    """
    found: dict[str, Stage] = {}
    for name, stage in stages.items():
        if stage.changed or stage.needs & found.keys():
            found[name] = stage
    return found


def stage_of(line: str) -> str | None:
    """The name in DVC's line that a stage starts; None for any other line."""
    return line.split("'")[1] if line.startswith("Running stage '") else None
