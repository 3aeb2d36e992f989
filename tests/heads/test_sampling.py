"""Sampled classes: what is drawn, what the loss makes of it, and what of it is saved."""

import keras
import numpy as np
import pytest
from keras import ops as kops

from keras_vsoftmax import Classifier, heads
from keras_vsoftmax.heads.sampling import ClassSampler
from tests import tiny
from tests.backends import BACKEND, float64_allowed
from tests.heads import cases
from tests.heads.test_blocks import NAMES, OTHERS, losses_and_gradients, make

pytestmark = pytest.mark.core

UNITS, DIM, BATCH, SIZE = 40, 5, 9, 16
RATE = SIZE / UNITS
HALVES = {"rate": 0.5, "parts": 2}  # a part has room for all rows of a batch


def points(name="softmax", dtype="float32"):
    rng = np.random.default_rng(6)
    features = (3 * rng.normal(size=(BATCH, DIM))).astype(dtype)
    kernel = cases.widened(name, rng.normal(size=(DIM, UNITS)).astype(dtype))
    ids = rng.integers(0, UNITS, BATCH)
    ids[4] = ids[7]
    return features, kernel, ids


def sampled(name, kernel, block_size=None, correction=False, rate=RATE, parts=1, **knobs):
    head = make(
        name, kernel, block_size, class_sampling=rate, sampling_correction=correction,
        sampling_seed=3, **knobs,
    )  # fmt: skip
    if head.sampler is not None:
        head.sampler.split(parts)
    return head


def draw(sampler, step, ids):
    step, ids = kops.convert_to_tensor(step, "int32"), kops.convert_to_tensor(ids.astype("int32"))
    return [kops.convert_to_numpy(each) for each in sampler.draw(step, ids)]


@pytest.mark.parametrize(("rate", "parts"), [(RATE, 1), (0.5, 2), (0.9, 4)])
def test_the_labels_are_there_and_the_others_are_drawn_uniformly(rate, parts):
    sampler = ClassSampler(UNITS, rate, seed=5)
    sampler.split(parts)
    size = round(rate * UNITS)
    _, _, ids = points()
    counts = np.zeros(UNITS)
    for step in range(300):
        classes, places, taken, positive = draw(sampler, step, ids)
        assert classes.tolist() == sorted(set(classes.tolist()))
        assert (np.bincount(classes * parts // UNITS, minlength=parts) == size // parts).all()
        assert set(ids) <= set(classes.tolist())
        assert (classes[places[ids]] == ids).all()
        assert (np.flatnonzero(taken) == classes).all()
        assert set(np.flatnonzero(positive)) == set(ids)
        counts[classes] += 1
    assert (counts[ids] == 300).all()
    for part in np.split(np.arange(UNITS), parts):
        labels = np.isin(part, ids)
        share = (size / parts - labels.sum()) / (~labels).sum()
        error = np.abs(counts[part[~labels]] / 300 - share).max()
        assert error < 4.5 * np.sqrt(share * (1 - share) / 300)


def test_a_draw_is_a_function_of_seed_and_step():
    _, _, ids = points()
    first, again = ClassSampler(UNITS, RATE, seed=5), ClassSampler(UNITS, RATE, seed=5)
    other = ClassSampler(UNITS, RATE, seed=6)
    draws = [draw(first, step, ids)[0].tolist() for step in range(4)]
    assert [draw(again, step, ids)[0].tolist() for step in range(4)] == draws
    assert len({tuple(each) for each in draws}) == 4
    assert draw(other, 0, ids)[0].tolist() not in draws


@pytest.mark.parametrize(
    ("name", "block_size", "options"),
    [
        *((name, None, {}) for name in NAMES),
        *((name, 7, {}) for name in cases.VARIOUS),
        *((name, None, HALVES) for name in ("virtual", "subcenter_arcface")),
    ],
)
def test_a_step_is_that_of_a_head_of_the_sampled_classes(name, block_size, options):
    features, kernel, ids = points(name, "float64")
    with float64_allowed():
        head = sampled(name, kernel, block_size, **options)
        classes, places, *_ = draw(head.sampler, 0, ids)
        by_class = kernel.reshape(DIM, UNITS, -1)[:, classes]
        part = by_class.reshape(DIM, -1)
        alone = make(name, part, None)
        if name == "adacos":  # whose scale begins by the number of classes
            alone.scale = head.scale
            alone.moving_scale.assign(head.scale)
        value, by_x, by_kernel = losses_and_gradients(head, kernel, features, ids)
        true_value, true_by_x, true_by_part = losses_and_gradients(
            alone, part, features, places[ids]
        )
    np.testing.assert_allclose(value, true_value, rtol=1e-10)
    np.testing.assert_allclose(by_x, true_by_x, rtol=1e-9, atol=1e-10 * np.abs(true_by_x).max())
    by_class = by_kernel.reshape(DIM, UNITS, -1)
    found = by_class[:, classes].reshape(DIM, -1)
    atol = 1e-10 * np.abs(true_by_part).max()
    np.testing.assert_allclose(found, true_by_part, rtol=1e-9, atol=atol)
    assert (np.delete(by_class, classes, axis=1) == 0).all()


@pytest.mark.parametrize("name", cases.VARIOUS)
def test_all_classes_are_the_whole_head(name):
    features, kernel, ids = points(name)
    whole = losses_and_gradients(make(name, kernel, None), kernel, features, ids)
    found = losses_and_gradients(sampled(name, kernel, rate=1.0), kernel, features, ids)
    for one, other in zip(found, whole):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize(
    ("name", "options"), [("virtual", {}), ("arcface", {}), ("virtual", HALVES)]
)
def test_the_corrected_sum_of_exponentials_is_right_in_the_mean(name, options):
    """exp(P - z'_y) = exp(L) is a sum of exponentials over exp(z'_y), which no draw changes."""
    features, kernel, ids = points(name, "float64")
    small = 0.1 * features  # so that the sums of the draws are not far from each other
    with float64_allowed():
        knobs = {"scale": 4.0} if name == "arcface" else {}
        head = sampled(name, kernel, correction=True, **options, **knobs)
        truth = np.exp(
            losses_and_gradients(make(name, kernel, None, **knobs), kernel, small, ids)[0]
        )
        draws = []
        for step in range(200):
            head.sampler.step.assign(step)
            output = head(small, ids, training=True)
            draws.append(np.exp(-kops.convert_to_numpy(output)[:, 0]))
    draws = np.stack(draws)
    error = draws.std(0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - truth) <= 3 * error).all()
    assert (np.log(draws).mean(0) < np.log(truth) + 3 * error / truth).all()


def test_without_correction_the_sum_is_that_of_the_sample():
    features, kernel, ids = points()
    plain, corrected = (
        kops.convert_to_numpy(sampled("softmax", kernel, None, each)(features, ids, training=True))
        for each in (False, True)
    )
    assert (plain[:, 0] > corrected[:, 0]).all()
    # The second column is a logit's: the correction is for the sum alone.
    np.testing.assert_allclose(plain[:, 1] - plain[:, 0], corrected[:, 1] - corrected[:, 0], 1e-4)


def test_outside_training_all_classes_are_taken():
    features, kernel, ids = points("arcface")
    head, whole = sampled("arcface", kernel), make("arcface", kernel, None)
    expected = kops.convert_to_numpy(whole(features))
    output = kops.convert_to_numpy(head(features, ids))
    np.testing.assert_allclose(output[:, 0], expected[np.arange(BATCH), ids], atol=1e-4)
    np.testing.assert_allclose(kops.convert_to_numpy(head(features)), expected, atol=1e-5)
    found = kops.convert_to_numpy(head.predict_classes(features))
    assert (found == expected.argmax(-1)).all()
    assert int(kops.convert_to_numpy(head.sampler.step)) == 0


def classifier(**knobs):
    model = tiny.classifier(
        "virtual",
        units=UNITS,
        head_arguments={"class_sampling": 0.6, "sampling_seed": 2, **knobs},
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def test_a_classifier_trains_and_goes_on_after_a_file(tmp_path):
    x, y = tiny.data()
    straight, stopped = classifier(), classifier()
    quiet = {"batch_size": 8, "shuffle": False, "verbose": 0}
    history = straight.fit(x, y, epochs=8, **quiet).history
    assert history["loss"][-1] < history["loss"][0]
    stopped.fit(x, y, epochs=4, **quiet)
    stopped.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(kops.convert_to_numpy(loaded.head.sampler.step)) == 12
    loaded.fit(x, y, epochs=4, **quiet)
    tiny.assert_same_weights(straight, loaded, atol=1e-6)
    assert straight.evaluate(x, y, verbose=0)[1] > 0.9


def test_files_load_with_sampling_and_without(tmp_path):
    x, y = tiny.data()
    model, whole = classifier(), tiny.classifier("virtual", units=UNITS)
    model.fit(x, y, batch_size=8, verbose=0)
    for one, other in ((model, whole), (whole, model)):
        one.head.kernel.assign(np.random.default_rng(0).normal(size=(tiny.DIM, UNITS)))
        one.save_weights(tmp_path / "model.weights.h5")
        other.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_array_equal(
            kops.convert_to_numpy(one.head.kernel), kops.convert_to_numpy(other.head.kernel)
        )


@pytest.mark.skipif(BACKEND == "torch", reason="nothing is compiled there")
def test_in_a_compiled_step():
    x, y = tiny.data()
    losses = []
    for jit_compile in (False, True):
        model = classifier(sampling_correction=True, block_size=5)
        model.compile("sgd", jit_compile=jit_compile)
        quiet = {"batch_size": 8, "shuffle": False, "verbose": 0}
        losses.append(model.fit(x, y, epochs=2, **quiet).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_arguments():
    for rate in (0, -0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="class_sampling"):
            heads.Softmax(9, class_sampling=rate)
    with pytest.raises(ValueError, match="sampling_correction=1"):
        heads.Softmax(9, class_sampling=0.5, sampling_correction=1)
    with pytest.raises(ValueError, match=r"sampling_seed=0\.5"):
        heads.Softmax(9, class_sampling=0.5, sampling_seed=0.5)
    with pytest.raises(ValueError, match=r"sampling_correction='x'"):
        heads.Softmax(9, sampling_correction="x")
    with pytest.raises(ValueError, match=r"`sampling_correction` needs `class_sampling`"):
        heads.Softmax(9, sampling_correction=True)
    with pytest.raises(ValueError, match=r"sampling_seed='q'"):
        heads.Softmax(9, sampling_seed="q")
    with pytest.raises(ValueError, match=r"takes no `label_smoothing`, which is a mean"):
        heads.ArcFace(9, class_sampling=0.5, label_smoothing=0.1)
    for name in OTHERS:
        with pytest.raises(ValueError, match=r"no softmax over the classes. Received: class_samp"):
            heads.get(name, 9, class_sampling=0.5)
    head = heads.Softmax(9, class_sampling=0.5, sampling_correction=True)
    again = type(head).from_config(head.get_config())
    assert (again.class_sampling, again.sampling_correction) == (0.5, True)
    assert again.sampler.seed == head.sampler.seed
    assert not head.is_plain_softmax


def test_a_sample_that_cannot_hold_the_labels_is_refused():
    features, kernel, ids = points()
    with pytest.raises(ValueError, match=r"A sample of 4 of 40 classes .*=0.09 with 9 rows"):
        sampled("softmax", kernel, rate=0.09)(features, ids, training=True)
    with pytest.raises(ValueError, match=r"of 40 classes, 8 from each of 2 parts, cannot hold"):
        sampled("softmax", kernel, parts=2)(features, ids, training=True)


def test_a_fit_says_so_before_its_first_step():
    x, y = tiny.data(samples=60)
    model = classifier()
    size = model.head.sampler.size
    with pytest.raises(ValueError, match=rf"A sample of {size} of .* with {size + 1} rows"):
        model.fit(x, y, batch_size=size + 1, verbose=0)
    model.fit(x[: size + 1], y[: size + 1], validation_split=0.5, verbose=0)  # Keras takes 32

    rows = np.eye(model.head.units, dtype="float32")[y]
    classifier().fit(x, rows, batch_size=size, verbose=0)

    sequences, ids = np.repeat(x[:, None], 3, axis=1), np.repeat(y[:, None], 3, axis=1)
    head = heads.get("softmax", 40, class_sampling=0.5)
    model = Classifier(keras.layers.Dense(4), head)
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"A sample of 20 of .* with 21 rows"):
        model.fit(sequences, ids, batch_size=7, verbose=0)
    model.fit(sequences, ids, batch_size=6, verbose=0)
    with pytest.raises(ValueError, match="with 21 rows"):
        model.fit(sequences, ids, batch_size=7, verbose=0)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="batches of unknown size are TensorFlow's")
def test_a_stream_says_what_may_have_made_its_loss_nan():
    import tensorflow as tf

    x, _ = tiny.data(samples=UNITS)
    stream = tf.data.Dataset.from_tensor_slices((x, np.arange(UNITS))).batch(UNITS)
    with pytest.raises(FloatingPointError, match="must hold the labels of a batch"):
        classifier().fit(stream, shuffle=False, verbose=0)


def test_soft_rows_are_refused():
    x, y = tiny.data()
    rows = np.eye(UNITS, dtype="float32")[y]
    classifier().fit(x, rows, batch_size=8, verbose=0)
    with pytest.raises(ValueError, match=r"class ids only"):
        classifier().fit(x, 0.5 * rows + 0.5 / UNITS, batch_size=8, verbose=0)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="batches of unknown size are TensorFlow's")
def test_a_label_without_a_place_makes_its_row_nan():
    import tensorflow as tf

    features, kernel, ids = points()
    head = sampled("softmax", kernel, rate=0.1)
    free = tf.TensorSpec((None, DIM), "float32"), tf.TensorSpec((None,), "int32")
    step = tf.function(lambda x, y: head(x, y, training=True), input_signature=free)
    output = step(features, ids.astype("int32")).numpy()
    assert np.isnan(output[:, 0]).sum() == np.isin(ids, np.unique(ids)[4:]).sum()
