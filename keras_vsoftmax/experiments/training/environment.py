"""What a run was made with."""

import importlib.metadata
import os
import platform

import keras


def versions():
    """Versions that decide a run's numbers."""
    names = ("keras_vsoftmax", "keras", "numpy", keras.backend.backend())
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


def device():
    """The accelerators that the backend sees, or the number of CPU cores."""
    names = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]()
    if names:
        return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
    return f"{cores} CPU cores, {platform.machine()}"


def deterministic():
    """Ask the backend for operations that give the same numbers each time."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif keras.backend.backend() == "torch":
        import torch

        torch.use_deterministic_algorithms(True, warn_only=True)


def _tensorflow():
    import tensorflow as tf

    return [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]


def _jax():
    import jax

    return [found.device_kind for found in jax.devices() if found.platform != "cpu"]


def _torch():
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
