"""From a model and a list of pairs to the figures of the protocol."""

import concurrent.futures
import os

import keras
import numpy as np

from keras_vsoftmax.utils.counts import check_count
from keras_vsoftmax.utils.thresholds import check_threshold
from keras_vsoftmax.verification.images import find_unreadable, load_image, saved_names
from keras_vsoftmax.verification.pairs import check_pairs
from keras_vsoftmax.verification.protocol import evaluate_scores
from keras_vsoftmax.verification.scores import cosine_scores, euclidean_scores

_SCORES = {"cosine": cosine_scores, "euclidean": euclidean_scores}


def check_score(score):
    """Raise a ValueError for a score that `verify` does not know."""
    if score not in _SCORES:
        raise ValueError(f"`score` must be one of {sorted(_SCORES)}. Received: score={score!r}")


def embed_images(model, paths, batch_size=128, flip=False, verbose=1, decoded=None):
    """Embed image files, in batches, with Keras's progress bar.

    A batch is decoded while the model runs on the one before, and dropped afterwards: only the
    embeddings stay in memory.

    Args:
        model: a `Classifier`, whose backbone is used, or any Keras model from images
            (batch, height, width, channels) with pixels 0 to 255 to embeddings (batch, d).
        paths: sequence of image files. They are cropped and resized to the model's input as
            `load_image` does.
        batch_size: int.
        flip: whether to take the mean of the embeddings of the image and of its mirror image.
        verbose: 1 shows the progress bar, 0 nothing.
        decoded: `DecodedImages` that keep the pixels, for models to come; `None` keeps none.

    Returns:
        float32 array (images, d), NumPy.

    Raises:
        ValueError: the model has no single image input of known size, or no (batch, d) output, or
            an embedding is not finite.
        ImportError: Pillow is not installed.

    Example:

    >>> import pathlib, tempfile
    >>> import keras
    >>> from PIL import Image
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "face.png"
    >>> Image.new("RGB", (96, 112)).save(path)
    >>> image = keras.Input((56, 48, 3))
    >>> model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    >>> embed_images(model, [path], verbose=0).tolist()
    [[0.0, 0.0, 0.0]]
    """
    check_count("batch_size", batch_size)
    embedder = _embedder(model, flip)
    embeddings = np.empty((len(paths), embedder.output_shape[-1]), np.float32)
    bar = keras.utils.Progbar(len(paths), unit_name="image", verbose=verbose)
    start = 0
    load = load_image if decoded is None else decoded.load
    for batch in _batches(paths, embedder.input_shape[1:], batch_size, load):
        # Not `predict`: it keeps the output of every batch to the end, and on torch these small
        # arrays lie in the gaps that freed batches left, so that memory grows by a batch a step.
        end = start + len(batch)
        # Cut, since in the scope of a tf.distribute strategy each replica gives the whole batch.
        embeddings[start:end] = embedder.predict_on_batch(batch)[: len(batch)]
        bar.update(end)
        start = end
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        raise ValueError(
            f"The embeddings of {len(bad)} images of {len(paths)} are not finite, the first of "
            f"them that of {paths[bad[0]]}"
        )
    return embeddings


def available_pairs(pairs, root, missing="error", decoded=None):
    """The pairs whose images are there and can be read; each image is decoded once to see it.

    An image that was saved in another format than the list says, `1.png` for `1.jpg`, is taken
    where it is the only one of that name; the pairs returned name it as it was saved.

    Args:
        pairs: `Pairs`.
        root: the folder in which the pairs' images lie.
        missing: see `verify`.
        decoded: `DecodedImages` to decode them with, which keep the pixels; `None` keeps none.

    Returns:
        `Pairs`, all of them or, with `"skip"`, some.

    Raises:
        FileNotFoundError: an image cannot be read and `missing` is `"error"`; the message has the
            pair.
        ValueError: `missing` is neither, or no pair is left.
        ImportError: Pillow is not installed.
    """
    check_missing(missing)
    check_pairs(pairs)
    pairs = pairs.renamed(saved_names(root, pairs.images()))
    paths = {image: os.path.join(root, image) for image in pairs.images()}
    find = find_unreadable if decoded is None else decoded.find_unreadable
    reasons = find(list(paths.values()))
    absent = [paths[a] in reasons or paths[b] in reasons for a, b in zip(pairs.first, pairs.second)]
    if missing == "error" and any(absent):
        index = int(np.argmax(absent))
        reason = reasons.get(paths[pairs.first[index]]) or reasons[paths[pairs.second[index]]]
        raise FileNotFoundError(
            f"An image of {pairs.describe(index)} cannot be read under {root}. {reason}. "
            f'There are {sum(absent)} such pairs of {len(pairs)}; missing="skip" leaves them out'
        )
    if all(absent):
        raise ValueError(f"None of the {len(pairs)} pairs has both its images under {root}")
    return pairs.select(~np.array(absent))


def verify(
    model,
    pairs,
    root,
    score="cosine",
    flip=False,
    batch_size=128,
    missing="error",
    verbose=1,
    threshold=None,
    decoded=None,
):
    """Score pairs of faces with a model and measure it as LFW does. Each image is embedded once.

    Args:
        model: see `embed_images`.
        pairs: `Pairs`, as from `read_lfw_pairs`.
        root: the folder in which the pairs' images lie, in any format, see `available_pairs`.
        score: `"cosine"` or `"euclidean"`.
        flip: see `embed_images`.
        batch_size: int.
        missing: what to do about a pair with an image that is not there or cannot be read:
            `"error"`, or `"skip"`, which counts it in the result.
        verbose: 1 shows the progress bar, 0 nothing.
        threshold: see `evaluate_scores`; from the `best_threshold()` of another result.
        decoded: `DecodedImages` that keep the pixels of these images, for models to come, or have
            them from before; `None` decodes them anew, and keeps memory small.

    Returns:
        `VerificationResult`.

    Raises:
        FileNotFoundError: an image cannot be read and `missing` is `"error"`; the message has the
            pair.
        ValueError: an argument is not as above, or too few pairs are left.
        ImportError: Pillow or scikit-learn is not installed.

    Example:

    ```python
    pairs = read_lfw_pairs("lfw/pairs.txt")
    print(verify(model, pairs, "lfw/images", flip=True))
    ```
    """
    check_score(score)
    check_count("batch_size", batch_size)
    if threshold is not None:
        check_threshold(threshold)
    found = available_pairs(pairs, root, missing, decoded)
    images = found.images()
    paths = [os.path.join(root, image) for image in images]
    embeddings = embed_images(model, paths, batch_size, flip, verbose, decoded)
    row = {image: number for number, image in enumerate(images)}
    first = embeddings[[row[image] for image in found.first]]
    second = embeddings[[row[image] for image in found.second]]
    return evaluate_scores(
        _SCORES[score](first, second),
        found.matched,
        found.folds,
        skipped=len(pairs) - len(found),
        threshold=threshold,
    )


def check_missing(missing):
    """Raises a ValueError unless this is what `verify` takes for `missing`."""
    if missing not in ("error", "skip"):
        raise ValueError(f'`missing` must be "error" or "skip". Received: missing={missing!r}')


def image_shape(model):
    """The (height, width, channels) of the images that a model embeds.

    Raises:
        ValueError: the model has no single image input of known size.
    """
    backbone = getattr(model, "backbone", model)
    shape = getattr(backbone, "input_shape", None)
    known = isinstance(shape, tuple) and len(shape) == 4 and None not in shape[1:]
    if not known or shape[-1] not in (1, 3):
        raise ValueError(
            "The model must have one input of a known shape (batch, height, width, 1 or 3). "
            f"Received: {backbone.name} with input shape {shape}"
        )
    return shape[1:]


def _embedder(model, flip):
    backbone = getattr(model, "backbone", model)
    image = keras.Input(image_shape(model))
    embedding = backbone(image, training=False)
    if len(getattr(embedding, "shape", ())) != 2:
        raise ValueError(
            "The model must give embeddings of shape (batch, d), and nothing else. "
            f"Received: {backbone.name} with output shape {backbone.output_shape}"
        )
    if flip:
        mirrored = backbone(keras.ops.flip(image, axis=2), training=False)
        embedding = keras.layers.average([embedding, mirrored])
    return keras.Model(image, embedding)


def _batches(paths, shape, batch_size, load):
    """Batches of images, each valid until the next one is asked for.

    Two buffers take turns, and threads write into them: images that outlive the thread's own
    memory would leave gaps there, and the process would grow with their number.
    """
    buffers = np.empty((2, min(batch_size, len(paths)), *shape), np.uint8)

    def decode(buffer, row, path):
        buffer[row] = load(path, shape)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:

        def begin(number):
            group = paths[number * batch_size : (number + 1) * batch_size]
            buffer = buffers[number % 2][: len(group)]
            return buffer, [pool.submit(decode, buffer, *image) for image in enumerate(group)]

        ahead = begin(0)
        for number in range(-(-len(paths) // batch_size)):
            (batch, decoded), ahead = ahead, begin(number + 1)
            for image in decoded:
                image.result()
            yield batch
