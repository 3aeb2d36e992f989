"""Memory and traffic of a device in a training step whose classes are split over devices.

A step is the forward pass, the loss, the gradients of features and kernel, and the SGD update, on a
mesh of (batch, model) devices: each has `batch / b` rows, and `classes / m` columns of the kernel.
Numbers are float32.

Without options, a table for very many classes, computed from the shapes alone:

    kernel       d C / m
    temporary    two matrices of logits  B / b  C / m,  or four of  B / b  s C / m,  with s the
                 share that is sampled; the kernel's gradient  d C / m,  or in its place sampled
                 columns and their gradient, each  d s C / m
    sent over the model axis   features' gradient, 2 (m - 1) / m  d B / b,  and the ids of a sample,
                               (m - 1) / m  s C
    sent over the batch axis   kernel's gradient,  2 (b - 1) / b  d s C / m

Sent is what a device sends in a ring; the sums of each row, of a few bytes, and the backbone are
left out. The gradient of a sampled kernel is never whole: the update looks its columns up.

With --check, the same step at a million classes on eight devices that are this machine's cores,
under JAX: what XLA sets aside on a device, what its collectives send, and how far the loss, the
features' gradient and the updated kernel are from those of one device, relative to the largest
number there.

    python benchmarks/sharded_classes.py
    python benchmarks/sharded_classes.py --check
"""

import argparse
import datetime
import math
import os
import re
import subprocess
import sys
import typing

BATCH, DIM, RATE = 512, 256, 0.1
HEAD = "virtual"
DEVICES = 8  # of --check


class Mesh(typing.NamedTuple):
    batch: int
    model: int

    def __str__(self):
        return f"{self.batch} x {self.model}"


def computed(classes, mesh, rate):
    """Bytes of a device: `kernel`, `temporary` and `sent`."""
    rows, columns = BATCH // mesh.batch, classes // mesh.model
    share = rate or 1
    kernel = 4 * DIM * columns
    logits = (2 if rate is None else 4) * 4 * rows * math.ceil(share * columns)
    gradient = kernel if rate is None else 2 * share * kernel
    ids = 0 if rate is None else 4 * share * classes
    over_model = (mesh.model - 1) / mesh.model * (2 * 4 * rows * DIM + ids)
    over_batch = 2 * (mesh.batch - 1) / mesh.batch * share * kernel
    return {
        "kernel": kernel,
        "temporary": logits + gradient,
        "sent": over_model + over_batch,
    }


def table():
    lines = [
        "| classes | devices | mesh | classes taken | kernel, GB | temporary, GB | sent, GB |",
        "|---|---|---|---|---|---|---|",
    ]
    for classes in (10**6, 10**7, 10**8):
        for devices in (8, 64):
            for mesh in (Mesh(1, devices), Mesh(devices // 4, 4)):
                for rate in (None, RATE):
                    found = computed(classes, mesh, rate)
                    lines.append(
                        f"| {classes:,} | {devices} | {mesh} | {'all' if rate is None else rate} "
                        f"| {giga(found['kernel'])} | {giga(found['temporary'])} "
                        f"| {giga(found['sent'])} |"
                    )
    return "\n".join(lines)


def giga(count):
    return f"{count / 1e9:.3g}"


def make_head(classes, rate):
    import keras_vsoftmax

    knobs = {} if rate is None else {"class_sampling": rate, "sampling_seed": 0}
    return keras_vsoftmax.heads.get(HEAD, classes, name="head", **knobs)


def step_of(head):
    """A function of kernel, features and labels: the loss, and both gradients."""
    import jax
    import keras

    import keras_vsoftmax

    loss = keras_vsoftmax.VirtualSoftmaxLoss()
    state = list(head.non_trainable_variables)

    def loss_of(kernel, features, labels, values):
        mapping = [(head.kernel, kernel), *zip(state, values)]
        with keras.StatelessScope(state_mapping=mapping):
            output = head(features, labels, training=True)
            return loss(head.targets(labels, output), output)

    def step(kernel, features, labels, values):
        value, (by_kernel, by_features) = jax.value_and_grad(loss_of, (0, 1))(
            kernel, features, labels, values
        )
        return kernel - 0.01 * by_kernel, value, by_features

    return step


def check(classes):
    print(
        "| mesh | classes taken | temporary, MB | computed | sent, MB | computed "
        "| loss, off by | features' gradient | kernel |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for rate in (1, RATE):
        for mesh in (Mesh(1, 8), Mesh(2, 4), Mesh(4, 2)):
            # A process each, since JAX does not give its memory back.
            row = map(str, (classes, *mesh, rate))
            subprocess.run([sys.executable, __file__, "--row", *row], check=True)


def row(classes, mesh, rate):
    """A line of the table of --check."""
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"
    import jax
    import keras
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    from keras_vsoftmax.distributed import sharding

    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(DIM, classes)).astype("float32")
    features = rng.normal(size=(BATCH, DIM), scale=DIM**-0.5).astype("float32")
    labels = rng.integers(0, classes, BATCH).astype("int32")

    head = make_head(classes, rate)
    device_mesh = keras.distribution.DeviceMesh(mesh, ["batch", "model"])
    distribution = keras.distribution.ModelParallel(
        layout_map=sharding.head_layout_map(head, device_mesh), batch_dim_name="batch"
    )
    with distribution.scope():
        head.build((None, DIM))

    def layout(*axes):
        return NamedSharding(device_mesh.backend_mesh, PartitionSpec(*axes))

    values = [np.asarray(each.value) for each in head.non_trainable_variables]
    split = (
        jax.device_put(kernel, layout(None, "model")),
        jax.device_put(features, layout("batch")),
        jax.device_put(labels, layout("batch")),
        [jax.device_put(value, layout()) for value in values],
    )
    out = (layout(None, "model"), layout(), layout("batch"))
    run = jax.jit(step_of(head), donate_argnums=0, out_shardings=out)
    compiled = run.lower(*split).compile()
    found = [np.asarray(each) for each in compiled(*split)]
    del split

    alone = make_head(classes, rate)
    if rate is not None:  # the same draw on one device
        alone.sampler.split(mesh.model)
    alone.build((None, DIM))
    one = jax.jit(step_of(alone), donate_argnums=0)
    truth = one(jax.device_put(kernel), features, labels, values)
    kernel, loss, by_features = (
        float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, map(np.asarray, truth))
    )
    expected = computed(classes, mesh, rate)
    print(
        f"| {mesh} | {rate or 'all'} | {compiled.memory_analysis().temp_size_in_bytes / 1e6:.1f} "
        f"| {expected['temporary'] / 1e6:.1f} | {sent(compiled.as_text()) / 1e6:.2f} "
        f"| {expected['sent'] / 1e6:.2f} | {loss:.1e} | {by_features:.1e} | {kernel:.1e} |"
    )


# Bytes that a device sends in a ring, for each byte of the result, of n devices.
RINGS = {
    "all-reduce": lambda n: 2 * (n - 1) / n,
    "all-gather": lambda n: (n - 1) / n,
    "reduce-scatter": lambda n: n - 1,
    "all-to-all": lambda n: (n - 1) / n,
    "collective-permute": lambda n: 1,
}
WIDTHS = {"f32": 4, "s32": 4, "u32": 4, "pred": 1, "s64": 8, "f64": 8, "u64": 8, "u8": 1, "s8": 1}


def sent(text):
    """Bytes that a device sends in the collectives of a compiled program."""
    total = 0
    for line in text.splitlines():
        found = re.search(r"= (.+?) (" + "|".join(RINGS) + r")(?:-start)?\(", line)
        if found is None:
            continue
        shapes, kind = found.groups()
        size = sum(
            WIDTHS[dtype] * math.prod(int(side) for side in sides.split(",") if side)
            for dtype, sides in re.findall(r"(\w+)\[([\d,]*)\]", shapes)
        )
        total += RINGS[kind](group_size(line)) * size
    return total


def group_size(line):
    """How many devices take part in a collective."""
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", line)
    if listed:
        return len(listed[1].split(","))
    counted = re.search(r"replica_groups=\[\d+,(\d+)\]", line)
    return int(counted[1]) if counted else DEVICES


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="run it, on eight devices of JAX")
    parser.add_argument("--classes", type=int, default=10**6, help="of --check")
    parser.add_argument("--row", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        classes, batch, model = map(int, args.row[:3])
        rate = float(args.row[3])
        row(classes, Mesh(batch, model), None if rate == 1 else rate)
        return
    print(f"{datetime.date.today()}; {HEAD}, batch {BATCH}, d {DIM}, float32, SGD\n", flush=True)
    if args.check:
        check(args.classes)
    else:
        print(table())


if __name__ == "__main__":
    main()
