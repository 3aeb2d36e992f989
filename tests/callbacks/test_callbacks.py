"""The figures are in the logs, right, and whoever reads logs can use them by name."""

import copy
import csv

import keras
import numpy as np
import pytest

from keras_vsoftmax import Classifier, VirtualSoftmax, VirtualSoftmaxLoss, retrieval
from keras_vsoftmax.callbacks import (
    IdentificationMetrics,
    RetrievalMetrics,
    VerificationMetrics,
    base,
    direction,
)
from keras_vsoftmax.identification import Gallery
from keras_vsoftmax.verification import images as images_lib
from keras_vsoftmax.verification import make_pairs, verify
from tests import tiny


def _fit(callbacks, epochs=3, **settings):
    model = tiny.classifier(**settings)
    x, y = tiny.data()
    # In one order: torch's loaders, of what is watched too, draw it from one generator.
    arguments = {"batch_size": 8, "epochs": epochs, "shuffle": False, "verbose": 0}
    history = model.fit(x, y, callbacks=callbacks, **arguments)
    return model, history.history


class Afterwards(keras.callbacks.Callback):
    """Measures the model once more, after the callback in test."""

    def __init__(self, measure):
        super().__init__()
        self.measure = measure
        self.found = []

    def on_epoch_end(self, epoch, logs=None):
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        self.found.append(self.measure(self.model))


@pytest.mark.core
def test_retrieval_is_that_of_the_model_after_the_epoch():
    x, y = tiny.data(samples=30, seed=1)
    x = x + np.random.default_rng(0).normal(size=x.shape).astype("float32")
    watch = RetrievalMetrics(x, y, ks=(1, 3), batch_size=7)
    again = Afterwards(lambda model: retrieval.evaluate(model, x, y, ks=(1, 3)).to_dict())
    _, history = _fit([watch, again])
    assert {f"val_{name}" for name in again.found[0]} <= history.keys()
    for name in again.found[0]:
        expected = [figures[name] for figures in again.found]
        np.testing.assert_allclose(history[f"val_{name}"], expected, atol=1e-12)
    # Training is not touched by being watched.
    assert history["loss"] == _fit([])[1]["loss"]


def test_a_gallery_of_its_own_clusters_and_a_limit():
    pytest.importorskip("sklearn")
    x, y = tiny.data(samples=60, seed=2)
    watch = RetrievalMetrics(x[:50], y[:50], gallery=(x[50:], y[50:]), clusters=True, limit=20)
    assert len(watch.queries[0]) == len(watch.queries[1]) == 20
    assert len(watch.gallery[0]) == 10
    found = [np.flatnonzero((x == row).all(axis=1))[0] for row in watch.queries[0]]
    np.testing.assert_array_equal(y[found], watch.queries[1])
    np.testing.assert_array_equal(RetrievalMetrics(x[:50], y[:50], limit=20).queries[0], x[found])
    tensor = keras.ops.convert_to_tensor(x[:50])
    np.testing.assert_array_equal(RetrievalMetrics(tensor, y[:50], limit=20).queries[0], x[found])
    again = Afterwards(lambda model: retrieval.embed(model, x))
    _, history = _fit([watch, again], epochs=1)
    embeddings = again.found[0]
    expected = retrieval.retrieval_metrics(embeddings[found], y[found], embeddings[50:], y[50:])
    assert history["val_mrr"] == [pytest.approx(expected.mrr)]
    clusters = retrieval.cluster_agreement(embeddings[found], y[found])
    assert history["val_ami"] == [pytest.approx(clusters["ami"])]


@pytest.mark.core
def test_identification():
    x, y = tiny.data(samples=60, seed=3)
    known, unknown = y < 2, y == 2
    enrolled = x[known][:10], y[known][:10]
    queries = x[10:], y[10:]
    watch = IdentificationMetrics(enrolled, queries, fars=(1.0, 0.1, 0.01))

    def measure(model):
        gallery = Gallery(model)
        gallery.enroll(*enrolled)
        return gallery.evaluate(*queries, ks=(1,)).to_dict()

    again = Afterwards(measure)
    _, history = _fit([watch, again], epochs=2)
    assert {f"val_{name}" for name in again.found[0]} <= history.keys()
    assert "val_dir_at_far_0_1" in history
    assert "val_dir_at_far_0_01" not in history  # 16 unknown queries cannot show it
    assert unknown[10:].sum() < 100
    for name in again.found[0]:
        assert history[f"val_{name}"] == [figures[name] for figures in again.found]


def test_verification(face_folder, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    root = face_folder(tmp_path / "faces", people=6, images=4)
    images = [str(path.relative_to(root)) for path in sorted(root.rglob("*.png"))]
    pairs = make_pairs(images, folds=2)
    image = keras.Input((14, 12, 3))
    features = keras.layers.Dense(4)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image)))
    backbone = keras.Model(image, features)
    model = Classifier(backbone, VirtualSoftmax(3))
    model.compile("sgd")
    watch = VerificationMetrics(pairs, root)
    decodings = []
    load_image = images_lib.load_image
    monkeypatch.setattr(
        images_lib, "load_image", lambda *args: decodings.append(args) or load_image(*args)
    )
    again = Afterwards(lambda model: verify(model, pairs, root, verbose=0))
    x = np.random.default_rng(0).uniform(0, 255, (12, 14, 12, 3)).astype("float32")
    y = np.arange(12) % 3
    model.fit(x, y, epochs=2, verbose=0, callbacks=[watch])
    assert len(decodings) == len(pairs.images())  # once, however many epochs there are
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[watch, again]).history
    for name, key in (("accuracy", "accuracy"), ("auc", "auc"), ("eer", "equal_error_rate")):
        expected = [getattr(found, key) for found in again.found]
        assert history[f"val_verification_{name}"] == expected
    assert history["val_tar_at_far_0_1"] == [found.tar_at_far[0.1] for found in again.found]
    assert "val_tar_at_far_0_0001" not in history
    with pytest.raises(FileNotFoundError, match="cannot be read"):
        model.fit(x, y, callbacks=[VerificationMetrics(pairs, tmp_path)])


def test_when_it_measures():
    x, y = tiny.data()
    seen = []

    class Watch(base.EmbeddingMetrics):
        def measure(self, model, verbose):
            return {"mrr": 0.5, "nmi": float("nan")}

    def note(epoch, logs):
        seen.append("val_mrr" in logs)
        assert "val_nmi" not in logs

    _fit([Watch(every=3), keras.callbacks.LambdaCallback(on_epoch_end=note)], epochs=6)
    assert seen == [True, False, False, True, False, True]
    with pytest.raises(ValueError, match="every=0"):
        RetrievalMetrics(x, y, every=0)
    # Nothing is measured of weights that a diverging epoch left: `fit` ends with the reason.
    with pytest.raises(FloatingPointError, match="Training diverged"):
        _fit([RetrievalMetrics(x, y)], optimizer=keras.optimizers.SGD(1e30))


def test_readers_of_the_logs_take_the_figures_by_name(tmp_path):
    values = iter([0.2, 0.7, 0.5, 0.6])

    class Watch(base.EmbeddingMetrics):
        def measure(self, model, verbose):
            return {"recall_at_1": next(values), "tar_at_far_0_01": 0.25}

    pattern = "{epoch}-{val_recall_at_1:.2f}-{val_tar_at_far_0_01:.2f}.weights.h5"
    readers = [
        keras.callbacks.ModelCheckpoint(
            tmp_path / pattern,
            "val_recall_at_1",
            mode="max",
            save_best_only=True,
            save_weights_only=True,
        ),
        keras.callbacks.EarlyStopping("val_recall_at_1", mode="max", patience=2),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
    ]
    _, history = _fit([Watch(), *readers], epochs=9)
    assert history["val_recall_at_1"] == [0.2, 0.7, 0.5, 0.6]
    kept = sorted(path.name for path in tmp_path.glob("*.h5"))
    assert kept == ["1-0.20-0.25.weights.h5", "2-0.70-0.25.weights.h5"]
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [float(row["val_recall_at_1"]) for row in rows] == [0.2, 0.7, 0.5, 0.6]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorBoard's writer")
def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing import event_accumulator

    x, y = tiny.data()
    board = keras.callbacks.TensorBoard(tmp_path, write_graph=False)
    _, history = _fit([RetrievalMetrics(x, y), board], epochs=2)
    events = event_accumulator.EventAccumulator(str(tmp_path / "validation"))
    events.Reload()
    found = [
        float(np.asarray(keras.ops.convert_to_numpy(_scalar(event.tensor_proto))))
        for event in events.Tensors("epoch_recall_at_1")
    ]
    np.testing.assert_allclose(found, history["val_recall_at_1"], rtol=1e-6)


def _scalar(proto):
    import tensorflow as tf

    return tf.make_ndarray(proto)


def test_a_copy_shares_the_data_and_nothing_else():
    x, y = tiny.data()
    watch = RetrievalMetrics(x, y, gallery=(x, y))
    _fit([watch], epochs=1)
    first, second = copy.deepcopy([watch, watch])
    assert first is second  # one object twice stays one
    assert first is not watch
    assert first.queries[0] is watch.queries[0]
    assert first.model is None
    assert watch.model is not None
    _, history = _fit([first], epochs=1)
    assert "val_recall_at_1" in history


def test_progress_is_shown_where_fit_shows_its_own(capsys):
    x, y = tiny.data()
    model = tiny.classifier()
    model.fit(x, y, verbose=1, callbacks=[RetrievalMetrics(x, y)])
    printed = capsys.readouterr().out
    assert "24/24" in printed.split("loss")[-2] or "query" in printed
    assert "val_recall_at_1" in printed
    model.fit(x, y, verbose=0, callbacks=[RetrievalMetrics(x, y)])
    assert capsys.readouterr().out == ""


def test_settings_are_refused_before_any_training(tmp_path):
    x, y = tiny.data()
    for settings, message in (
        ({"metric": "l1"}, "metric='l1'"),
        ({"ks": (0,)}, r"ks=\(0,\)"),
        ({"ks": (1.5,)}, r"ks=\(1.5,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            RetrievalMetrics(x, y, **settings)
    for arguments, message in (
        ((x, np.eye(3)[y]), "`y of x, y` must be class ids or names"),
        ((x, y[:-1]), f"a label for each image. Received: {len(y) - 1} labels of {len(x)} images"),
        ((x, np.arange(len(y))), "none with one among"),
        ((x, [], 1), f"Received: 0 labels of {len(x)} images"),
        ((x, 3), "labels of `x, y` must be an array or a list. Received: int"),
        ((x, y, 0), "`every` must be an integer of at least 1. Received: every=0"),
        ((x, y, True), "Received: every=True"),
    ):
        with pytest.raises(ValueError, match=message):
            RetrievalMetrics(*arguments)
    for settings, message in (
        ({"limit": 0}, "`limit` must be an integer of at least 1. Received: limit=0"),
        ({"limit": 2.5}, "Received: limit=2.5"),
        ({"gallery": x}, r"`gallery` must be \(x, y\), .* Received: ndarray of length"),
        ({"gallery": (x, y[1:]), "limit": 2}, "`gallery` must have a label for each image"),
        ({"gallery": (x, y.astype(str))}, "must both be ids or both be names"),
    ):
        with pytest.raises(ValueError, match=message):
            RetrievalMetrics(x, y, **settings)
    assert RetrievalMetrics(x, y, np.int64(2)).every == 2
    with pytest.raises(ValueError, match=r"`enrolled` must be \(x, y\)"):
        IdentificationMetrics(x, y)
    with pytest.raises(ValueError, match=r"ids or names. Received: <U11 where int64 is enrolled"):
        IdentificationMetrics((x, y), (x, y.astype(str)))
    with pytest.raises(ValueError, match="at least two classes"):
        RetrievalMetrics(x, y * 0, clusters=True)
    with pytest.raises(ValueError, match="`queries` must have a label for each image"):
        IdentificationMetrics((x, y), (x, y[1:]), limit=3)
    with pytest.raises(ValueError, match="`queries` must be of at least one image"):
        IdentificationMetrics((x, y), (x[:0], y[:0]))
    for settings, message in (({"ks": (0,)}, r"ks=\(0,\)"), ({"fars": (2,)}, "far=2")):
        with pytest.raises(ValueError, match=message):
            IdentificationMetrics((x, y), (x, y), **settings)


def test_verification_is_refused_before_any_training(face_folder, tmp_path):
    pytest.importorskip("sklearn")
    root = face_folder(tmp_path / "faces", people=6, images=4)
    pairs = make_pairs([str(path.relative_to(root)) for path in sorted(root.rglob("*.png"))], 2)
    with pytest.raises(ValueError, match="score='l1'"):
        VerificationMetrics(pairs, root, score="l1")
    with pytest.raises(ValueError, match="missing='bla'"):
        VerificationMetrics(pairs, root, missing="bla")
    with pytest.raises(ValueError, match=r"`pairs` must be Pairs, .* Received: pairs='pairs.txt'"):
        VerificationMetrics("pairs.txt", root)
    # Not of the images, which are there.
    for shape in ((None, None, 3), (5,)):
        image = keras.Input(shape)
        pooled = keras.layers.GlobalAveragePooling2D()(image) if len(shape) == 3 else image
        model = Classifier(keras.Model(image, pooled), VirtualSoftmax(3))
        model.compile("sgd")
        x = np.zeros((6, *(4 if size is None else size for size in shape)), "float32")
        with pytest.raises(ValueError, match="one input of a known shape"):
            model.fit(x, np.arange(6) % 3, verbose=0, callbacks=[VerificationMetrics(pairs, root)])


def test_the_output_of_a_head_is_no_embedding():
    x, y = tiny.data()
    image, label = keras.Input(x.shape[1:]), keras.Input((), dtype="int32")
    output = VirtualSoftmax(3)(keras.layers.Flatten()(image), label)
    model = keras.Model([image, label], output)
    model.compile("sgd", VirtualSoftmaxLoss())
    with pytest.raises(ValueError, match="train a Classifier, whose backbone it looks at"):
        model.fit([x, y], y, verbose=0, callbacks=[RetrievalMetrics([x, y], y)])


class OwnLoop(keras.Model):
    """Gives embeddings, and trains them with a head that it holds."""

    def __init__(self):
        super().__init__()
        self.features = keras.layers.Dense(4)
        self.head = VirtualSoftmax(tiny.UNITS)

    def call(self, inputs):
        return self.features(inputs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return VirtualSoftmaxLoss()(y, self.head(y_pred, y, training=True))


def test_a_model_that_holds_a_head_may_give_embeddings():
    x, y = tiny.data()
    model = OwnLoop()
    model.head.build((None, 4))
    model.compile("sgd")
    history = model.fit(x, y, verbose=0, callbacks=[RetrievalMetrics(x, y)]).history
    assert history["val_recall_at_1"]


def test_every_name_has_a_direction():
    x, y = tiny.data(samples=60)
    watches = [
        RetrievalMetrics(x, y, ks=(1, 10), clusters=True),
        IdentificationMetrics((x[:4], y[:4] % 2), (x, y), fars=(1.0, 0.1)),
    ]
    _, history = _fit(watches, epochs=1)
    names = [name for name in history if name.startswith("val_")]
    assert len(names) == 11
    assert {direction(name) for name in names} == {"max"}
    assert direction("val_tar_at_far_0_0001") == "max"
    assert direction("val_verification_eer") == "min"
    for name in ("val_loss", "recall_at_1", "val_recall_at_1_of_mine", "val_accuracy"):
        assert direction(name) is None
