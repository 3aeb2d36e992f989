"""One small training, alone and under a distribution, and how far the two are apart."""

import keras
import numpy as np

from keras_vsoftmax import Classifier, VirtualSoftmaxLoss, heads

CLASSES = 6
SAMPLES = 21
# Heads to train in blocks, one of each kind: products, norms, cosines, several class vectors,
# changed logits, state.
BLOCKED = ("softmax", "virtual", "arcface", "subcenter_arcface", "curricular", "adacos")
SAMPLED = ("virtual", "subcenter_arcface", "adacos")


def data(samples=SAMPLES, ignored=False):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, 8))
    y = rng.integers(0, CLASSES, samples)
    if ignored:
        y[::3] = -1
    return x, y, rng.uniform(0, 2, samples)


def make_head(name, units=CLASSES, **knobs):
    # The draws of replicas differ, so that the noise is left out where they are compared.
    knobs = {"alpha": 0.0, **knobs} if name == "noisy" else knobs
    return heads.get(
        name,
        units,
        kernel_initializer=keras.initializers.GlorotUniform(seed=5),
        kernel_regularizer=keras.regularizers.L2(1e-3),
        **knobs,
    )


def model(head="virtual", policy="float32", batch_norm=False, knobs=None, **loss):
    """A regularised network, the same at every call. `head` is a head or its identifier."""
    keras.config.set_floatx("float64" if policy == "float64" else "float32")
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(3)
    layers = [
        keras.Input((8,)),
        keras.layers.Dense(16, activation="tanh", kernel_regularizer=keras.regularizers.L2(1e-3)),
        *([keras.layers.BatchNormalization(synchronized=True)] if batch_norm else []),
        keras.layers.Dense(4),
    ]
    head = make_head(head, **(knobs or {})) if isinstance(head, str) else head
    classifier = Classifier(keras.Sequential(layers), head)
    classifier.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        VirtualSoftmaxLoss(**loss),
        metrics=["accuracy"],
    )
    return classifier


def outcome(
    scope, samples=SAMPLES, batch_size=8, epochs=3, weighted=True, evaluated=False, **options
):
    """Trains in a scope, and returns everything that came of it as {name: array}."""
    x, y, weights = data(samples, ignored="ignore_class" in options)
    weights = weights if weighted else None
    with scope:
        classifier = model(**options)
    validation = ((x, y) if weights is None else (x, y, weights)) if evaluated else None
    history = classifier.fit(
        x,
        y,
        sample_weight=weights,
        batch_size=batch_size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        validation_data=validation,
    )
    found = {"weights": classifier.get_weights(), "logs": list(history.history.values())}
    if evaluated:
        arguments = {"batch_size": batch_size, "verbose": 0}
        found["evaluated"] = classifier.evaluate(x, y, sample_weight=weights, **arguments)
        found["predicted"] = [classifier.predict(x, **arguments)]
    return found


def difference(one, other):
    """The largest difference of each part, relative to the largest number in it."""
    return {name: _difference(one[name], other[name]) for name in one}


def _difference(one, other):
    one, other = ([np.asarray(part, "float64") for part in parts] for parts in (one, other))
    assert [part.shape for part in one] == [part.shape for part in other]
    scale = max(np.abs(part).max() for part in one)
    return float(max(np.abs(a - b).max() for a, b in zip(one, other)) / scale)
