"""The tests of the losses see what they are for: each of many slips makes those of its file fail."""

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import Phase, settings

from tests.mutants import MUTANTS, Mutant
from tests.project import ROOT

LOSSES = ROOT / "cmad/losses"
TESTS = {
    "task": "tests/test_task_loss.py",
    "cafd": "tests/test_cafd.py",
    "auxiliary": "tests/test_auxiliary.py",
    "mar": "tests/test_mar.py",
}
ALONE = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:timeout", "--capture=no")
OPTIONS = ("-x", "-q", *ALONE, "--hypothesis-profile=mutants")
PASSED, FAILED, BROKEN = 0, 1, 99
# The first of each file in the normal suite.
QUICK = tuple(next(mutant for mutant in MUTANTS if mutant.module == module) for module in TESTS)
# A failing example is enough; it need not be made small.
settings.register_profile("mutants", deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))


def source(module: str) -> str:
    return (LOSSES / f"{module}.py").read_text(encoding="utf-8")


def load(module: str, code: str) -> None:
    """Put this code in the place of a module of the losses, for whatever is imported after."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cmad", "tests")]:
        del sys.modules[name]
    import cmad.losses

    name = f"cmad.losses.{module}"
    made = ModuleType(name)
    sys.modules[name] = made
    exec(compile(code, str(LOSSES / f"{module}.py"), "exec"), vars(made))
    setattr(cmad.losses, module, made)


def status(module: str, code: str, output: Path) -> int:
    """How the module's tests end with this code, in a process that has torch already."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ended = BROKEN
    try:
        with output.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(ROOT)
        load(module, code)
        ended = pytest.main([TESTS[module], *OPTIONS])
    finally:
        os._exit(ended)


def check_killed(mutant: Mutant, folder: Path) -> None:
    code, output = source(mutant.module), folder / "output.txt"
    changed = code.replace(mutant.old, mutant.new)
    ended = status(mutant.module, changed, output)
    said = output.read_text(encoding="utf-8", errors="replace")
    assert ended == FAILED, f"survives: {mutant}\n{said}"
    # By a test, not because the slip cannot be imported.
    assert "ERROR" not in said, said


def test_each_slip_stands_where_it_says() -> None:
    for mutant in MUTANTS:
        assert source(mutant.module).count(mutant.old) == 1, mutant
        assert mutant.old != mutant.new


def test_every_file_of_the_losses_has_slips() -> None:
    files = {path.stem for path in LOSSES.glob("*.py")} - {"__init__"}
    assert files == set(TESTS) == {mutant.module for mutant in MUTANTS}


@pytest.mark.parametrize(
    "module",
    [module if module == "task" else pytest.param(module, marks=pytest.mark.soak) for module in TESTS],
)
def test_without_a_slip_the_tests_pass(module: str, tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    assert status(module, source(module), output) == PASSED, output.read_text(encoding="utf-8")


@pytest.mark.parametrize("mutant", QUICK, ids=lambda mutant: mutant.module)
def test_a_slip_is_seen(mutant: Mutant, tmp_path: Path) -> None:
    check_killed(mutant, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.module}: {mutant.new}")
def test_every_slip_is_seen(mutant: Mutant, tmp_path: Path) -> None:
    check_killed(mutant, tmp_path)
