"""The training loop, teacher and students, on small generated data."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from cmad.combinations import COMBINATIONS, FULL, MASKS, SAMPLERS, contained, draw_combinations
from cmad.computing.randomness import torch_seeded
from cmad.config.load import load
from cmad.config.schema import Network, Preset, Student
from cmad.config.schema import Optimiser as ConfigOptimiser
from cmad.errors import UserError
from cmad.losses.task import task_loss
from cmad.network.predictions import predict_combinations
from cmad.preprocessing.prepare import prepare_store
from cmad.scores.metrics import scores
from cmad.store.store import Split, Store, open_store
from cmad.students.student import create_method, train_student
from cmad.teachers.teacher import train_teacher
from cmad.training.checkpoint import build_network, load_network, save_network
from cmad.training.fit import Fitted
from cmad.training.judge import student_judge
from cmad.training.optimiser import create_optimiser, learning_rate
from cmad.training.teacher_cache import TeacherCache, load_cache, save_cache, teacher_cache
from tests.project import ROOT, run, small_params, write_params

CPU = torch.device("cpu")
SEVEN = range(7)


class World:
    """A store, a preset and a trained teacher, on a device."""

    def __init__(self, folder: Path, name: str, device: torch.device = CPU) -> None:
        self.device = device
        folder.mkdir(exist_ok=True)
        write_params(folder, small_params())
        self.preset: Preset = load(folder / "params.yaml").presets[name]
        prepare_store(folder / "none", self.preset.preprocess, folder / name)
        self.store: Store = open_store(folder / name)
        self.fitted = train_teacher(
            self.store, self.preset.network, self.preset.teacher, 0, "teacher", device
        )
        save_network(folder / "teacher.pt", self.fitted.state, self.preset.network, self.store)
        self.teacher = load_network(folder / "teacher.pt", self.preset.network, self.store, device)
        self.cache = teacher_cache(self.teacher, self.store.splits["train"], self.store.task, 16, device)

    def train(
        self, method: str = "cmad", seed: int = 0, combination: int | None = None, **changes: Any
    ) -> Fitted:
        student = replace(self.preset.student, **changes)
        return self.fit(method, self.store, student, seed, combination)

    def fit(
        self,
        method: str,
        store: Store,
        student: Student,
        seed: int = 0,
        combination: int | None = None,
        cache: TeacherCache | None = None,
    ) -> Fitted:
        options = self.preset.systems.get(method, {})
        network = self.preset.network
        created = create_method(
            method, store, network, student, options, self.teacher, combination, seed, self.device
        )
        cache = cache or self.cache
        return train_student(created, store, student, cache, combination, seed, "test", self.device)


@pytest.fixture(scope="module", params=["demo", "demo_classes", "demo_binary4"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), request.param)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("demo"), "demo")


def same(a: Fitted, b: Fitted) -> bool:
    weights = all(torch.equal(a.state[k], b.state[k]) for k in a.state)
    return weights and repr(a.log) == repr(b.log)


@pytest.mark.parametrize("method", ["dropout", "cmad"])
def test_same_seed_gives_the_same_bits_and_another_does_not(world: World, method: str) -> None:
    first = world.train(method)
    torch.rand(7)  # whatever ran before does not matter
    assert same(first, world.train(method))
    assert not same(first, world.train(method, seed=1))


def test_training_leaves_the_default_generator_alone(demo: World) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    demo.train("cmad")
    assert torch.equal(before, torch.get_rng_state())


def test_log_has_a_row_per_epoch_with_terms_scores_and_weights(world: World) -> None:
    log = world.train("cmad").log
    assert [row["epoch"] for row in log] == [0, 1]
    expected = {"learning_rate", "loss", "loss_task", "loss_cafd", "loss_auxiliary", "dev_f1"}
    expected |= {f"{k}_{c}" for k in ("w", "psi", "psi_t", "dev_f1") for c in COMBINATIONS}
    assert expected <= set(log[0])
    for row in log:
        assert row["loss"] == pytest.approx(row["loss_task"] + row["loss_cafd"] + row["loss_auxiliary"])


def test_the_epoch_kept_is_the_best_on_dev(demo: World) -> None:
    fitted = demo.train("cmad", epochs=6)
    network = build_network(demo.preset.network, demo.store)
    network.load_state_dict(fitted.state)
    dev = demo.store.splits["dev"]
    score, _ = student_judge(network, dev, demo.store.task, SEVEN, SEVEN, 16, CPU)(0)
    assert score == max(row["dev_f1"] for row in fitted.log)


def test_selection_weighs_combinations_by_their_dev_samples(demo: World) -> None:
    dev = demo.store.splits["dev"]
    outputs = predict_combinations(demo.teacher, dev, 16, CPU).outputs
    total, weight = 0.0, 0
    for j, have in enumerate(contained(dev.has).T):
        total += scores(demo.store.task, outputs[j, have], dev.labels[have])["f1"] * have.sum()
        weight += have.sum()
    average, _ = student_judge(demo.teacher, dev, demo.store.task, SEVEN, SEVEN, 16, CPU)(0)
    full, columns = student_judge(demo.teacher, dev, demo.store.task, (FULL,), SEVEN, 16, CPU)(0)
    assert average == pytest.approx(total / weight)
    assert full == columns["dev_f1_LAV"]


@pytest.mark.parametrize(
    ("system", "combination"),
    [
        *((name, None) for name in ("dropout", "cmad", "mmanet", "mplmm", "umdf", "umdf_full", "corrkd")),
        *((name, 4) for name in ("mplmm", "umdf", "umdf_full", "corrkd")),
    ],
)
def test_training_never_touches_test(
    demo: World, monkeypatch: pytest.MonkeyPatch, system: str, combination: int | None
) -> None:
    splits = {name: split for name, split in demo.store.splits.items() if name != "test"}
    blind = replace(demo.store, splits=splits)
    monkeypatch.setattr(demo, "store", blind)
    demo.train(system, combination=combination, epochs=2, warmup=1)


def test_a_teachers_training_never_touches_test(demo: World) -> None:
    splits = {name: split for name, split in demo.store.splits.items() if name != "test"}
    blind = replace(demo.store, splits=splits)
    teacher = replace(demo.preset.teacher, epochs=2)
    train_teacher(blind, demo.preset.network, teacher, 0, "test", CPU)


def test_teacher_cache_equals_the_teacher_run_on_full_input(world: World, tmp_path: Path) -> None:
    train = world.store.splits["train"]
    outputs = predict_combinations(world.teacher, train, 7, CPU)
    complete = train.complete
    torch.testing.assert_close(world.cache.outputs[complete].numpy(), outputs.outputs[FULL, complete])
    loss = task_loss(
        world.store.task, world.cache.outputs[complete], torch.from_numpy(train.labels[complete])
    )
    torch.testing.assert_close(world.cache.loss[complete].flatten(), loss)
    assert world.cache.loss[~complete].isnan().all()
    save_cache(tmp_path / "cache.npz", world.cache)
    loaded = load_cache(tmp_path / "cache.npz", CPU)
    assert torch.equal(loaded.outputs.nan_to_num(), world.cache.outputs.nan_to_num())


@pytest.mark.parametrize("half", [False, True])
def test_unreadable_cache_is_named(world: World, tmp_path: Path, half: bool) -> None:
    save_cache(tmp_path / "cache.npz", world.cache)
    whole = (tmp_path / "cache.npz").read_bytes()
    (tmp_path / "cache.npz").write_bytes(whole[: len(whole) // 2] if half else b"no zip")
    with pytest.raises(UserError, match=r"cache\.npz: not readable teacher outputs; run the teacher stage"):
        load_cache(tmp_path / "cache.npz", CPU)


def test_tea_is_the_teacher(demo: World) -> None:
    fitted = demo.train("tea")
    assert fitted.log == []
    assert all(torch.equal(fitted.state[k], v) for k, v in demo.teacher.state_dict().items())


def without(split: Split, modality: int) -> Split:
    """A split in which no sample has one modality."""
    name = ("language", "audio", "vision")[modality]
    has = split.has.copy()
    has[:, modality] = False
    return replace(split, has=has, lengths={**split.lengths, name: np.zeros_like(split.lengths[name])})


def test_teacher_needs_a_complete_sample(demo: World) -> None:
    splits = {**demo.store.splits, "train": without(demo.store.splits["train"], 2)}
    with pytest.raises(UserError, match="no sample of the train split has all three modalities"):
        train_teacher(
            replace(demo.store, splits=splits), demo.preset.network, demo.preset.teacher, 0, "teacher", CPU
        )


def test_teacher_learns_from_incomplete_samples_only_when_told(demo: World) -> None:
    def trained(use: bool, store: Store) -> Fitted:
        teacher = replace(demo.preset.teacher, use_incomplete=use)
        return train_teacher(store, demo.preset.network, teacher, 0, "teacher", CPU)

    train = demo.store.splits["train"]
    labels = train.labels.copy()
    labels[~train.complete] += 1.0
    changed = replace(demo.store, splits={**demo.store.splits, "train": replace(train, labels=labels)})
    assert (~train.complete).any()
    assert same(trained(False, demo.store), trained(False, changed))
    assert not same(trained(True, demo.store), trained(True, changed))


def test_students_of_a_batch_without_complete_samples_still_learn(demo: World) -> None:
    splits = {**demo.store.splits, "train": without(demo.store.splits["train"], 2)}
    cache = teacher_cache(demo.teacher, splits["train"], demo.store.task, 16, CPU)
    fitted = demo.fit("cmad", replace(demo.store, splits=splits), demo.preset.student, cache=cache)
    assert np.isfinite([row["loss"] for row in fitted.log]).all()
    assert "loss_cafd" not in fitted.log[0]


def test_mar_weights_are_fixed_at_epoch_g(demo: World) -> None:
    log = demo.train("cmad", epochs=5, warmup=2).log
    psi = [[row[f"psi_{c}"] for c in COMBINATIONS] for row in log]
    assert psi[0] != psi[1] == psi[2] == psi[3] == psi[4]
    assert max(psi[1]) == pytest.approx(demo.preset.student.rho)


def test_variants_agree_until_their_difference_matters(demo: World) -> None:
    plain, t, weakest = (
        demo.train("cmad", epochs=3, warmup=2, **changes)
        for changes in ({}, {"subtract_teacher": False}, {"weights": "weakest"})
    )
    assert [row["loss"] for row in plain.log[:2]] == [row["loss"] for row in t.log[:2]]
    assert len({fitted.log[2]["loss"] for fitted in (plain, t, weakest)}) == 3


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"sigma": 0.0}, "loss_cafd"),
        ({"gamma": 0.0}, "loss_auxiliary"),
        ({"task_weight": 0.0}, "loss_task"),
    ],
)
def test_a_factor_of_zero_takes_its_term_out(demo: World, change: dict[str, Any], gone: str) -> None:
    terms = {name for name in demo.train("cmad", **change).log[0] if name.startswith("loss_")}
    assert terms == {"loss_task", "loss_cafd", "loss_auxiliary"} - {gone}


def test_cmad_without_its_terms_is_dropout(demo: World) -> None:
    bare = demo.train("cmad", sigma=0.0, gamma=0.0, weigh="none")
    plain = demo.train("dropout")
    assert all(torch.equal(bare.state[k], plain.state[k]) for k in plain.state)


@pytest.mark.parametrize("weigh", ["both", "task", "auxiliary", "none"])
def test_weigh_says_which_losses_psi_touches(demo: World, weigh: str) -> None:
    # One batch an epoch: the first weighted step starts from the same weights.
    calm = demo.train("cmad", epochs=2, warmup=1, batch=48, weigh="none").log[1]
    row = demo.train("cmad", epochs=2, warmup=1, batch=48, weigh=weigh).log[1]
    for term in ("task", "auxiliary"):
        assert (row[f"loss_{term}"] != calm[f"loss_{term}"]) == (weigh in ("both", term))


def test_applied_weights_are_one_until_epoch_g_and_then_the_variants_own(demo: World) -> None:
    log = demo.train("cmad", epochs=4, warmup=2, subtract_teacher=False).log
    for row in log[:2]:
        assert {row[f"applied_{c}"] for c in COMBINATIONS} == {1.0}
    for row in log[2:]:
        assert [row[f"applied_{c}"] for c in COMBINATIONS] == pytest.approx(
            [log[1][f"psi_t_{c}"] for c in COMBINATIONS]
        )


def test_dev_without_a_score_is_named(demo: World) -> None:
    dev = demo.store.splits["dev"]
    zero = replace(dev, labels=np.zeros_like(dev.labels))
    store = replace(demo.store, splits={**demo.store.splits, "dev": zero})
    for select in ("average", "full"):
        student = replace(demo.preset.student, select=select)
        with pytest.raises(UserError, match="test: dev gives no score to choose an epoch by"):
            demo.fit("dropout", store, student)


def test_dropout_off_is_the_authors_way(demo: World) -> None:
    assert not same(demo.train("dropout"), demo.train("dropout", dropout_off=True))


def test_a_loss_that_is_not_finite_is_named(demo: World) -> None:
    wild = replace(demo.preset.student.optimiser, learning_rate=1e30, clip=None)
    with pytest.raises(UserError, match=r"test: the training diverged in epoch \d; lower"):
        demo.train("dropout", optimiser=wild, epochs=6)


def test_outputs_that_are_not_finite_are_named(demo: World) -> None:
    # One step an epoch: the loss is that of the weights before it, and weights of 10^16 are finite.
    wild = replace(demo.preset.student.optimiser, learning_rate=1e16, clip=None)
    batch = len(demo.store.splits["train"])
    with pytest.raises(UserError, match="the network's outputs are not finite, its weights"):
        demo.train("dropout", optimiser=wild, epochs=1, batch=batch)


def test_an_epoch_is_not_chosen_by_a_score_without_a_bound(demo: World) -> None:
    dev = demo.store.splits["dev"]
    labels = np.where(np.arange(len(dev)) == np.flatnonzero(dev.complete)[0], 1e20, dev.labels)
    store = replace(
        demo.store,
        splits={**demo.store.splits, "dev": replace(dev, labels=labels.astype(np.float32))},
    )
    teacher = replace(demo.preset.teacher, select="dev_mse", epochs=1)
    with pytest.raises(UserError, match="test: dev gives no score to choose an epoch by"):
        train_teacher(store, demo.preset.network, teacher, 0, "test", CPU)


def test_methods_get_a_student_that_depends_on_the_seed_alone(demo: World) -> None:
    def start(seed: int) -> torch.Tensor:
        preset, store, teacher = demo.preset, demo.store, demo.teacher
        method = create_method("cmad", store, preset.network, preset.student, {}, teacher, None, seed, CPU)
        return method.network.classifier.weight

    assert torch.equal(start(3), start(3))
    assert not torch.equal(start(3), start(4))


def test_learning_rate_falls_by_ten_at_each_milestone(demo: World) -> None:
    settings = replace(demo.preset.student.optimiser, learning_rate=1.0, milestones=(2, 4))
    rates = [learning_rate(settings, epoch) for epoch in range(6)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_biases_and_bert_norms_are_not_decayed(demo: World) -> None:
    network = build_network(demo.preset.network, demo.store)
    optimiser = create_optimiser(network, replace(demo.preset.student.optimiser, weight_decay=0.5))
    decay = {id(weight): group.decay for group in optimiser.groups for weight in group.weights}
    named = dict(network.named_parameters())
    assert len(decay) == len(named)
    for name, parameter in named.items():
        assert decay[id(parameter)] == (0.0 if "bias" in name else 0.5), name


def test_drawn_combinations_are_subsets_with_the_right_chances() -> None:
    rng = np.random.default_rng(0)
    has = np.array([[True, True, True], [True, False, True], [False, True, False]]).repeat(60_000, axis=0)
    drawn = draw_combinations(has, SAMPLERS["authors"], rng)
    assert not (MASKS[drawn] & ~has).any()
    shares = np.bincount(drawn[:60_000], minlength=7) / 60_000
    assert shares == pytest.approx(SAMPLERS["authors"], abs=0.01)
    subset = np.bincount(drawn[60_000:120_000], minlength=7) / 60_000
    assert subset == pytest.approx(np.array([2, 0, 3, 0, 1, 0, 0]) / 6, abs=0.01)
    assert (drawn[120_000:] == COMBINATIONS.index("A")).all()


def test_checkpoints_round_trip_with_the_same_bytes(demo: World, tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        (tmp_path / name[0]).mkdir()
        save_network(tmp_path / name[0] / "seed-0.pt", demo.fitted.state, demo.preset.network, demo.store)
    assert (tmp_path / "a/seed-0.pt").read_bytes() == (tmp_path / "b/seed-0.pt").read_bytes()


def test_foreign_and_corrupt_checkpoints_are_refused_by_name(demo: World, tmp_path: Path) -> None:
    path = tmp_path / "seed-0.pt"

    def refusal(settings: Network = demo.preset.network) -> str:
        with pytest.raises(UserError) as caught:
            load_network(path, settings, demo.store, CPU)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such checkpoint" in refusal()
    path.write_bytes(b"garbage")
    assert "not a readable checkpoint" in refusal()
    torch.save({"weights": 1}, path)
    assert "not a checkpoint of this project" in refusal()
    torch.save(Trap(), path)
    assert "not a readable checkpoint" in refusal()
    save_network(path, demo.fitted.state, demo.preset.network, demo.store)
    whole = path.read_bytes()
    assert "trained for another network" in refusal(replace(demo.preset.network, width=16))
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a readable checkpoint" in refusal()
    broken = dict(demo.fitted.state)
    broken.pop("classifier.weight")
    save_network(path, broken, demo.preset.network, demo.store)
    assert "do not fit" in refusal()


class Trap:
    """What a malicious checkpoint would hold."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exit, ("unpickled",))


def test_a_customised_model_trains_selects_and_logs_its_combination_alone(demo: World) -> None:
    av = COMBINATIONS.index("AV")
    log = demo.train("dropout", combination=av).log
    assert {name for name in log[0] if name.startswith("dev_f1_")} == {"dev_f1_AV"}
    assert [row["dev_f1"] for row in log] == [row["dev_f1_AV"] for row in log]


def test_a_combination_that_no_sample_has_cannot_be_customised(demo: World) -> None:
    splits = {**demo.store.splits, "train": without(demo.store.splits["train"], 2)}
    store = replace(demo.store, splits=splits)
    with pytest.raises(UserError, match="no train or dev sample has LV; take the system out of customised"):
        demo.fit("dropout", store, demo.preset.student, combination=COMBINATIONS.index("LV"))


@pytest.mark.parametrize("clip", [1e-3, 0.5, 1e6])
def test_clipping_is_torchs_own(clip: float) -> None:
    """Where it cuts, and where there is nothing to cut."""
    settings = ConfigOptimiser(
        name="adamw", learning_rate=0.01, weight_decay=0.1, milestones=(), clip=clip, renew_each_epoch=False
    )
    found = []
    for own in (True, False):
        with torch_seeded(0, "test"):
            # The second has no gradient.
            network = nn.ModuleList([nn.Linear(5, 5), nn.Linear(5, 5)])
        optimiser = create_optimiser(network, settings)
        for step in range(3):
            network.zero_grad()
            network[0](torch.full((4, 5), 1.0 + step)).square().sum().backward()
            if own:
                optimiser.step(clip)
            else:
                nn.utils.clip_grad_norm_(network.parameters(), clip)
                optimiser.step()
        found.append(network.state_dict())
    for key, weight in found[0].items():
        assert torch.allclose(weight, found[1][key], rtol=1e-6, atol=1e-8), key


@pytest.mark.parametrize(("name", "stock"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimiser_is_torchs_own_to_the_bit(
    name: Literal["adam", "adamw"], stock: type[torch.optim.Adam]
) -> None:
    settings = ConfigOptimiser(
        name=name, learning_rate=0.01, weight_decay=0.1, milestones=(), clip=None, renew_each_epoch=False
    )
    networks = []
    for own in (True, False):
        with torch_seeded(0, "test"):
            # The second layer has no gradient every other time.
            first, second = nn.Linear(5, 5), nn.Linear(5, 5)
        network = nn.ModuleList([first, second])
        ours = create_optimiser(network, settings)
        decays = [{"params": [each.weight for each in (first, second)], "weight_decay": 0.1}]
        decays.append({"params": [each.bias for each in (first, second)], "weight_decay": 0.0})
        theirs = stock(decays, lr=0.01, betas=(0.9, 0.999), eps=1e-8, fused=True)
        for step in range(6):
            network.zero_grad()
            rate = 0.01 if step < 3 else 0.002
            ours.rate = rate
            for group in theirs.param_groups:
                group["lr"] = rate
            inputs = torch.from_numpy(np.random.default_rng(step).normal(size=(9, 5))).float()
            outputs = first(inputs) if step % 2 else second(first(inputs))
            outputs.square().sum().backward()
            if own and step == 4:
                # Kept and taken up by another.
                kept, ours = ours.state_dict(), create_optimiser(network, settings)
                ours.load_state_dict(kept)
                ours.rate = rate
            (ours if own else theirs).step()
        networks.append(network.state_dict())
    assert all(torch.equal(networks[0][key], networks[1][key]) for key in networks[0])


def test_a_training_does_not_import_torchs_compiler(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.test_training import World; "
        f"World(Path({str(tmp_path)!r}), 'demo').train('cmad'); "
        "print(sorted({'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules)))"
    )
    assert run(ROOT, sys.executable, "-c", script).splitlines()[-1] == "[]"
