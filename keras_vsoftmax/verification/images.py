"""Face images from files, decoded by Pillow, so with the same pixels on every backend."""

import concurrent.futures
import os

import keras
import numpy as np

from keras_vsoftmax.utils.extras import require

# Futures are submitted in groups, so that millions of paths do not become millions of futures.
_GROUP = 4096


def load_image(path, shape):
    """Decode an image and bring it to a shape: the largest central part of that form, resized.

    Args:
        path: the file, in any format that Pillow reads.
        shape: (height, width, channels), with 1 channel for grey or 3 for RGB.

    Returns:
        uint8 array of that shape, pixels from 0 to 255.

    Raises:
        OSError: the file cannot be opened or is no image (other errors of Pillow's decoders pass
            through as they are).
        ImportError: Pillow is not installed.

    Example:

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "face.pgm"
    >>> Image.new("L", (92, 112), 7).save(path)
    >>> image = load_image(path, (56, 48, 3))
    >>> image.shape, image.dtype, int(image.max())
    ((56, 48, 3), dtype('uint8'), 7)
    """
    image_module = require("PIL.Image", extra="examples", feature="reading image files")
    height, width, channels = shape
    with image_module.open(path) as file:
        image = file.convert("L" if channels == 1 else "RGB")
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
    box = (left, top, left + scale * width, top + scale * height)
    pixels = np.asarray(image.resize((width, height), image_module.Resampling.BILINEAR, box=box))
    return pixels.reshape(height, width, channels)


def find_unreadable(paths, verbose=0):
    """Decode every file once, several at a time, and tell which are not there or are no images.

    Args:
        paths: sequence of files.
        verbose: 1 shows Keras's progress bar.

    Returns:
        dict from the paths that cannot be read to the reasons, in the order of `paths`.

    Raises:
        ImportError: Pillow is not installed.
    """
    require("PIL.Image", extra="examples", feature="reading image files")
    bar = keras.utils.Progbar(len(paths), unit_name="image", verbose=verbose)
    unreadable = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), _GROUP):
            group = paths[start : start + _GROUP]
            reasons = zip(group, pool.map(_why_unreadable, group))
            unreadable.update({path: reason for path, reason in reasons if reason})
            bar.update(start + len(group))
    return unreadable


def _why_unreadable(path):
    try:
        load_image(path, (1, 1, 1))
    # Pillow's decoders raise OSError, SyntaxError, ValueError and others for broken files.
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
