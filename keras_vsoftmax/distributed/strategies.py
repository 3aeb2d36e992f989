"""Distribution strategies by name, for scripts, and what several workers need beside one."""

import contextlib
import json
import os

import keras

NAMES = ("auto", "none", "mirrored", "multiworker")

_TF_CONFIG = (
    'TF_CONFIG must look like {"cluster": {"worker": ["host1:23456", "host2:23456"]}, '
    '"task": {"type": "worker", "index": 0}}, with the index of this host'
)


def get(identifier="auto"):
    """Makes the `tf.distribute` strategy that `identifier` names.

    One strategy a process: two that mirror over the same devices disturb each other. Call it
    before anything else touches TensorFlow, since several workers connect at its start.

    Args:
        identifier: "none"; "mirrored", over all GPUs, or, without any, over the logical CPUs
            where there are several; "multiworker", over the hosts that the environment
            variable `TF_CONFIG` lists; "auto", which is "mirrored" where there are two GPUs or
            more, and "none" elsewhere and under another backend.

    Returns:
        A `tf.distribute.Strategy`, or None for one device.

    Raises:
        ValueError: For an unknown identifier, a Keras backend other than TensorFlow, no devices
            to mirror over, or a `TF_CONFIG` that is missing or malformed.

    Example:

    >>> from keras_vsoftmax.distributed import strategies
    >>> with strategies.scope(strategies.get("none")):
    ...     pass  # build and compile the model here
    """
    if identifier not in NAMES:
        raise ValueError(f"A strategy must be one of {', '.join(NAMES)}. Received: {identifier!r}")
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
    devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    if identifier == "auto" and len(devices) < 2:
        return None
    if not devices:
        devices = [device.name for device in tf.config.list_logical_devices("CPU")]
        if len(devices) < 2:
            raise ValueError(
                "Strategy 'mirrored' needs GPUs, or several logical CPUs. "
                f"Received: no GPU and {len(devices)} CPU"
            )
    return tf.distribute.MirroredStrategy(devices)


def scope(strategy):
    """The context in which to build and compile a model: the strategy's, or none at all."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def is_chief(strategy):
    """Whether this process is the one that writes files: the only one, or the first worker."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None or not resolver.task_type:
        return True
    chief = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return (resolver.task_type, resolver.task_id) == (chief, 0)


def _check_tf_config(text):
    if not text:
        raise ValueError(f"{_TF_CONFIG}. Received: no TF_CONFIG in the environment")
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        hosts = cluster[task["type"]]
        fits = (
            isinstance(hosts, list)
            and set(cluster) <= {"chief", "worker"}
            and all(host.rpartition(":")[2].isdigit() for job in cluster.values() for host in job)
            and type(task["index"]) is int
            and task["index"] in range(len(hosts))
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise ValueError(f"{_TF_CONFIG}. Received: TF_CONFIG={text}")
