"""The best classes of a gallery, by looking at all of its entries, or through an index."""

import numpy as np
from keras import ops

from keras_vsoftmax.retrieval.scores import Scorer
from keras_vsoftmax.utils.extras import require

# How many neighbours an entry of the graph has, and how many candidates are kept in a search.
_LINKS = 32
_CANDIDATES = 128


class ExactIndex:
    """Looks at every entry, block by block, on the device of the Keras backend.

    Args:
        vectors: float32 array (entries, d).
        owners: int array (entries,), the class of each entry, ascending, none left out.
        metric: `"cosine"` or `"euclidean"`.
    """

    def __init__(self, vectors, owners, metric):
        self.scorer = Scorer(vectors, metric)
        self.classes = int(owners[-1]) + 1
        self.owners = ops.convert_to_tensor(owners.astype("int32"))

    def search(self, queries, k):
        """Classes and scores (queries, k), the best first; a class has its best entry's score."""
        prepared = self.scorer.prepare(queries)
        found = np.empty((len(queries), k), "int64")
        scores = np.empty((len(queries), k), "float32")
        step = self.scorer.rows()
        for start in range(0, len(queries), step):
            rows = slice(start, start + step)
            block = self.scorer.block(prepared[rows])
            if self.classes < self.scorer.size:
                by_class = ops.segment_max(ops.transpose(block), self.owners, self.classes)
                block = ops.transpose(by_class)
            values, positions = ops.top_k(block, k)
            scores[rows] = ops.convert_to_numpy(values)
            found[rows] = ops.convert_to_numpy(positions)
        return found, self.scorer.public(scores)


class GraphIndex:
    """Finds neighbours in faiss's HNSW graph: nearly always the nearest ones, in little time.

    Args:
        vectors, owners, metric: as for `ExactIndex`; with the cosine, vectors of unit length.
        graph: uint8 array, an index that was saved; `None` builds it.
    """

    def __init__(self, vectors, owners, metric, graph=None):
        self.faiss = require("faiss", extra="index", feature="A gallery with a graph index")
        self.metric, self.owners = metric, owners
        self.classes = int(owners[-1]) + 1
        self.largest = int(np.bincount(owners).max())
        if graph is None:
            kind = "METRIC_INNER_PRODUCT" if metric == "cosine" else "METRIC_L2"
            self.graph = self.faiss.IndexHNSWFlat(
                vectors.shape[1], _LINKS, getattr(self.faiss, kind)
            )
            self.graph.add(vectors)
        else:
            self.graph = self.faiss.deserialize_index(graph)

    def search(self, queries, k):
        """As `ExactIndex.search`; a class that was not found is -1, its score -inf."""
        # So many entries hold k classes; one is enough for the best.
        entries = min(len(self.owners), 1 + (k - 1) * self.largest)
        self.graph.hnsw.efSearch = max(_CANDIDATES, 2 * entries)
        values, positions = self.graph.search(np.ascontiguousarray(queries), entries)
        values = values if self.metric == "cosine" else -np.sqrt(np.maximum(values, 0))
        found = np.where(positions >= 0, self.owners[positions], -1)
        if self.largest > 1:
            return _first_of_each(found, values, k)
        return found, np.where(found >= 0, values, -np.inf).astype("float32")

    def serialized(self):
        """The graph as a uint8 array."""
        return self.faiss.serialize_index(self.graph)


def _first_of_each(found, values, k):
    """Of each row the first k distinct classes, which are those with the best scores."""
    classes = np.full((len(found), k), -1, "int64")
    scores = np.full((len(found), k), -np.inf, "float32")
    for row, (owners, row_values) in enumerate(zip(found, values)):
        _, first = np.unique(owners, return_index=True)
        first = np.sort(first[owners[first] >= 0])[:k]
        classes[row, : len(first)], scores[row, : len(first)] = owners[first], row_values[first]
    return classes, scores
