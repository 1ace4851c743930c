"""The demo sets against independent computations of the same Gaussian model."""

from math import erf, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from cmad.combinations import COMBINATIONS, MASKS, MODALITIES, contained
from cmad.config.schema import Generator
from cmad.raw import demo
from cmad.raw.check import presence
from cmad.raw.raw_data import RawData
from cmad.task import Kind

KINDS: tuple[Kind, ...] = ("regression", "classes", "binary")


def generator(
    seed: int = 0, train: int = 60, dev: int = 20, test: int = 30, missing: float = 0.2
) -> Generator:
    return Generator(seed, train, dev, test, missing, missing)


@pytest.fixture(scope="module")
def large() -> dict[Kind, RawData]:
    return {kind: demo.generate(generator(seed=7, test=20000), kind) for kind in KINDS}


def frames(raw: RawData, modality: str, sample: int) -> NDArray[np.float64]:
    stream = raw.streams[modality]
    start = int(stream.lengths[:sample].sum())
    return stream.features[start : start + stream.lengths[sample]].astype(np.float64)


def observed(raw: RawData, combination: int, sample: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All observed numbers of one sample, stacked, and their loading on z."""
    values, loadings = [], []
    for m in np.array(MODALITIES)[MASKS[combination]]:
        x = frames(raw, m, sample)
        values.append(x.ravel())
        loadings.append(np.tile(demo.loading(m), (len(x), 1)))
    return np.concatenate(values), np.concatenate(loadings)


def ceiling(raw: RawData) -> NDArray[np.float64]:
    assert raw.ceiling is not None
    return raw.ceiling


def pairs(raw: RawData) -> list[tuple[int, int]]:
    """Some (sample, combination) that exist, every combination among them."""
    has = contained(presence(raw))
    return [(i, c) for c in range(7) for i in np.flatnonzero(has[:, c])[:4]]


def test_regression_ceiling_is_gaussian_conditioning_on_all_frames() -> None:
    raw = demo.generate(generator(), "regression")
    for i, c in pairs(raw):
        x, w = observed(raw, c, i)
        # E[y | x] = cov(y, x) var(x)^-1 x, on the full covariance of every observed number.
        expected = demo.SCORE @ w.T @ np.linalg.solve(w @ w.T + np.eye(len(x)), x)
        assert ceiling(raw)[i, c, 0] == pytest.approx(expected, abs=1e-9)


def test_class_ceiling_is_the_conditional_distribution_of_the_score() -> None:
    raw = demo.generate(generator(), "classes")
    for i, c in pairs(raw):
        x, w = observed(raw, c, i)
        gain = demo.SCORE @ w.T @ np.linalg.inv(w @ w.T + np.eye(len(x)))
        mean, deviation = gain @ x, sqrt(demo.SCORE @ demo.SCORE - gain @ w @ demo.SCORE)
        low, high = (0.5 * (1 + erf((t - mean) / deviation / sqrt(2))) for t in demo.THRESHOLDS)
        np.testing.assert_allclose(np.exp(ceiling(raw)[i, c]), [low, high - low, 1 - high], atol=1e-8)


@pytest.mark.parametrize("kind", ["classes", "binary"])
def test_probabilities_agree_with_a_monte_carlo_posterior(kind: Kind) -> None:
    """Importance weights over prior draws; audio and vision are weak enough for that."""
    raw = demo.generate(generator(train=12, dev=2, test=2, missing=0.0), kind)
    z = np.random.default_rng(1).standard_normal((200_000, 4))
    for i, c in ((0, 1), (1, 2), (2, 5)):
        x, w = observed(raw, c, i)
        # log N(x; W z, I) up to a constant.
        log_weights = z @ (w.T @ x) - 0.5 * np.einsum("ni,ij,nj->n", z, w.T @ w, z)
        weights = np.exp(log_weights - log_weights.max())
        weights /= weights.sum()
        if kind == "classes":
            drawn = np.searchsorted(demo.THRESHOLDS, z @ demo.SCORE)
            expected = np.array([weights[drawn == k].sum() for k in range(3)])
        else:
            p = weights @ (z @ demo.LABEL_WEIGHTS.T > 0)
            expected = np.stack([1 - p, p], axis=1).ravel()
        error = 5 * np.sqrt((weights**2).sum())
        assert error < 0.1
        np.testing.assert_allclose(np.exp(ceiling(raw)[i, c]), expected, atol=error)


def test_log_probabilities_are_finite_and_normalised(large: dict[Kind, RawData]) -> None:
    kinds: tuple[tuple[Kind, int], ...] = (("classes", 1), ("binary", 4))
    for kind, records in kinds:
        raw = large[kind]
        outputs = ceiling(raw)[contained(presence(raw))].reshape(-1, records, 3 if kind == "classes" else 2)
        assert np.isfinite(outputs).all()
        np.testing.assert_allclose(np.exp(outputs).sum(-1), 1, atol=1e-12)


def test_log_probabilities_stay_exact_far_out() -> None:
    """A score of 40 deviations above the thresholds: no rounding to log 0, no wrong order."""
    mean = np.zeros((1, 7, 4))
    mean[..., 2] = 20.0
    outputs = demo.ceiling(mean, np.broadcast_to(np.eye(4) * 0.05, (1, 7, 4, 4)), "classes")
    assert np.isfinite(outputs).all()
    negative, neutral, positive = outputs[0, 0]
    assert negative <= neutral < positive == pytest.approx(0, abs=1e-12)
    mirrored = demo.ceiling(-mean, np.broadcast_to(np.eye(4) * 0.05, (1, 7, 4, 4)), "classes")
    np.testing.assert_allclose(mirrored[0, 0], [positive, neutral, negative], rtol=1e-9)


def test_no_scaling_or_shift_of_the_ceiling_does_better(large: dict[Kind, RawData]) -> None:
    raw = large["regression"]
    for c in range(7):
        best = ceiling(raw)[:, c, 0]
        ok = ~np.isnan(best)
        best, y = best[ok], raw.labels[ok]
        error = np.abs(best - y).mean()
        accuracy = ((best > 0) == (y > 0)).mean()
        for scale, shift in ((0.8, 0), (1.25, 0), (1, 0.2), (1, -0.2)):
            assert np.abs(scale * best + shift - y).mean() > error
        for shift in (0.3, -0.3):
            assert ((best + shift > 0) == (y > 0)).mean() < accuracy


@pytest.mark.parametrize("kind", ["classes", "binary"])
def test_probabilities_are_calibrated_and_beat_perturbed_ones(kind: Kind, large: dict[Kind, RawData]) -> None:
    raw = large[kind]
    rng = np.random.default_rng(0)
    for c in range(7):
        outputs = ceiling(raw)[:, c]
        ok = ~np.isnan(outputs[:, 0])
        logs = outputs[ok].reshape(ok.sum(), -1, 3 if kind == "classes" else 2)
        truth = raw.labels[ok].reshape(ok.sum(), -1)

        def nll(logs: NDArray[np.float64], truth: NDArray[np.int64] = truth) -> float:
            normal = logs - np.log(np.exp(logs).sum(-1, keepdims=True))
            return float(-np.take_along_axis(normal, truth[..., None], -1).mean())

        assert nll(logs) < nll(0.7 * logs)
        assert nll(logs) < nll(1.4 * logs)
        assert nll(logs) < nll(logs + rng.normal(0, 0.5, logs.shape))
        confident = np.exp(logs.max(-1)).mean()
        assert (logs.argmax(-1) == truth).mean() == pytest.approx(confident, abs=0.015)


def test_strengths_of_the_combinations(large: dict[Kind, RawData]) -> None:
    raw = large["regression"]
    accuracy = {}
    for c, name in enumerate(COMBINATIONS):
        y_hat = ceiling(raw)[:, c, 0]
        ok = ~np.isnan(y_hat)
        accuracy[name] = float(((y_hat[ok] > 0) == (raw.labels[ok] > 0)).mean())
    wanted = {
        "L": (0.86, 0.90),
        "A": (0.66, 0.70),
        "V": (0.64, 0.68),
        "AV": (0.74, 0.78),
        "LAV": (0.90, 0.93),
    }
    assert {name: low <= accuracy[name] <= high for name, (low, high) in wanted.items()} == dict.fromkeys(
        wanted, True
    ), accuracy
    # Audio and vision complement each other, and language too.
    assert accuracy["AV"] > max(accuracy["A"], accuracy["V"]) + 0.05
    assert accuracy["L"] < min(accuracy["LA"], accuracy["LV"])
    assert max(accuracy["LA"], accuracy["LV"]) < accuracy["LAV"]


def test_score_is_gaussian_with_deviation_one_and_a_half(large: dict[Kind, RawData]) -> None:
    y = large["regression"].labels / 1.5
    assert y.mean() == pytest.approx(0, abs=0.03)
    assert y.std() == pytest.approx(1, abs=0.02)
    assert np.mean(y**4) == pytest.approx(3, abs=0.2)
    assert pytest.approx(1.5**2) == demo.SCORE @ demo.SCORE


def test_the_twins_share_all_but_labels(large: dict[Kind, RawData]) -> None:
    first, *others = large.values()
    for other in others:
        assert (first.ids, first.splits, first.groups) == (other.ids, other.splits, other.groups)
        for m in MODALITIES:
            np.testing.assert_array_equal(first.streams[m].features, other.streams[m].features)
            np.testing.assert_array_equal(first.streams[m].lengths, other.streams[m].lengths)
    # Same latents too: the classes are the score, cut.
    np.testing.assert_array_equal(
        np.searchsorted(demo.THRESHOLDS, large["regression"].labels), large["classes"].labels
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_fixes_every_bit(kind: Kind) -> None:
    first, again, other = (demo.generate(generator(seed=seed), kind) for seed in (3, 3, 4))
    for m in MODALITIES:
        assert first.streams[m].features.tobytes() == again.streams[m].features.tobytes()
    assert first.labels.tobytes() == again.labels.tobytes()
    assert ceiling(first).tobytes() == ceiling(again).tobytes()
    assert first.labels.tobytes() != other.labels.tobytes()


def test_the_missing_share_leaves_other_samples_as_they_are() -> None:
    full = demo.generate(generator(missing=0.0), "regression")
    raw = demo.generate(generator(missing=0.5), "regression")
    assert presence(full).all()
    has = presence(raw)
    assert has[:, 0].all()
    assert 0.3 < has[:, 1].mean() < 0.7
    assert 0.3 < has[:, 2].mean() < 0.7
    assert (has[:, 1] != has[:, 2]).any()
    for i in np.flatnonzero(has[:, 1])[:5]:
        np.testing.assert_array_equal(frames(raw, "audio", i), frames(full, "audio", i))


def test_shapes_lengths_and_missing_combinations() -> None:
    for kind, k in zip(KINDS, (1, 3, 8), strict=True):
        raw = demo.generate(generator(), kind)
        assert ceiling(raw).shape == (110, 7, k)
        np.testing.assert_array_equal(np.isnan(ceiling(raw)).any(-1), ~contained(presence(raw)))
        np.testing.assert_array_equal(np.isnan(ceiling(raw)).all(-1), ~contained(presence(raw)))
        assert len(set(raw.ids)) == 110
        for m in MODALITIES:
            lengths = raw.streams[m].lengths
            assert raw.streams[m].features.shape == (lengths.sum(), demo.WIDTHS[m])
            low, high = demo.LENGTHS[m]
            assert set(lengths) <= {0, *range(low, high + 1)}
            assert len(set(lengths)) > 5
