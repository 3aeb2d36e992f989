"""Class-sharded heads under JAX: the kernel split over the devices of a mesh."""

import re

import keras


def head_layout_map(head, device_mesh, axis="model"):
    """The layout map that splits a head's kernel over its classes.

        kernel (d, units)  ->  units / n columns on each of the n devices of the mesh axis

    The rest of the model is replicated, and the optimizer's slots follow the kernel. Entries
    for other variables can be added to the map.

    A head with `class_sampling` draws the classes of each device by themselves from now on, so
    that each looks up columns of its own: `ceil(class_sampling * units / n)` on every device, which
    must have room for the labels of a whole batch.

    Args:
        head: A head of this package, not yet built: the distribution must be set first.
        device_mesh: `keras.distribution.DeviceMesh` with a batch axis and a model axis. Batches
            must divide by the batch axis.
        axis: Name of the mesh axis over which the classes are split.

    Returns:
        A `keras.distribution.LayoutMap` for `keras.distribution.ModelParallel`.

    Raises:
        ValueError: For a backend other than JAX, an axis that the mesh lacks, a number of
            classes that does not divide by it, and a head that is built already.

    Example, for eight devices under KERAS_BACKEND=jax:

    ```python
    mesh = keras.distribution.DeviceMesh((2, 4), ["batch", "model"])
    head = keras_vsoftmax.VirtualSoftmax(1_000_000)
    layout_map = sharding.head_layout_map(head, mesh)
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layout_map, batch_dim_name="batch")
    )
    model = keras_vsoftmax.Classifier(backbone(), head)
    ```
    """
    backend = keras.backend.backend()
    if backend != "jax":
        raise ValueError(
            "Class-sharded heads need KERAS_BACKEND=jax: keras.distribution.ModelParallel has no "
            f"other backend. Received: {backend}"
        )
    axes = dict(zip(device_mesh.axis_names, device_mesh.shape))
    if axis not in axes:
        raise ValueError(
            f"`axis` must be an axis of the mesh, one of {', '.join(axes)}. Received: axis={axis!r}"
        )
    if head.units % axes[axis]:
        higher = head.units + -head.units % axes[axis]
        raise ValueError(
            f"The number of classes must divide by the {axes[axis]} devices of the mesh axis "
            f"{axis!r}: {higher} units would, with {higher - head.units} classes that never "
            f"occur. Received: units={head.units}"
        )
    if head.built:
        raise ValueError(
            "The head must not be built before the distribution is set, or its kernel stays on "
            f"one device. Received: the built head {head.name!r}"
        )
    if head.sampler is not None:
        layout = keras.distribution.TensorLayout((axis, None), device_mesh)
        head.sampler.split(axes[axis], lambda x: keras.distribution.distribute_tensor(x, layout))
    layout_map = keras.distribution.LayoutMap(device_mesh)
    layout_map[f"(.*/)?{re.escape(head.name)}/kernel"] = (None, axis)
    return layout_map
