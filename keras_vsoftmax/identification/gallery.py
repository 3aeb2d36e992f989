"""A gallery of known classes."""

import zipfile

import numpy as np

from keras_vsoftmax.identification.figures import FARS, identification_figures
from keras_vsoftmax.identification.indexes import ExactIndex, GraphIndex
from keras_vsoftmax.identification.thresholds import (
    checked_fars,
    threshold_at_far,
)
from keras_vsoftmax.retrieval.checks import check_k, checked_ks
from keras_vsoftmax.retrieval.model import checked_backbone, embed
from keras_vsoftmax.retrieval.scores import METRICS, TIE, checked, checked_labels
from keras_vsoftmax.utils.counts import check_count
from keras_vsoftmax.utils.files import atomic_path
from keras_vsoftmax.utils.thresholds import check_threshold
from keras_vsoftmax.utils.vectors import unit

TEMPLATES = ("mean", "all")
INDEXES = ("auto", "exact", "graph")

# Up to so many entries all of them are looked at.
EXACT_ENTRIES = 100_000

_KEYS = ("classes", "counts", "owners", "vectors", "settings", "threshold")


class Gallery:
    """Known classes, each by a few images, that queries are compared with.

    The classes need not be those that the model was trained on.

    Args:
        model: what embeds images, see `retrieval.embed`. With `None` everything that is called
            images below is embeddings (samples, d).
        metric: `"cosine"`, or `"euclidean"`, where a score is minus the distance.
        templates: `"mean"` keeps one vector a class, the mean of its embeddings (with the cosine,
            of those divided by their length); `"all"` keeps every embedding, and the best one
            decides.
        index: `"exact"` compares with all entries, `"graph"` searches through an HNSW graph of
            faiss (the extra `index`), which may miss a neighbour; `"auto"` takes the graph above
            100,000 entries.
        batch_size: int, of the model.

    Raises:
        ValueError: an argument is not as above.

    Example:

    >>> gallery = Gallery()
    >>> gallery.enroll([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], ["anna", "anna", "ben"])
    >>> threshold = gallery.calibrate([[-1.0, 0.2], [-1.0, -1.0], [0.3, -1.0]], far=0.4)
    >>> names, scores = gallery.identify([[0.1, 2.0], [-3.0, -1.0]])
    >>> names.tolist()
    ['ben', None]
    """

    def __init__(
        self, model=None, *, metric="cosine", templates="mean", index="auto", batch_size=128
    ):
        for name, value, choices in (
            ("metric", metric, METRICS),
            ("templates", templates, TEMPLATES),
            ("index", index, INDEXES),
        ):
            if value not in choices:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(choices)}. Received: {name}={value!r}"
                )
        check_count("batch_size", batch_size)
        if model is not None:
            checked_backbone(model)
        self.model = model
        self.metric, self.templates, self.index = metric, templates, index
        self.batch_size = batch_size
        self.classes = np.zeros(0, "int64")
        self.counts = np.zeros(0, "int64")
        self.threshold = None
        # Entries in the order of their classes: sums with "mean", single embeddings with "all".
        self._owners = np.zeros(0, "int64")
        self._vectors = None
        self._searched = None

    def __len__(self):
        """How many classes there are."""
        return len(self.classes)

    def enroll(self, x, y):
        """Add images. Those of a class that is there already are added to its own.

        A threshold that was set stays as it is. It holds for the classes that it was chosen
        with: the more there are, the more of the unknown pass it.

        Args:
            x: images.
            y: class ids, or names, of the shape (samples,); bytes are read as UTF-8.

        Raises:
            ValueError: for embeddings of another length or that are not finite, for ids that are
                no integers below 2**63, and for names where ids are enrolled or the other way
                round.
        """
        vectors = self._embed(x)
        labels = _labels(y, len(vectors))
        if len(self) and (labels.dtype.kind == "U") != (self.classes.dtype.kind == "U"):
            raise ValueError(
                "A gallery holds ids or names, not both. "
                f"Received: {labels.dtype} after {self.classes.dtype}"
            )
        old = self.classes[self._owners]
        everyone = np.concatenate([old, labels]) if len(self) else labels
        classes, owners = np.unique(everyone, return_inverse=True)
        counts = np.zeros(len(classes), "int64")
        np.add.at(counts, np.searchsorted(classes, self.classes), self.counts)
        np.add.at(counts, owners[len(old) :], 1)
        if self.templates == "mean" and self.metric == "cosine":
            vectors = unit(vectors)
        if self._vectors is not None:
            vectors = np.concatenate([self._vectors, vectors])
        if self.templates == "mean":
            sums = np.zeros((len(classes), vectors.shape[1]), "float32")
            np.add.at(sums, owners, vectors)
            vectors, owners = sums, np.arange(len(classes))
        order = np.argsort(owners, kind="stable")
        self._vectors, self._owners = vectors[order], owners[order]
        self.classes, self.counts = classes, counts
        self._searched = None

    def remove(self, y):
        """Take classes out, with all of their images. A threshold that was set stays as it is.

        Args:
            y: ids or names that are enrolled, of the shape (classes,).

        Raises:
            ValueError: for an id or a name that is not enrolled; nothing is removed then.
        """
        if not np.size(y):
            return
        labels = np.unique(_labels(y, np.size(y)))
        absent = labels[~self._known(labels)] if len(self) else labels
        if len(absent):
            raise ValueError(
                "Only classes that are enrolled can be removed. "
                f"Received: {', '.join(map(repr, absent[:3].tolist()))}, "
                f"{len(absent)} that are not"
            )
        stays = ~np.isin(self.classes, labels)
        entries = stays[self._owners]
        self._owners = (np.cumsum(stays) - 1)[self._owners[entries]]
        self._vectors = self._vectors[entries] if stays.any() else None
        self.classes, self.counts = self.classes[stays], self.counts[stays]
        self._searched = None

    def search(self, x, k=1):
        """The k best classes of each query.

        Args:
            x: images.
            k: int, at most the number of classes.

        Returns:
            `(positions, scores)`, int64 and float32 arrays (queries, k), the best first: places
            in `classes`, and cosines or minus distances. A graph may find fewer than k classes:
            the position is then -1 and the score -inf.

        Raises:
            ValueError: nothing is enrolled, or `k` is out of range, or as for `enroll`.
        """
        if not len(self):
            raise ValueError("Nothing is enrolled. Received: a query of an empty gallery")
        check_k(k, len(self), "classes")
        queries = self._embed(x)
        if self.metric == "cosine":
            queries = unit(queries)
        return self._index().search(queries, k)

    def calibrate(self, x, y=None, *, far):
        """Set the threshold that lets a share `far` of unknown queries pass.

        Args:
            x: images of a calibration set: of people who are not enrolled.
            y: their ids or names, where some of them are: queries of enrolled classes are left
                out. `None` takes all.
            far: float, the wanted false-accept rate, see `threshold_at_far`.

        Returns:
            The threshold, which `identify` uses from now on.

        Raises:
            ValueError: as `search` and `threshold_at_far` do, and where all of them are enrolled.
        """
        _, scores = self.search(x)
        scores = scores[:, 0]
        if y is not None:
            unknown = ~self._known(_labels(y, len(scores)))
            if not unknown.any():
                raise ValueError(
                    "A threshold is calibrated on people who are not enrolled, and nobody unknown "
                    f"is left. Received: y with the classes of {len(scores)} queries, all enrolled"
                )
            scores = scores[unknown]
        self.threshold = threshold_at_far(scores, far)
        return self.threshold

    def identify(self, x, threshold=None):
        """Tell who it is, or that it is nobody known.

        Args:
            x: images.
            threshold: float, the least score of somebody known; `None` takes that of `calibrate`.

        Returns:
            `(names, scores)`: an object array (queries,) of classes, `None` where the query is
            unknown, and a float32 array (queries,) of the best class's score.

        Raises:
            ValueError: there is no threshold, or it is no number, or as for `search`.
        """
        threshold = self.threshold if threshold is None else threshold
        if threshold is None:
            raise ValueError(
                "A threshold is needed to tell the unknown: calibrate(x, far=0.01) on people who "
                "are not enrolled, or identify(x, threshold). Received: none"
            )
        check_threshold(threshold)
        positions, scores = self.search(x)
        names = self.classes[positions[:, 0]].astype(object)
        # In float64: a threshold may lie between a score and the next one that float32 has.
        passed = scores[:, 0].astype("float64") >= threshold
        names[~passed | (positions[:, 0] < 0)] = None
        return names, scores[:, 0]

    def evaluate(self, x, y, *, ks=(1, 5), fars=FARS):
        """Measure identification, closed set and open set.

        Queries of classes that are not enrolled are the unknown ones. Of classes with one score,
        within 1e-6 of the greatest possible, a query's own comes last.

        Args:
            x: images.
            y: ids or names, of the shape (queries,).
            ks: the k of top-k, positive ints; those that are larger than the number of classes
                are left out.
            fars: false-accept rates, over 0 and at most 1.

        Returns:
            `IdentificationResult`.

        Raises:
            ValueError: as `search` does, and for `ks` or `fars` that are not as above.
        """
        fars = checked_fars(fars)
        ks = [k for k in checked_ks(ks) if k <= len(self)]
        # One more than is asked for: a tie at the last place shows itself.
        positions, scores = self.search(x, min(len(self), max(ks, default=1) + 1))
        labels = _labels(y, len(positions))
        known = self._known(labels)
        own = np.searchsorted(self.classes, labels).clip(max=len(self) - 1)
        hit = positions == own[:, None]
        own_score = np.max(np.where(hit, scores, -np.inf), axis=1, keepdims=True)
        width = TIE if self.metric == "cosine" else TIE * np.abs(own_score)
        before = np.sum(~hit & (scores >= own_score - np.nan_to_num(width)), axis=1)
        ranks = np.where(hit.any(axis=1), 1 + before, len(self) + 1)
        return identification_figures(
            ranks, scores[:, 0], known, ks=ks, fars=fars, threshold=self.threshold
        )

    def save(self, path):
        """Write everything but the model into a `.npz` file, in one piece."""
        arrays = {
            "classes": self.classes,
            "counts": self.counts,
            "owners": self._owners,
            "vectors": np.zeros((0, 0), "float32") if self._vectors is None else self._vectors,
            "settings": np.array([self.metric, self.templates, self.index]),
            "threshold": np.array([] if self.threshold is None else [self.threshold]),
        }
        if isinstance(self._searched, GraphIndex):
            arrays["graph"] = self._searched.serialized()
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path, model=None, batch_size=128):
        """Read a gallery that was saved; it answers as it did before, with the same model.

        Args:
            path: the file.
            model, batch_size: as for `Gallery`.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no gallery.
        """
        try:
            with open(path, "rb") as file, np.load(file) as archive:
                arrays = {key: archive[key] for key in archive.files}
            missing = [key for key in _KEYS if key not in arrays]
        except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is no gallery. Received: {error}") from error
        if missing:
            raise ValueError(f"{path} is no gallery. Received: no {', '.join(missing)}")
        metric, templates, index = arrays["settings"].tolist()
        gallery = cls(model, metric=metric, templates=templates, index=index, batch_size=batch_size)
        gallery.classes, gallery.counts = arrays["classes"], arrays["counts"]
        gallery._owners = arrays["owners"]
        gallery._vectors = arrays["vectors"] if len(gallery) else None
        if arrays["threshold"].size:
            gallery.threshold = float(arrays["threshold"][0])
        if "graph" in arrays:
            gallery._searched = GraphIndex(
                gallery._entries(), gallery._owners, metric, arrays["graph"]
            )
        return gallery

    def _embed(self, x):
        vectors = x if self.model is None else embed(self.model, x, self.batch_size)
        vectors = checked(vectors, "x")
        if self._vectors is not None and vectors.shape[1] != self._vectors.shape[1]:
            raise ValueError(
                f"The embeddings in the gallery have length {self._vectors.shape[1]}. "
                f"Received: length {vectors.shape[1]}"
            )
        return vectors

    def _known(self, labels):
        if (labels.dtype.kind == "U") != (self.classes.dtype.kind == "U"):
            raise ValueError(
                "Labels must be of the kind that is enrolled, ids or names. "
                f"Received: {labels.dtype} where {self.classes.dtype} is enrolled"
            )
        return np.isin(labels, self.classes)

    def _entries(self):
        """The vectors that queries are compared with."""
        if self.metric == "cosine":
            return unit(self._vectors)
        if self.templates == "mean":
            return self._vectors / self.counts[:, None].astype("float32")
        return self._vectors

    def _index(self):
        if self._searched is None:
            graph = self.index == "graph"
            graph |= self.index == "auto" and len(self._vectors) > EXACT_ENTRIES
            kind = GraphIndex if graph else ExactIndex
            self._searched = kind(self._entries(), self._owners, self.metric)
        return self._searched


def _labels(y, samples):
    """Names, or ids as int64."""
    labels = checked_labels(y, samples, "y")
    if labels.dtype.kind == "U":
        return labels
    if labels.max() > np.iinfo("int64").max:
        raise ValueError(f"Ids must be below 2**63. Received: {labels.max()}")
    return labels.astype("int64")
