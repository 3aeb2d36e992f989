"""Distribution strategies by name, for scripts."""

import contextlib
import json
import os

import keras

NAMES = ("auto", "none", "mirrored", "multiworker")


def get(identifier="auto"):
    """Make the `tf.distribute` strategy that `identifier` names.

    One strategy a process: two that mirror over the same devices disturb each other.

    Args:
        identifier: `"none"`; `"mirrored"`, over all GPUs that TensorFlow sees, or over its
            logical CPUs where there are several; `"multiworker"`, over the hosts that the
            environment variable `TF_CONFIG` lists; `"auto"`, which is `"mirrored"` where there
            are two GPUs or more and `"none"` elsewhere.

    Returns:
        A `tf.distribute.Strategy`, or `None` for one device.

    Raises:
        ValueError: for an unknown identifier, a Keras backend other than TensorFlow, no devices
            to mirror over, or a `TF_CONFIG` that is missing or malformed.

    Example:

    >>> from keras_vsoftmax import strategies
    >>> with strategies.scope(strategies.get("none")):
    ...     pass  # build and compile the model here
    """
    if identifier not in NAMES:
        raise ValueError(
            f"`identifier` must be one of {', '.join(NAMES)}. Received: identifier={identifier!r}"
        )
    backend = keras.backend.backend()
    if identifier == "none" or (identifier == "auto" and backend != "tensorflow"):
        return None
    if backend != "tensorflow":
        raise ValueError(
            f"Strategy {identifier!r} needs KERAS_BACKEND=tensorflow. Received: {backend}"
        )
    import tensorflow as tf

    if identifier == "multiworker":
        _check_tf_config(os.environ.get("TF_CONFIG"))
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = tf.config.list_logical_devices("GPU")
    if identifier == "auto":
        return tf.distribute.MirroredStrategy(devices) if len(devices) > 1 else None
    if not devices:
        devices = tf.config.list_logical_devices("CPU")
        if len(devices) < 2:
            raise ValueError(
                "Strategy 'mirrored' needs a GPU, or several logical CPUs. "
                f"Received: no GPU and {len(devices)} CPU"
            )
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def scope(strategy):
    """The context in which to build and compile a model: the strategy's, or none at all."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def _check_tf_config(text):
    example = (
        'TF_CONFIG must look like {"cluster": {"worker": ["host1:port", "host2:port"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    if not text:
        raise ValueError(f"{example}. Received: no TF_CONFIG in the environment")
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        hosts = cluster[task["type"]]
        fits = all(isinstance(host, str) for host in hosts) and 0 <= task["index"] < len(hosts)
    except (ValueError, KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise ValueError(f"{example}. Received: TF_CONFIG={text}")
