"""Trains every head with its classes split over two and four devices of JAX, and without."""

import contextlib
import functools

import keras

from keras_vsoftmax import heads
from keras_vsoftmax.distributed import sharding
from tests.distributed import processes, training

UNITS = 8
MESHES = {"1 x 2": (1, 2), "2 x 2": (2, 2), "1 x 4": (1, 4)}  # batch x model
CASES = {name: (name, {}) for name in heads.NAMES}
CASES |= {f"{name} in blocks": (name, {"block_size": 3}) for name in training.BLOCKED}
# Labels are below 6, and so in the first part, which has room for the eight of a batch.
SAMPLED = {"units": 8 * UNITS, "class_sampling": 0.6, "sampling_seed": 1}
CASES |= {f"{name} sampled": (name, SAMPLED) for name in training.SAMPLED}
# Batches must divide by the mesh. In float64 nothing but a fault tells sharded from whole.
OPTIONS = {"samples": 24, "evaluated": True, "policy": "float64"}


def make_head(name, knobs):
    return training.make_head(name, **{"units": UNITS, **knobs})


def compare(name, knobs):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    alone = functools.cache(functools.partial(unsplit, name, tuple(knobs.items())))
    return {label: split(name, knobs, shape, alone) for label, shape in MESHES.items()}


def unsplit(name, knobs, parts):
    """On one device. A sampled head draws there as it does on so many."""
    head = make_head(name, dict(knobs))
    if head.sampler is not None:
        head.sampler.split(parts)
    return training.outcome(contextlib.nullcontext(), head=head, **OPTIONS)


def split(name, knobs, shape, alone):
    expected = alone(shape[1] if "class_sampling" in knobs else 1)
    devices = keras.distribution.list_devices()[: shape[0] * shape[1]]
    mesh = keras.distribution.DeviceMesh(shape, ["batch", "model"], devices)
    head = make_head(name, knobs)
    distribution = keras.distribution.ModelParallel(
        layout_map=sharding.head_layout_map(head, mesh), batch_dim_name="batch"
    )
    with distribution.scope():
        found = training.outcome(contextlib.nullcontext(), head=head, **OPTIONS)
    return {**training.difference(expected, found), "columns": columns(head)}


def columns(head):
    """How many columns of the kernel each device holds."""
    shards = head.kernel.value.addressable_shards
    return sorted({shard.data.shape[1] for shard in shards})


if __name__ == "__main__":
    processes.main(
        lambda: {name: functools.partial(compare, *case) for name, case in CASES.items()}
    )
