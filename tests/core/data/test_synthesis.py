"""New rows of a table: like the training rows, within them, not copies of them; and the numbers that say so."""

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances

from nnlab.core.data.steps.registries import SYNTHESIZERS
from nnlab.core.data.synthesis import Sample, quality
from nnlab.core.data.synthesis.coding import fit_coding, gumbel, one_hot
from nnlab.core.data.synthesis.copula import normal_scores
from nnlab.core.data.synthesis.ctgan import Conditions
from nnlab.core.data.synthesis.quality import column_distances, median_to_closest, share_of_copies
from nnlab.core.errors import DataError

QUICK = {"copula": {}, "tvae": {"epochs": 2}, "ctgan": {"epochs": 2}}


def rng(seed=0):
    return np.random.default_rng(seed)


def of(numbers=None, codes=None, levels=()):
    n = len(numbers) if numbers is not None else len(codes)
    numbers = np.asarray(numbers if numbers is not None else np.empty((n, 0)), float).reshape(n, -1)
    codes = np.asarray(codes if codes is not None else np.empty((n, 0)), np.int64).reshape(n, -1)
    return Sample(
        numbers,
        codes,
        tuple(levels),
        tuple(f"x{j}" for j in range(numbers.shape[1])),
        tuple(f"c{j}" for j in range(codes.shape[1])),
    )


def table(n, seed=0):
    """Two correlated numbers, two bumps with blanks, counts; a skewed category with blanks, a class of the numbers."""
    r = rng(seed)
    x = r.normal(size=n)
    y = 0.8 * x + 0.6 * r.normal(size=n)
    bumps = np.where(r.random(n) < 0.7, r.normal(-3, 0.3, n), r.normal(3, 0.3, n))
    bumps[r.random(n) < 0.2] = np.nan
    kind = r.choice([-1, 0, 1, 3], n, p=[0.1, 0.6, 0.25, 0.05])
    return of(np.c_[x, y, bumps, r.poisson(4, n)], np.c_[kind, y > 0], (4, 2))


def make(name, sample, seed=1, **values):
    return SYNTHESIZERS[name].make(sample, rng(seed), **values)


def test_names_and_rows():
    assert set(SYNTHESIZERS) == {"none", "copula", "tvae", "ctgan"}
    sample = table(60)
    assert len(make("none", sample)) == 0
    for name, values in QUICK.items():
        assert [len(make(name, sample, rows=rows, **values)) for rows in (0.0, 0.5, 1.5)] == [0, 30, 90]


@pytest.mark.parametrize("name", QUICK)
def test_new_rows_stay_within_what_was_seen(name):
    sample = table(200)
    new = make(name, sample, rows=3.0, **QUICK[name])
    assert new.numbers.shape == (600, 4) and new.numbers.dtype == np.float64
    assert new.codes.shape == (600, 2) and new.codes.dtype == np.int64
    assert (np.nanmin(new.numbers, 0) >= np.nanmin(sample.numbers, 0)).all()
    assert (np.nanmax(new.numbers, 0) <= np.nanmax(sample.numbers, 0)).all()
    assert (new.numbers[:, 3] == np.round(new.numbers[:, 3])).all()
    assert set(new.codes[:, 0]) <= {-1, 0, 1, 3}  # level 2 has no rows
    assert np.isnan(new.numbers[:, 2]).any() and not np.isnan(np.delete(new.numbers, 2, 1)).any()
    assert share_of_copies(new, sample) == 0.0


@pytest.mark.parametrize("name", QUICK)
def test_the_seed_decides_and_the_users_random_numbers_go_on(name):
    sample = table(60)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = make(name, sample, **QUICK[name])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            again = make(name, sample, **QUICK[name])
    finally:
        torch.set_default_dtype(torch.float32)
    other = make(name, sample, seed=2, **QUICK[name])
    np.testing.assert_array_equal(first.numbers, again.numbers)
    np.testing.assert_array_equal(first.codes, again.codes)
    assert not np.array_equal(first.numbers, other.numbers, equal_nan=True)


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize(
    "sample",
    [
        of([[1.5]], [[0]], (1,)),
        of([[1.0], [2.0]]),
        of(codes=[[0], [1], [-1]], levels=(5,)),
        of(np.full((12, 1), np.nan), np.full((12, 1), -1), (3,)),
        of(np.c_[np.full(12, 7.0), np.linspace(-1e300, 1e300, 12), np.linspace(0, 1e-300, 12)]),
        of(np.c_[np.r_[np.zeros(11), 1e12], np.r_[np.nan, np.arange(11)]], np.arange(12), (12,)),
    ],
    ids=["one row", "two rows", "codes only", "all missing", "constant, huge, tiny", "outlier, keys"],
)
def test_odd_tables(name, sample):
    new = make(name, sample, rows=4.0, **QUICK[name])
    assert len(new) == 4 * len(sample)
    for j, column in enumerate(sample.numbers.T):
        present = new.numbers[~np.isnan(new.numbers[:, j]), j]
        assert not len(present) or (present.min() >= np.nanmin(column) and present.max() <= np.nanmax(column))
    for seen, made in zip(sample.codes.T, new.codes.T, strict=True):
        assert set(made) <= set(seen)
    quality(sample, new, sample, (None, None), rng())


@pytest.mark.parametrize("name", QUICK)
def test_no_rows_and_too_many(name):
    with pytest.raises(DataError, match="no training rows"):
        make(name, table(5).take(np.arange(0)))
    with pytest.raises(DataError, match="smaller rows"):
        make(name, of(np.zeros((6_000_000, 1))), rows=100.0)


def test_copula_keeps_correlations_and_marginals():
    r, n = rng(3), 4000
    z = r.multivariate_normal([0, 0, 0], [[1, 0.7, -0.5], [0.7, 1, 0], [-0.5, 0, 1]], n)
    new = make("copula", of(np.c_[np.exp(z[:, 0]), z[:, 1]], z[:, 2] > 0.5, (2,)), rows=5.0)
    made = np.log(new.numbers[:, 0])
    assert np.corrcoef(made, new.numbers[:, 1])[0, 1] == pytest.approx(0.7, abs=0.03)
    # The biserial correlation with the normal behind the level: the point-biserial one times sqrt(pq) / density.
    share = new.codes[:, 0].mean()
    density = np.exp(-0.125) / np.sqrt(2 * np.pi)
    biserial = np.corrcoef(made, new.codes[:, 0])[0, 1] * np.sqrt(share * (1 - share)) / density
    assert biserial == pytest.approx(-0.5, abs=0.04)
    assert share == pytest.approx((z[:, 2] > 0.5).mean(), abs=0.015)
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(np.quantile(made, shares), np.quantile(z[:, 0], shares), atol=0.05)


def test_copula_keeps_what_goes_with_a_level_and_with_a_blank():
    r, n = rng(4), 3000
    kind = r.integers(0, 3, n)
    x = np.array([0.0, 5.0, -5.0])[kind] + r.normal(size=n)  # levels out of order
    y = np.where(x > 2, np.nan, r.normal(size=n))
    new = make("copula", of(np.c_[x, y], kind, (3,)))
    means = [new.numbers[new.codes[:, 0] == level, 0].mean() for level in range(3)]
    np.testing.assert_allclose(means, [0.0, 5.0, -5.0], atol=1.0)
    blank = np.isnan(new.numbers[:, 1])
    assert new.numbers[blank, 0].mean() > 3 > 0 > new.numbers[~blank, 0].mean()


def test_normal_scores_of_ties():
    scores = normal_scores(np.array([3.0, 1.0, 3.0, 0.0]))
    assert scores[0] == scores[2] > scores[1] > scores[3]
    assert scores.sum() == pytest.approx(0, abs=1e-12)
    assert normal_scores(rng().normal(size=50)).var() == pytest.approx(1)


def shuffled(sample, seed=5):
    """Noise of the table's range: each number uniform, each level as likely as any other."""
    r = rng(seed)
    low, high = np.nanmin(sample.numbers, 0), np.nanmax(sample.numbers, 0)
    codes = np.column_stack([r.integers(-1, levels, len(sample)) for levels in sample.levels])
    return sample.with_rows(r.uniform(low, high, sample.numbers.shape), codes)


@pytest.mark.parametrize(("name", "epochs"), [("tvae", 40), ("ctgan", 300)])
def test_networks_beat_noise(name, epochs):
    sample = table(500)
    made = column_distances(sample, make(name, sample, rows=2.0, epochs=epochs))
    noise = column_distances(sample, shuffled(sample))
    for kind in ("ks", "tv"):
        average = [np.mean([column.distance for column in found if column.kind == kind]) for found in (made, noise)]
        assert average[0] < 0.8 * average[1], (name, kind, average)


def test_coding_there_and_back():
    sample = table(400)
    coding = fit_coding(sample, rng())
    coded = coding.encode(sample, rng())
    assert coding.sizes[4:] == (4, 2) and all(2 <= size <= 11 for size in coding.sizes[:4])
    assert (np.abs(coded.places) <= 0.99).all()
    numbers, codes = coding.decode(coded)
    np.testing.assert_array_equal(codes, sample.codes)
    np.testing.assert_allclose(numbers[:, 2], sample.numbers[:, 2], atol=1e-3)
    hot = one_hot(torch.from_numpy(coded.picks), coding.sizes)
    assert hot.shape == (400, sum(coding.sizes)) and (hot.sum(1) == 6).all()
    assert (hot[:, -2:].argmax(1).numpy() == sample.codes[:, 1]).all()


def test_gumbel_draws_from_the_softmax():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        logits = torch.tensor([0.2, 0.3, 0.5]).log().expand(20_000, 3)
        picks = (logits + gumbel(logits)).argmax(1)
    np.testing.assert_allclose(np.bincount(picks.numpy()) / 20_000, [0.2, 0.3, 0.5], atol=0.015)


def test_training_by_sampling():
    levels = np.c_[np.r_[np.zeros(98, int), 1, 1], np.arange(100) % 3]
    conditions = Conditions(levels, (2, 3))
    columns, asked, rows = conditions.balanced(20_000, rng())
    assert (levels[rows, columns] == asked).all()
    rare = np.log(3) / (np.log(3) + np.log(99))  # the levels by the logarithm of their rows + 1
    assert (asked[columns == 0] == 1).mean() == pytest.approx(rare, abs=0.015)
    assert set(rows[(columns == 0) & (asked == 1)]) == {98, 99}
    assert (conditions.places(columns, asked).numpy() == columns * 2 + asked).all()
    columns, asked = conditions.natural(20_000, rng())
    assert (asked[columns == 0] == 1).mean() == pytest.approx(0.02, abs=0.006)


def test_column_distances_by_hand():
    real = of([[1.0], [2.0], [3.0], [np.nan]], [0, 0, 1, -1], (3,))
    made = of([[2.5], [3.0]], [0, 2], (3,))
    number, code = column_distances(real, made)
    assert (number.name, number.kind, code.name, code.kind) == ("x0", "ks", "c0", "tv")
    assert number.distance == pytest.approx(2 / 3)  # at 2: two thirds of the real ones, none of the made ones
    assert number.missing == 0.25 and code.missing == 0.0
    assert code.distance == pytest.approx(0.5)  # (|.5 - .5| + .25 + .5 + .25) / 2
    assert [column.distance for column in column_distances(real, real)] == [0.0, 0.0]


def test_distances_to_the_closest_by_hand():
    train = of([[0.0, 5.0], [2.0, np.nan]], [0, 1], (2,))  # the standard deviations are 1, and 0 taken as 1
    rows = of([[0.0, 5.0], [4.0, np.nan], [2.0, 5.0]], [0, 1, 1], (2,))
    # A copy; two deviations away; a number that is missing in one of them: 0, 2 and 1.
    assert median_to_closest(rows, train, rng()) == pytest.approx(1.0)
    assert median_to_closest(rows.take(np.array([1])), train, rng()) == pytest.approx(2.0)
    assert share_of_copies(rows, train) == pytest.approx(1 / 3)
    assert share_of_copies(of([[-0.0], [np.nan]]), of([[0.0], [np.nan]])) == 1.0
    x, train_x = rng(1).normal(size=(500, 3)), rng(2).normal(size=(300, 3))
    mean, deviation = train_x.mean(0), train_x.std(0)
    expected = np.median(pairwise_distances((x - mean) / deviation, (train_x - mean) / deviation).min(1))
    assert median_to_closest(of(x), of(train_x), rng()) == pytest.approx(expected)


def test_quality_of_good_and_of_useless_rows():
    train, test = table(400, 1), table(300, 2)
    good = quality(train, table(400, 3), test, (1, None), rng())
    useless = quality(train, shuffled(train), test, (1, None), rng())
    assert good.score == "accuracy" and good.real_score > 0.97 and good.synthetic_score > 0.97
    assert useless.synthetic_score < 0.8 and useless.real_score == good.real_score
    assert good.synthetic_to_train == pytest.approx(good.valid_to_train, rel=0.2)
    assert useless.synthetic_to_train > 2 * good.synthetic_to_train
    number = quality(train, train, test, (None, 1), rng())
    assert number.score == "R2" and number.synthetic_score == number.real_score > 0.5
    assert (number.copies, number.valid_copies, number.synthetic_to_train) == (1.0, 0.0, 0.0)


def test_quality_without_rows_or_target():
    train, test = table(50, 1), table(30, 2)
    empty = quality(train, make("none", train), test, (1, None), rng())
    assert empty.synthetic_score is empty.synthetic_to_train is empty.copies is None
    assert empty.real_score is not None and all(column.distance == 1.0 for column in empty.columns)
    plain = quality(train, train, test, (None, None), rng())
    assert plain.score == "" and plain.synthetic_score is plain.real_score is None
    one_class = train.with_rows(train.numbers, np.zeros_like(train.codes))
    assert quality(one_class, one_class, test, (1, None), rng()).real_score == (test.codes[:, 1] == 0).mean()
