"""Trainings in bfloat16: repeatable, near float32, and refused where the device has no such arithmetic."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cmad.computing import precision
from cmad.computing.precision import computing, has_bf16
from cmad.config.schema import Keep
from cmad.errors import UserError
from cmad.network.predictions import predict_combinations
from cmad.students import students
from cmad.teachers import teachers
from cmad.training.checkpoint import build_network
from cmad.training.scratch import Place, Scratch
from tests.generators.tokens import TokenWorld
from tests.test_scratch import CUSTOMISED, UNIFIED, killed_after, train
from tests.test_training import CPU, World, same

# Two of its roundings, 2^-9 each, by the size of what is rounded.
ROUNDING = 2**-8


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without the arithmetic emulates it, which is good enough here."""
    monkeypatch.setattr(precision, "has_bf16", lambda _: True)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def world(room: Path) -> World:
    return World(room, "demo_classes")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenWorld:
    return TokenWorld(tmp_path_factory.mktemp("tokens"))


@pytest.mark.parametrize(
    ("system", "combination"), [*((name, None) for name in UNIFIED), *((name, 4) for name in CUSTOMISED)]
)
def test_every_system_trains_repeats_and_goes_on_with_the_same_bits(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, combination: int | None
) -> None:
    single = train(world, system, None, combination)
    with computing("bf16", CPU):
        whole = train(world, system, None, combination)
        assert same(train(world, system, None, combination), whole)
        killed_after(tmp_path, 3, monkeypatch, lambda where: train(world, system, where, combination))
        assert same(train(world, system, Place(tmp_path, "test"), combination), whole)
    assert not same(whole, single)
    assert {weight.dtype for weight in whole.state.values()} == {torch.float32}
    # Before the weights part ways the loss tells of the forward pass alone.
    assert whole.log[0]["loss"] == pytest.approx(single.log[0]["loss"], rel=ROUNDING)


def test_float32_is_what_it_is_without_a_scope(world: World) -> None:
    without = train(world, "cmad", None)
    with computing("float32", CPU):
        assert same(train(world, "cmad", None), without)


def test_predictions_are_near_those_of_float32(world: World) -> None:
    network = build_network(world.preset.network, world.store)
    network.load_state_dict(train(world, "dropout", None).state)
    test = world.store.splits["test"]
    single = predict_combinations(network, test, 16, CPU)
    with computing("bf16", CPU):
        half = predict_combinations(network, test, 16, CPU)
    for one, other in ((half.outputs, single.outputs), (half.representation, single.representation)):
        assert one.dtype == np.float32
        apart = np.nanmax(np.abs(one - other))
        assert 0 < apart < 8 * ROUNDING * np.nanmax(np.abs(other))


@pytest.mark.parametrize("micro_batch", [None, 5])
def test_a_language_encoder_is_fine_tuned_in_it_too(tokens: TokenWorld, micro_batch: int | None) -> None:
    (_, single), found = tokens.train("cmad", micro_batch=micro_batch), []
    with computing("bf16", CPU):
        for _ in range(2):
            found.append(tokens.train("cmad", micro_batch=micro_batch)[1])
    assert same(*found)
    assert torch.bfloat16 not in {weight.dtype for weight in found[0].state.values()}
    assert found[0].log[0]["loss"] == pytest.approx(single.log[0]["loss"], rel=ROUNDING)
    assert found[0].log[0]["loss"] != single.log[0]["loss"]


def student_recipe(world: World, kind: str) -> students.Recipe:
    keep = Keep("full", (), 0)
    preset = world.preset
    return students.Recipe("dropout", {}, preset.network, preset.student, keep, (0,), 1, "cpu", kind)


def teacher_recipe(world: World, kind: str) -> teachers.Recipe:
    return teachers.Recipe(world.preset.network, world.preset.teacher, (0,), 1, "cpu", kind)


def test_stages_train_in_it_and_the_scratch_tells_both_apart(
    world: World, room: Path, tmp_path: Path
) -> None:
    store, kept = room / "demo_classes", Scratch(tmp_path / "scratch", 2**30)
    weights = []
    for kind in ("float32", "bf16"):
        own = tmp_path / kind
        teachers.make_teachers(teacher_recipe(world, kind), store, own / "teacher", kind, kept)
        # From the same teacher, so that only the precision is another.
        given = tmp_path / "float32" / "teacher"
        students.train_students(student_recipe(world, kind), store, given, own / "student", False, kept)
        weights += [(own / part / "seed-0.pt").read_bytes() for part in ("teacher", "student")]
    assert len(set(weights)) == 4
    assert len(list(kept.folder.iterdir())) == 4


def test_a_device_without_it_is_refused_in_one_line(
    world: World, room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda _: False)
    told = "params.yaml: precision is bf16, but this cpu does not compute in it; set precision to float32"
    store = room / "demo_classes"

    def runs(kind: str) -> list[Any]:
        return [
            lambda: teachers.make_teachers(teacher_recipe(world, kind), store, tmp_path / "out", "teacher"),
            lambda: students.train_students(
                student_recipe(world, kind), store, tmp_path, tmp_path / "out", False
            ),
        ]

    for run in runs("bf16"):
        with pytest.raises(UserError) as caught:
            run()
        assert str(caught.value) == told
        assert list(tmp_path.iterdir()) == []
    runs("float32")[0]()


def test_a_processor_is_known_by_its_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"avx2": True, "avx512_f": True, "avx512_bf16": False, "cpu_name": "one"}
    for more, wanted in (({}, False), ({"avx512_bf16": True}, True), ({"bf16": True}, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda more=more: known | more)
        assert has_bf16(CPU) is wanted


@pytest.mark.parametrize("kind", ["float32", "bf16"])
def test_a_scope_on_a_processor_changes_no_setting_of_torch(kind: str) -> None:
    def settings() -> list[Any]:
        products: Any = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
        deterministic = torch.are_deterministic_algorithms_enabled()
        return [deterministic, *(each.fp32_precision for each in products), dict(os.environ)]

    before = settings()
    with computing(kind, CPU):
        assert settings() == before


def test_a_scope_ends_with_its_error() -> None:
    with pytest.raises(ZeroDivisionError), computing("bf16", CPU):
        raise ZeroDivisionError
    assert not precision._bf16.get()
