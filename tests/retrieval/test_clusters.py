import numpy as np
import pytest

from keras_vsoftmax.retrieval import cluster_agreement

pytest.importorskip("sklearn")


def _mutual_information(a, b):
    """NMI and the plain mutual information, from the definition."""
    joint = np.array([[np.mean((a == i) & (b == j)) for j in set(b)] for i in set(a)])
    rows, columns = joint.sum(1), joint.sum(0)
    information = sum(
        p * np.log(p / (rows[i] * columns[j])) for (i, j), p in np.ndenumerate(joint) if p
    )
    entropy = [-np.sum(p * np.log(p)) for p in (rows, columns)]
    return information / np.mean(entropy)


def test_clusters_that_cannot_be_missed():
    """Two clear clusters, one sample in five of which has the label of the other."""
    rng = np.random.default_rng(0)
    cluster = np.arange(40) % 2
    x = np.eye(2)[cluster] * 5 + 0.01 * rng.normal(size=(40, 2))
    labels = np.where(np.arange(40) % 5 == 0, 1 - cluster, cluster)
    found = cluster_agreement(x, labels)
    assert found["nmi"] == pytest.approx(_mutual_information(labels, cluster))
    assert found["ami"] < found["nmi"]
    perfect = cluster_agreement(x, cluster)
    assert perfect == {"nmi": pytest.approx(1), "ami": pytest.approx(1)}


def test_metric_and_chance():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    length = np.where(labels == 0, 1.0, 30.0)[:, None]
    x = length * (1 + 0.1 * rng.normal(size=(200, 3)))
    assert cluster_agreement(x, labels, metric="euclidean")["ami"] > 0.9
    assert cluster_agreement(x, labels, metric="cosine")["ami"] < 0.1
    many = cluster_agreement(rng.normal(size=(200, 3)), np.arange(200) // 4)
    assert abs(many["ami"]) < 0.1 < many["nmi"]


def test_collapsed_embeddings_and_errors():
    assert cluster_agreement(np.ones((8, 2)), np.arange(8) % 2)["ami"] == pytest.approx(0)
    with pytest.raises(ValueError, match="metric='l1'"):
        cluster_agreement(np.ones((8, 2)), np.arange(8), metric="l1")
    with pytest.raises(ValueError, match="1 of 8 rows"):
        cluster_agreement(np.where(np.eye(8, 2) > 0, [np.nan, 1], 1), np.arange(8))
    for labels, classes in ((np.zeros(8), 1), (np.arange(8), 8)):
        with pytest.raises(ValueError, match=f"Received: {classes} classes of 8 samples"):
            cluster_agreement(np.eye(8, 2), labels)
