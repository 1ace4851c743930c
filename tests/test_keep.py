"""What a trained cell leaves on disk, and teachers taken in."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cmad.combinations import COMBINATIONS
from cmad.config.schema import ExistingTeacher, Keep
from cmad.entries import Entry, customised
from cmad.errors import UserError
from cmad.evaluation.evaluate import write_evaluation
from cmad.evaluation.predict import Inputs, Predicted, predict_all
from cmad.files import sha256
from cmad.students.kept import load_kept
from cmad.students.students import Recipe, train_students
from cmad.teachers.teachers import Recipe as TeacherRecipe
from cmad.teachers.teachers import make_teachers
from cmad.training.checkpoint import load_network, save_difference, save_network
from cmad.training.difference import from_difference, to_difference
from tests.generators.splits import CPU
from tests.generators.tokens import TokenWorld

RATIOS = (0.5, 1.0)
ROWS = (Entry("cmad"), Entry("tea"), customised("umdf"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TokenWorld:
    made = TokenWorld(tmp_path_factory.mktemp("tokens"))
    assert made.cache.outputs.shape[0] == 40
    return made


def train(world: TokenWorld, target: Path, weights: Any, rows: Sequence[Entry] = ROWS, seed: int = 0) -> Path:
    for row in rows:
        method = row.system or row.name
        recipe = Recipe(
            method=method,
            options=world.preset.systems.get(method, {}),
            network=world.preset.network,
            student=replace(world.preset.student, epochs=1, warmup=1),
            keep=Keep(weights, RATIOS, seed),
            seeds=(0,),
            threads=1,
            device="cpu",
            precision="float32",
        )
        train_students(
            recipe, world.folder / "store", world.folder / "teacher", target / row.name, row.customised
        )
    return target


def inputs(world: TokenWorld, students: Path, ratios: tuple[float, ...] = RATIOS, seed: int = 0) -> Inputs:
    # One size of batches, so that the same network gives the same bits.
    evaluate = replace(world.preset.evaluate, drop_ratios=ratios, seed=seed, batch=world.preset.student.batch)
    return Inputs(
        store=world.store,
        network=world.preset.network,
        student=world.preset.student,
        systems=world.preset.systems,
        evaluate=evaluate,
        students=students,
        seeds=(0,),
        device=CPU,
    )


def predicted(world: TokenWorld, students: Path, **changes: Any) -> dict[str, Predicted]:
    return predict_all(inputs(world, students, **changes), world.folder / "teacher", ROWS)


@pytest.fixture(scope="module")
def kept(world: TokenWorld, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kept")
    return {weights: train(world, folder / weights, weights) for weights in ("full", "difference", "none")}


Found = dict[str, tuple[dict[str, Predicted], dict[str, pd.DataFrame]]]


@pytest.fixture(scope="module")
def found(world: TokenWorld, kept: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Found:
    """By what was kept: predictions, and the tables made of them."""
    made: Found = {}
    for weights, students in kept.items():
        folder, of_rows = tmp_path_factory.mktemp(weights), predicted(world, students)
        write_evaluation(folder, inputs(world, students), ROWS, of_rows)
        made[weights] = of_rows, {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}
    return made


def test_predictions_alone_give_the_same_tables(found: Found, kept: dict[str, Path]) -> None:
    whole, none = found["full"][1], found["none"][1]
    assert set(whole) == set(none)
    scored = {"rows", "scores", "classes", "drop_ratios", "consistency", "differences"}
    assert set(whole) == scored | {"pairs", "projection", "scatter", "reliability", "confusion"}
    for name, table in whole.items():
        pd.testing.assert_frame_equal(table, none[name])
    files = {path.name for path in (kept["none"] / "umdf_customised").iterdir()}
    assert files == {"log.csv", *(f"seed-0-{c}.npz" for c in COMBINATIONS)}


def test_differences_give_the_same_predictions_closely(found: Found) -> None:
    whole, cut = found["full"][0], found["difference"][0]
    for name, of_row in whole.items():
        np.testing.assert_allclose(cut[name].outputs, of_row.outputs, rtol=0, atol=1e-5)
        np.testing.assert_allclose(cut[name].dropped, of_row.dropped, rtol=0, atol=1e-5)
        assert cut[name].parameters == of_row.parameters


def test_differences_give_the_same_scores(found: Found) -> None:
    whole, cut = found["full"][1], found["difference"][1]
    for name in ("scores", "drop_ratios", "consistency"):
        without = [each[name].drop(columns="value") for each in (cut, whole)]
        pd.testing.assert_frame_equal(without[0], without[1])
        # What one epoch leaves hardly varies over the samples, and a correlation divides by that.
        unstable = whole[name]["metric"].isin(["correlation", "sims"])
        for rows, tolerance in ((~unstable, 1e-5), (unstable, 5e-3)):
            ours, theirs = cut[name]["value"][rows], whole[name]["value"][rows]
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


def test_a_difference_is_half_as_large_as_its_encoder(kept: dict[str, Path]) -> None:
    states = {
        w: torch.load(kept[w] / "cmad" / "seed-0.pt", weights_only=True)["state"]
        for w in ("full", "difference")
    }
    for name, value in states["difference"].items():
        whole = states["full"][name]
        half = name.startswith("encoder.") and whole.is_floating_point()
        assert value.dtype == (torch.float16 if half else whole.dtype)
        if not half:
            assert torch.equal(value, whole)


def test_what_half_precision_loses_is_bounded() -> None:
    rng = torch.Generator().manual_seed(0)
    base = {"weight": torch.randn(5000, generator=rng)}
    for spread in (1e-7, 1e-4, 1e-2, 10.0):
        moved = spread * torch.randn(5000, generator=rng)
        state = {"encoder.weight": base["weight"] + moved, "weight": torch.ones(2)}
        found = from_difference(to_difference(state, base), base)
        moved = state["encoder.weight"] - base["weight"]
        bound = (
            torch.maximum(moved.abs() * 2**-11, torch.tensor(3e-8)) + 2**-23 * state["encoder.weight"].abs()
        )
        assert ((found["encoder.weight"] - state["encoder.weight"]).abs() <= bound).all()
        assert torch.equal(found["weight"], state["weight"])
    with pytest.raises(UserError, match=r"encoder\.weight is too far .*; set keep\.weights: full"):
        to_difference({"encoder.weight": torch.full((2,), 1e5)}, {"weight": torch.zeros(2)})


def test_without_an_encoder_the_difference_is_the_whole(world: TokenWorld, tmp_path: Path) -> None:
    bare = replace(world.store, encoder=None)
    state = {"weight": torch.ones(3)}
    for name, save in (("a", save_network), ("b", save_difference)):
        (tmp_path / name).mkdir()
        save(tmp_path / name / "seed-0.pt", state, world.preset.network, bare)
    assert (tmp_path / "a/seed-0.pt").read_bytes() == (tmp_path / "b/seed-0.pt").read_bytes()


def test_a_network_of_tokens_is_no_network_of_features(world: TokenWorld, kept: dict[str, Path]) -> None:
    path = kept["full"] / "cmad" / "seed-0.pt"
    with pytest.raises(UserError, match=r"trained for another encoder \(encoder .*, here None\)"):
        load_network(path, world.preset.network, replace(world.store, encoder=None), CPU)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ratios": (0.3, 0.5)}, "nothing was kept for drop ratio 0.3; add it to keep.drop_ratios and train"),
        ({"seed": 1}, "nothing was kept for seed 1 of the dropped frames; add it to keep.seed"),
    ],
)
def test_what_was_not_kept_is_refused_by_name(
    world: TokenWorld, kept: dict[str, Path], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        predicted(world, kept["none"], **changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fewer_ratios_than_kept_are_picked(world: TokenWorld, kept: dict[str, Path], found: Found) -> None:
    one = predicted(world, kept["none"], ratios=(1.0,))["cmad"]
    assert np.array_equal(one.dropped[:, 0], found["none"][0]["cmad"].dropped[:, 1])


def test_broken_and_foreign_predictions_are_refused(
    world: TokenWorld, kept: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "cmad").mkdir()
    whole = (kept["none"] / "cmad/seed-0.npz").read_bytes()
    path = tmp_path / "cmad/seed-0.npz"
    given = inputs(world, tmp_path)

    def refusal(changed: Inputs = given) -> str:
        with pytest.raises(UserError) as caught:
            predict_all(changed, world.folder / "teacher", ROWS[:1])
        assert "\n" not in str(caught.value)
        return str(caught.value)

    for content in (b"", b"garbage", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert "not readable predictions; delete it and run its stage again" in refusal()
    with path.open("wb") as file:
        np.savez(file, identity="[]", outputs=np.zeros(3))
    assert "not readable predictions" in refusal()
    path.write_bytes(whole)
    fewer = replace(world.store.splits["test"], ids=world.store.splits["test"].ids[:-1])
    store = replace(world.store, splits={**world.store.splits, "test": fewer})
    with pytest.raises(UserError, match="predictions of another network or data set"):
        load_kept(path, RATIOS, 0, world.preset.network, store)


def recipe_of(world: TokenWorld, existing: ExistingTeacher | None, **network: Any) -> TeacherRecipe:
    return TeacherRecipe(
        network=replace(world.preset.network, **network),
        teacher=replace(world.preset.teacher, checkpoint=existing, epochs=1),
        seeds=(0, 3),
        threads=1,
        device="cpu",
        precision="float32",
    )


def test_an_existing_teacher_serves_every_seed(world: TokenWorld, tmp_path: Path) -> None:
    path = world.folder / "teacher" / "seed-0.pt"
    existing = ExistingTeacher(str(path), sha256(path))
    make_teachers(recipe_of(world, existing), world.folder / "store", tmp_path / "teacher", "test")
    for seed in (0, 3):
        assert (tmp_path / f"teacher/seed-{seed}.pt").exists()
        state = torch.load(tmp_path / f"teacher/seed-{seed}.pt", weights_only=True)["state"]
        assert all(torch.equal(state[name], value) for name, value in world.teacher.state_dict().items())
        with np.load(tmp_path / f"teacher/train-{seed}.npz") as arrays:
            np.testing.assert_allclose(arrays["outputs"], world.cache.outputs.numpy(), rtol=0, atol=1e-6)
    log = pd.read_csv(tmp_path / "teacher/log.csv")
    assert log["seed"].tolist() == [0, 3]
    assert {"epoch", "loss", "dev_loss", "dev_f1_LAV"} <= set(log)
    assert log["loss"][0] == pytest.approx(float(world.cache.loss.nanmean()))


def test_a_teacher_may_be_a_difference(world: TokenWorld, tmp_path: Path) -> None:
    path = tmp_path / "teacher.pt"
    save_difference(path, world.teacher.state_dict(), world.preset.network, world.store)
    existing = ExistingTeacher(str(path), sha256(path))
    make_teachers(recipe_of(world, existing), world.folder / "store", tmp_path / "teacher", "test")
    loaded = load_network(tmp_path / "teacher/seed-3.pt", world.preset.network, world.store, CPU)
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, world.teacher.state_dict()[name], rtol=0, atol=1e-5)


def test_a_teacher_that_may_not_be_read_is_named(
    world: TokenWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.folder / "teacher" / "seed-0.pt"

    def refused(_: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("cmad.teachers.teachers.sha256", refused)
    existing = ExistingTeacher(str(path), "0" * 64)
    with pytest.raises(UserError, match=r"seed-0\.pt cannot be read \(Permission denied\)"):
        make_teachers(recipe_of(world, existing), world.folder / "store", tmp_path / "teacher", "test")


def test_a_teacher_that_does_not_fit_is_refused_by_what_differs(world: TokenWorld, tmp_path: Path) -> None:
    path = world.folder / "teacher" / "seed-0.pt"
    right = ExistingTeacher(str(path), sha256(path))

    def refusal(existing: ExistingTeacher, **network: Any) -> str:
        with pytest.raises(UserError) as caught:
            make_teachers(
                recipe_of(world, existing, **network), world.folder / "store", tmp_path / "teacher", "test"
            )
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "teacher").exists()
        return str(caught.value)

    assert "there is no file" in refusal(replace(right, path=str(tmp_path / "none.pt")))
    assert f"is {right.sha256}, not {'0' * 64}" in refusal(replace(right, sha256="0" * 64))
    message = refusal(right, width=16, depth=2)
    assert "network.width 8, here 16; network.depth 1, here 2" in message
    assert message.endswith("change the preset to match, or set teacher.checkpoint: null")
    torch.save({"weights": 1}, tmp_path / "other.pt")
    other = ExistingTeacher(str(tmp_path / "other.pt"), sha256(tmp_path / "other.pt"))
    assert "not a checkpoint of this project" in refusal(other)
