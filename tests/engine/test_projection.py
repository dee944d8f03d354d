"""PCA, UMAP, densMAP and aligned UMAP: what they keep, what they refuse, what their key holds."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from engine import projection_input, projection_umap
from engine.errors import LoupeError
from engine.projection import Projection, aligned, densmap, measured, pca, place, umap
from engine.projection_request import mapping, placing, run, stability

ROOT = Path(__file__).resolve().parents[2]
EACH = 60


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray]:
    """(240, 12) features of four categories far apart, the last four times as wide as the first; (240,) which."""
    rng = np.random.default_rng(0)
    which = np.repeat(np.arange(4), EACH)
    centres = 12 * np.eye(4, 12)
    wide = np.array([0.3, 0.6, 0.6, 1.2])[which, None]
    return (centres[which] + wide * rng.normal(size=(len(which), 12))).astype(np.float32), which


@pytest.fixture(scope="module")
def heard() -> list[tuple[float, str]]:
    return []


@pytest.fixture(scope="module")
def umapped(planted, heard) -> Projection:
    return umap(planted[0], progress=lambda done, said: heard.append((done, said)))


def purity(xy: np.ndarray, which: np.ndarray) -> float:
    """Share of pixels most of whose 5 nearest on the map are of their own category."""
    return float(KNeighborsClassifier(5).fit(xy, which).score(xy, which))


# ── PCA ──


def test_pca_is_scikit_learns(planted):
    x, _ = planted
    found, theirs = pca(x), PCA(2).fit(x.astype(np.float64))
    signs = np.sign((theirs.components_ * found.axes).sum(axis=1))
    np.testing.assert_allclose(found.xy, theirs.transform(x.astype(np.float64)) * signs, atol=1e-4)
    np.testing.assert_allclose(found.explained, theirs.explained_variance_ratio_, rtol=1e-5)
    assert (found.method, found.params, found.seed, found.qualities) == ("pca", {}, None, ())
    assert found.by.startswith("scikit-learn ") and found.seconds > 0
    assert found.xy.dtype == np.float32 and found.xy.shape == (240, 2)


def test_pcas_axes_point_to_their_largest_loading(planted):
    x, _ = planted
    for features in (x, -x):
        axes = pca(features).axes
        assert (axes[np.arange(2), np.abs(axes).argmax(axis=1)] > 0).all()
    np.testing.assert_allclose(pca(-x).xy, -pca(x).xy, atol=1e-4)


@pytest.mark.parametrize("shape", [(12, 40), (30, 1100)])
def test_pca_of_fewer_pixels_than_channels(shape):
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    theirs = PCA(2, svd_solver="full").fit_transform(x.astype(np.float64))
    np.testing.assert_allclose(np.abs(pca(x).xy), np.abs(theirs), atol=2e-3)


def test_pca_of_features_far_from_zero(planted):
    """Their mean is a thousand times their spread, as after a layer with a large bias."""
    x, _ = planted
    np.testing.assert_allclose(pca(x + 4096).xy, pca(x).xy, atol=0.02)


def test_new_pixels_in_a_pca(planted):
    x, _ = planted
    found = pca(x)
    np.testing.assert_allclose(place(found, x, x[5:9]), found.xy[5:9], atol=1e-4)
    assert place(found, x, x[:0]).shape == (0, 2)


# ── UMAP, densMAP ──


def test_neighbours_are_exact_and_each_pixel_its_own_first(planted):
    x, _ = planted
    doubled = np.concatenate([x, np.repeat(x[:1], 20, axis=0)])  # more doubles than neighbours
    indices, distances = projection_umap.nearest(doubled, 10)
    assert (indices[:, 0] == np.arange(len(doubled))).all() and (distances[:, 0] == 0).all()
    assert all(len(set(row)) == 10 for row in indices.tolist())
    theirs, _ = NearestNeighbors(n_neighbors=10, algorithm="kd_tree").fit(doubled).kneighbors(doubled)
    np.testing.assert_allclose(np.sort(distances, axis=1), theirs, atol=2e-3)


@pytest.mark.slow
def test_umap_keeps_planted_categories_apart(planted, umapped, heard):
    x, which = planted
    assert purity(umapped.xy, which) == 1.0
    assert umapped.params == {"n_neighbours": 15, "min_dist": 0.1, "metric": "euclidean"}
    assert umapped.seed == 0 and umapped.by.startswith("umap-learn ")
    (quality,) = measured(umapped, [x]).qualities
    assert quality.trustworthiness > 0.9 and quality.continuity > 0.9
    done = [share for share, _ in heard]
    assert done == sorted(done) and done[0] >= 0 and done[-1] <= 1
    assert any("nearest neighbours" in said for _, said in heard)
    assert any(
        said.startswith("laying out the map: epoch ") and said.endswith(" of 500") for _, said in heard
    )


@pytest.mark.slow
def test_a_seed_gives_one_map_and_another_seed_another(planted, umapped):
    x, _ = planted
    again, other = umap(x), umap(x, seed=1)
    np.testing.assert_array_equal(again.xy, umapped.xy)
    assert again.key == umapped.key != other.key
    assert np.abs(other.xy - umapped.xy).max() > 0.1


@pytest.mark.slow
def test_pixels_like_those_of_a_map_land_beside_them(planted, umapped):
    x, which = planted
    placed = place(umapped, x, x + np.float32(1e-4))
    gaps = np.linalg.norm(placed - umapped.xy, axis=1)
    assert np.median(gaps) < 0.05 * np.ptp(umapped.xy)
    nearest = KNeighborsClassifier(1).fit(umapped.xy, which).predict(placed)
    assert (nearest == which).all()
    fresh = 12 * np.eye(4, 12, dtype=np.float32)
    assert KNeighborsClassifier(5).fit(umapped.xy, which).predict(place(umapped, x, fresh)).tolist() == [
        0,
        1,
        2,
        3,
    ]


@pytest.mark.slow
def test_cosine_does_not_see_how_long_features_are(planted):
    x, which = planted
    lengths = np.random.default_rng(2).uniform(0.1, 10, size=(len(x), 1)).astype(np.float32)
    ours = umap(x * lengths, metric="cosine")
    assert purity(ours.xy, which) == 1.0
    assert purity(umap(x * lengths).xy, which) < purity(ours.xy, which)
    near = place(ours, x * lengths, x[:3] * 7)
    assert np.linalg.norm(near - ours.xy[:3], axis=1).max() < 0.2 * np.ptp(ours.xy)


def radius(xy: np.ndarray, which: np.ndarray, category: int) -> float:
    own = xy[which == category]
    return float(np.median(np.linalg.norm(own - np.median(own, axis=0), axis=1)))


@pytest.mark.slow
def test_densmap_keeps_how_dense_pixels_lie(planted, umapped):
    x, which = planted
    dense = densmap(x)
    assert purity(dense.xy, which) == 1.0
    spread = radius(dense.xy, which, 3) / radius(dense.xy, which, 0)  # 4 in the features
    assert spread > 2 > radius(umapped.xy, which, 3) / radius(umapped.xy, which, 0)


# ── aligned ──


@pytest.mark.slow
def test_aligned_maps_of_identical_inputs_coincide_and_of_others_do_not(planted):
    x, which = planted
    rng = np.random.default_rng(3)
    other = rng.normal(size=(len(x), 5)).astype(np.float32)
    found = aligned([x, x, other])
    assert len(found.maps) == 3 and found.params == {"n_neighbours": 15, "metric": "euclidean"}
    first, second, third = found.maps
    size = np.ptp(first)
    assert np.median(np.linalg.norm(first - second, axis=1)) < 0.03 * size
    assert np.median(np.linalg.norm(first - third, axis=1)) > 0.1 * size
    assert purity(first, which) == 1.0 and purity(third, which) < 0.9
    qualities = measured(found, [x, x, other]).qualities
    assert len(qualities) == 3 and qualities[0].trustworthiness > 0.9
    with pytest.raises(LoupeError, match="3 maps"):
        _ = found.xy


# ── refusals ──


def random(count: int, channels: int = 4) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, channels)).astype(np.float32)


def spoilt(value: float) -> np.ndarray:
    x = random(50)
    x[[3, 7], 1] = value
    return x


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: pca(random(9)), "9 pixels are too few for this projection: it needs at least 10"),
        (lambda: pca(random(0)), "0 pixels are too few"),
        (lambda: umap(random(15)), "it needs at least 16"),
        (lambda: densmap(random(30), n_neighbours=30), "it needs at least 31"),
        (lambda: pca(np.ones((20, 3))), "the features of all 20 pixels are the same"),
        (lambda: umap(np.ones((20, 3))), "are the same"),
        (lambda: pca(random(20, 1)), "a single channel"),
        (lambda: pca(random(20)[0]), "a matrix"),
        (lambda: pca(spoilt(np.nan)), "the features of 2 of 50 pixels are not finite numbers"),
        (lambda: umap(spoilt(np.inf)), "the features of 2 of 50 pixels are not finite numbers"),
        (lambda: umap(spoilt(-1e20)), r"reach 1e\+20"),
        (lambda: umap(random(50), n_neighbours=1), "from 2 to 200"),
        (lambda: umap(random(50), n_neighbours=201), "from 2 to 200"),
        (lambda: umap(random(50), min_dist=1.5), "from 0 to 1"),
        (lambda: umap(random(50), min_dist=float("nan")), "from 0 to 1"),
        (lambda: umap(random(50), metric="manhattan"), "euclidean, cosine"),
        (lambda: umap(random(50), seed=-1), "a seed of -1"),
        (lambda: umap(random(50) * (np.arange(50) > 0)[:, None], metric="cosine"), "needs a direction"),
        (lambda: aligned([random(50)]), "from 2 to 8 panels: there are 1"),
        (lambda: aligned([random(50), random(40)]), "these have 40 and 50"),
        (lambda: aligned([random(3001), random(3001)]), "3001 pixels are too many to align: at most 3000"),
        (lambda: aligned([random(50), np.ones((50, 4))]), "are the same"),
        (lambda: mapping("tsne", random(50)), "pca, umap, densmap, aligned"),
        (lambda: mapping("umap", [random(50), random(50)]), "only aligned maps"),
        (lambda: mapping("umap", random(50) * (np.arange(50) > 0)[:, None], metric="cosine"), "direction"),
        (lambda: stability(mapping("pca", random(50)), pca(random(50))), "every seed gives the same map"),
        (lambda: stability(mapping("umap", random(50)), pca(random(50)), 0), "from 1 to 8"),
        (lambda: place(pca(random(50)), random(50), random(5, 3)), "have 3 channels, those of the map 4"),
        (lambda: place(pca(random(50)), random(50), spoilt(np.nan)), "not finite"),
        (lambda: placing(mapping("pca", random(50)), pca(random(50)), random(5, 3)), "have 3 channels"),
    ],
)  # fmt: skip
def test_what_cannot_be_projected_is_one_sentence(ask, said):
    with pytest.raises(LoupeError, match=said) as refused:
        ask()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("method", "name"), [("densmap", "densMAP"), ("aligned", "aligned UMAP")])
def test_maps_that_have_no_place_for_new_pixels_say_so(method, name):
    x = random(20)
    made = Projection(method, {}, 0, (x[:, :2],), (), None, "", 0.0, "")
    with pytest.raises(LoupeError, match=f"{name} has no place for new pixels"):
        place(made, x, x)
    with pytest.raises(LoupeError, match=f"{name} has no place for new pixels"):
        placing(mapping("pca", x), made, x)


# ── keys ──


def other_value(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[0, 0] = np.nextafter(x[0, 0], np.float32(np.inf))
    return x


X = random(60)


@pytest.mark.parametrize(
    "other",
    [
        lambda: mapping("umap", other_value(X)),
        lambda: mapping("umap", X[::-1]),
        lambda: mapping("umap", X.reshape(120, 2)),
        lambda: mapping("densmap", X),
        lambda: mapping("pca", X),
        lambda: mapping("umap", X, n_neighbours=16),
        lambda: mapping("umap", X, min_dist=0.2),
        lambda: mapping("umap", X, metric="cosine"),
        lambda: mapping("umap", X, seed=1),
        lambda: mapping("aligned", [X, X]),
    ],
)
def test_the_key_changes_with_each_thing_that_matters(other):
    assert other().key != mapping("umap", X).key


@pytest.mark.parametrize("what", ["VERSION", "made_by"])
def test_the_key_changes_with_the_version_of_what_makes_the_map(monkeypatch, what):
    before = mapping("umap", X).key
    monkeypatch.setattr(projection_input, what, "2" if what == "VERSION" else lambda method: "umap-learn 9")
    assert mapping("umap", X).key != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: mapping("umap", X), lambda: mapping("umap", X.astype(np.float64))),
        (lambda: mapping("umap", X), lambda: mapping("umap", np.asfortranarray(X))),
        (lambda: mapping("umap", X), lambda: mapping("umap", [X.copy()])),
        (lambda: mapping("umap", X), lambda: mapping("umap", X, min_dist=np.float64(0.1), n_neighbours=np.int64(15))),
        (lambda: mapping("pca", X), lambda: mapping("pca", X, seed=3, n_neighbours=20, min_dist=0.4, metric="cosine")),
        (lambda: mapping("aligned", [X, X]), lambda: mapping("aligned", [X, X], min_dist=0.4)),
        (lambda: mapping("pca", X), lambda: pca(X)),
    ],
)  # fmt: skip
def test_the_key_changes_with_nothing_else(one, other):
    assert one().key == other().key


def test_the_keys_of_what_is_asked_about_a_map():
    request, base = mapping("umap", X), pca(X)
    keys = [
        request.key,
        stability(request, base).key,
        stability(request, base, 2).key,
        placing(request, base, X[:2]).key,
        placing(request, base, X[:3]).key,
        placing(request, base, other_value(X)[:2]).key,
        stability(request, pca(other_value(X))).key,
    ]
    assert len(set(keys)) == len(keys)
    assert stability(request, base).key == stability(request, base, 3).key


@pytest.mark.slow
def test_requests_are_answered_by_the_functions(planted, umapped):
    x, _ = planted
    request = mapping("umap", x)
    made = run(request)
    assert isinstance(made, Projection) and made.key == request.key == umapped.key
    np.testing.assert_array_equal(made.xy, umapped.xy)
    assert made.quality == measured(umapped, [x]).quality
    found = run(stability(request, made, seeds=1))
    assert 0 < found.similarity < 1 and 0 < found.overlap < 1 and found.seeds == (1,)
    new = x[:4] + np.float32(0.01)
    np.testing.assert_array_equal(run(placing(request, made, new)), place(made, x, new))
    by_axes = run(mapping("pca", x))
    assert by_axes.quality is not None and by_axes.explained is not None


# ── cuML, where it is installed ──


@pytest.fixture
def gpu(monkeypatch) -> types.ModuleType:
    """A stand-in of cuML that records what it is asked."""
    manifold = types.ModuleType("cuml.manifold")

    class UMAP:
        asked: dict[str, object] = {}  # noqa: RUF012

        def __init__(self, **settings):
            UMAP.asked = settings

        def fit_transform(self, x):
            return x[:, :2].astype(np.float64) * 2

    manifold.UMAP = UMAP
    monkeypatch.setitem(sys.modules, "cuml", types.ModuleType("cuml"))
    monkeypatch.setitem(sys.modules, "cuml.manifold", manifold)
    monkeypatch.setattr(projection_umap, "gpu_version", lambda: "26.10")
    return manifold


def test_umap_runs_on_cuml_where_it_is_installed(gpu):
    found = umap(X, n_neighbours=7, min_dist=0.3, seed=5)
    np.testing.assert_array_equal(found.xy, X[:, :2] * 2)
    assert found.by == "cuml 26.10"
    assert gpu.UMAP.asked == {"n_neighbors": 7, "min_dist": 0.3, "n_components": 2, "random_state": 5}
    assert projection_umap.made_by("densmap").startswith("umap-learn")


def test_maps_of_cuml_and_of_umap_learn_have_different_keys(gpu, monkeypatch):
    there = mapping("umap", X).key, mapping("densmap", X).key
    monkeypatch.setattr(projection_umap, "gpu_version", lambda: None)
    assert mapping("umap", X).key != there[0] and mapping("densmap", X).key == there[1]


@pytest.mark.slow
def test_a_gpu_that_fails_leaves_the_map_to_umap_learn(gpu, monkeypatch):
    def fails(self, x):
        raise RuntimeError("no CUDA-capable device is detected")

    monkeypatch.setattr(gpu.UMAP, "fit_transform", fails)
    found = umap(X)
    assert found.by.startswith("umap-learn ") and found.xy.shape == (60, 2)


def test_without_cuml_there_is_no_version():
    assert projection_umap.gpu_version() is None or "cuml" in sys.modules


def test_what_projects_starts_light():
    code = (
        "import engine.projection, engine.projection_request, engine.projection_packing, sys\n"
        "print(*({'umap', 'numba', 'sklearn', 'scipy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.split() == [], done.stderr
