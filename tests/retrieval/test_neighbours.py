import numpy as np
import pytest

from keras_vsoftmax.retrieval import nearest, scores

pytestmark = pytest.mark.core


@pytest.mark.parametrize("block", [2**26, 200])
@pytest.mark.parametrize("metric", scores.METRICS)
def test_against_numpy(metric, block, monkeypatch):
    monkeypatch.setattr(scores, "BLOCK_BYTES", block)
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(9, 4)) * 7 + 2, rng.normal(size=(30, 4)) * 7 + 2
    if metric == "cosine":
        norms = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(gallery, axis=1)
        expected = queries @ gallery.T / norms
    else:
        expected = -np.linalg.norm(queries[:, None] - gallery, axis=2)
    indices, found = nearest(queries, gallery, 5, metric)
    np.testing.assert_array_equal(indices, np.argsort(-expected, axis=1)[:, :5])
    np.testing.assert_allclose(found, -np.sort(-expected, axis=1)[:, :5], rtol=1e-5, atol=1e-5)


def test_a_query_is_not_its_own_neighbour(monkeypatch):
    monkeypatch.setattr(scores, "BLOCK_BYTES", 100)
    x = np.repeat(np.eye(5), 2, axis=0)
    indices, found = nearest(x, k=1)
    np.testing.assert_array_equal(indices[:, 0], np.arange(10) ^ 1)
    np.testing.assert_allclose(found, 1, atol=1e-6)


@pytest.mark.parametrize("k", [0, 4, 1.5, "2", None])
def test_k_must_fit(k):
    with pytest.raises(ValueError, match=f"from 1 to .* 3. Received: k={k!r}"):
        nearest(np.eye(4), k=k)
