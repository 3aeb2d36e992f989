"""Embeddings to look at: a map of thumbnails, a strip of neighbours, TensorBoard's projector."""

import numpy as np

from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.report.figures import new_figure, save
from keras_vsoftmax.utils.extras import require
from keras_vsoftmax.utils.files import atomic_path
from keras_vsoftmax.utils.vectors import unit

METHODS = ("pca", "tsne")
# TensorBoard shows sprites up to this many pixels a side.
_SPRITE = 8192


def check(count, shape):
    """See before the training whether so many images can be on a map, and in a sprite.

    Args:
        count: int.
        shape: (height, width, channels) of an image.

    Raises:
        ExperimentError: they are too few, or too many.
    """
    if count < 3:
        raise ExperimentError(f"A map needs 3 images. Received: {count}")
    most = (_SPRITE // max(shape[:2])) ** 2
    if count > most:
        raise ExperimentError(
            f"A sprite may have {_SPRITE} pixels a side, {most:,} images of this size. "
            f"Received: {count:,} images of {shape[0]}x{shape[1]}"
        )


def positions(embeddings, method, seed=0):
    """Two coordinates for each embedding of unit length, from scikit-learn.

    Args:
        embeddings: float array (samples, d).
        method: `"pca"`, or `"tsne"` for t-SNE by the cosine.
        seed: int, of t-SNE.

    Returns:
        float array (samples, 2).
    """
    vectors = unit(np.asarray(embeddings, "float32"))
    if method == "pca":
        made = require("sklearn.decomposition", extra="examples", feature="The map of embeddings")
        return made.PCA(2, random_state=seed).fit_transform(vectors)
    made = require("sklearn.manifold", extra="examples", feature="The map of embeddings")
    threads = require("threadpoolctl", extra="examples", feature="The map of embeddings")
    tsne = made.TSNE(
        2,
        metric="cosine",
        perplexity=min(30, (len(vectors) - 1) / 3),
        init="random",
        random_state=seed,
    )
    # Threads that wait for each other at every step take minutes where the cores are busy.
    with threads.threadpool_limits(1):
        return tsne.fit_transform(vectors)


def thumbnails(points, images, labels, title, path):
    """Draw images at the places of their embeddings, framed in the colour of their class.

    Args:
        points: float array (samples, 2), from `positions`.
        images: uint8 array (samples, height, width, channels).
        labels: class ids (samples,).
        title: of the figure.
        path: of the image.
    """
    offsetbox = require("matplotlib.offsetbox", extra="examples", feature="Drawing")
    colours = require("matplotlib", extra="examples", feature="Drawing").colormaps["tab20"]
    figure, (axes,) = new_figure(1, (11, 11))
    classes = np.unique(labels)
    zoom = 24 / max(images.shape[1:3])
    for point, image, label in zip(points, images, labels):
        colour = colours(int(np.searchsorted(classes, label)) % 20)
        box = offsetbox.AnnotationBbox(
            offsetbox.OffsetImage(_rgb(image), zoom=zoom),
            point,
            pad=0.12,
            frameon=True,
            bboxprops={"edgecolor": colour, "facecolor": colour, "linewidth": 0},
        )
        axes.add_artist(box)
    margin = 0.05 * np.ptp(points, axis=0)
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    axes.set(title=title, xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
    save(figure, path)


def strip(images, labels, queries, neighbours, title, path):
    """Draw queries, each with its nearest images beside it, right ones green, wrong ones red.

    Args:
        images: uint8 array (samples, height, width, channels).
        labels: class ids (samples,).
        queries: int array (rows,), which images are the queries.
        neighbours: int array (rows, k), their nearest images, the nearest first.
        title: of the figure.
        path: of the image.
    """
    rows, columns = neighbours.shape
    figure, axes = new_figure(columns + 1, (0.95 * (columns + 1), 0.95 * rows + 0.7), rows)
    for row, query in enumerate(queries):
        shown = [query, *neighbours[row]]
        for column, (cell, index) in enumerate(zip(axes[row * (columns + 1) :], shown)):
            cell.imshow(_rgb(images[index]))
            cell.set(xticks=[], yticks=[])
            right = labels[index] == labels[query]
            colour = "black" if column == 0 else "#2a9d3a" if right else "#d62728"
            for spine in cell.spines.values():
                spine.set(edgecolor=colour, linewidth=1.5 if column == 0 else 4)
            if row == 0:
                cell.set_title("query" if column == 0 else str(column), fontsize=9)
    figure.suptitle(title, fontsize=11)
    save(figure, path)


def projector(embeddings, images, labels, folder):
    """Write what TensorBoard's projector shows: vectors, labels, and a sprite of the images.

    Args:
        embeddings: float array (samples, d).
        images: uint8 array (samples, height, width, channels).
        labels: class ids (samples,).
        folder: the log directory that TensorBoard is started on.
    """
    image_module = require("PIL.Image", extra="examples", feature="TensorBoard's sprites")
    check(len(images), images.shape[1:])
    height, width = images.shape[1:3]
    side = int(np.ceil(np.sqrt(len(images))))
    sheet = np.full((side * height, side * width, 3), 255, "uint8")
    for place, image in enumerate(images):
        top, left = height * (place // side), width * (place % side)
        sheet[top : top + height, left : left + width] = _rgb(image)
    with atomic_path(folder / "sprite.png") as temporary:
        image_module.fromarray(sheet).save(temporary)
    with atomic_path(folder / "tensors.tsv") as temporary:
        np.savetxt(temporary, embeddings, fmt="%.6g", delimiter="\t")
    with atomic_path(folder / "metadata.tsv") as temporary:
        temporary.write_text("".join(f"{label}\n" for label in labels))
    with atomic_path(folder / "projector_config.pbtxt") as temporary:
        temporary.write_text(
            'embeddings {\n  tensor_name: "embedding"\n  tensor_path: "tensors.tsv"\n'
            '  metadata_path: "metadata.tsv"\n  sprite {\n    image_path: "sprite.png"\n'
            f"    single_image_dim: {width}\n    single_image_dim: {height}\n  }}\n}}\n"
        )


def _rgb(image):
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
