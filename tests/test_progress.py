"""The line of progress: stages counted, time left from what is known."""

import json
from pathlib import Path

import pytest

from tools.progress import Progress, kind, minutes, read_times, record

PLAN = {
    "teacher@demo": "python -m stages.teacher demo",
    "student@demo-cmad": "python -m stages.student demo cmad",
    "student@demo-tea": "python -m stages.student demo tea",
}


def test_time_left_falls_with_each_stage() -> None:
    known = {"teacher-demo": 200.0, "student-demo-tea": 10.0}
    progress = Progress(PLAN, known)
    # 200 and 10 seconds are known, one stage is a guess of 10, each with 3 of overhead: 229 s.
    assert progress.started("teacher@demo", 0.0) == "stage 1 of 3: teacher@demo, about 4 min left"
    progress.finished("teacher@demo", 100.0)
    assert progress.started("student@demo-cmad", 100.0) == "stage 2 of 3: student@demo-cmad, about 26 s left"
    progress.finished("student@demo-cmad", 130.0)
    assert progress.started("student@demo-tea", 130.0) == "stage 3 of 3: student@demo-tea, about 13 s left"
    assert progress.taken == {"teacher@demo": 100.0, "student@demo-cmad": 30.0}


def test_two_at_a_time_take_half_as_long() -> None:
    known = {"student-demo-cmad": 97.0, "student-demo-tea": 37.0}
    progress = Progress({name: PLAN[name] for name in list(PLAN)[1:]}, known, jobs=2)
    progress.started("student@demo-cmad", 0.0)
    # 140 seconds, of which 10 are done.
    assert progress.started("student@demo-tea", 10.0) == "stage 2 of 2: student@demo-tea, about 65 s left"


def test_unknown_stages_take_what_their_kind_took() -> None:
    progress = Progress(PLAN, {})
    progress.started("student@demo-cmad", 0.0)
    progress.finished("student@demo-cmad", 40.0)
    # The teacher is a guess of 10 and 3, the other student as the first.
    assert progress.started("teacher@demo", 40.0).endswith("about 53 s left")


def test_kinds_of_systems_differ_by_scope() -> None:
    assert kind("python -m stages.system demo umdf unified") == kind(
        "python -m stages.system demo own unified"
    )
    assert kind("python -m stages.system demo umdf customised") != kind(
        "python -m stages.system demo umdf unified"
    )
    assert kind("python -m stages.report") == "stages.report"


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (89.4, "89 s"), (90, "2 min"), (600, "10 min")])
def test_durations(seconds: float, text: str) -> None:
    assert minutes(seconds) == text


def test_times_by_record(tmp_path: Path) -> None:
    (tmp_path / "student-demo-no_mar.json").write_text(json.dumps({"seconds": 8.5}))
    (tmp_path / "broken.json").write_text("{")
    assert read_times(tmp_path) == {"student-demo-no_mar": 8.5}
    assert read_times(tmp_path / "absent") == {}


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python -m stages.evaluate_also demo_classes", "evaluate_also-demo_classes"),
        ("python -m stages.sweep demo sigma", "sweep-demo-sigma"),
        ("python -m stages.report", "report"),
    ],
)
def test_a_recorded_time_is_found_by_its_command(tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / f"{name}.json").write_text(json.dumps({"seconds": 77.0}))
    assert record(command) == name
    progress = Progress({"stage": command}, read_times(tmp_path))
    assert progress.started("stage", 0.0) == "stage 1 of 1: stage, about 80 s left"
