"""Face images from files, decoded by Pillow, so with the same pixels on every backend."""

import concurrent.futures
import contextlib
import functools
import os

import keras
import numpy as np

from keras_vsoftmax.utils.extras import require
from keras_vsoftmax.verification.pixels import eight_bit

# Futures are submitted in groups, so that millions of paths do not become millions of futures.
_GROUP = 4096


def load_image(path, shape):
    """Decode an image and bring it to a shape: the largest central part of that form, resized.

    The picture is turned as its EXIF orientation says. Pixels of every mode and bit depth are
    scaled to 0..255 by their own range, and what is transparent lies over white: see
    `pixels.eight_bit`.

    Args:
        path: the file, in any format that Pillow reads.
        shape: (height, width, channels), with 1 channel for grey or 3 for RGB.

    Returns:
        uint8 array of that shape, pixels from 0 to 255.

    Raises:
        OSError: the file cannot be opened, is no image, or has pixels that cannot be brought to
            0..255 (other errors of Pillow's decoders pass through as they are).
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
    image_ops = require("PIL.ImageOps", extra="examples", feature="reading image files")
    height, width, channels = shape
    # Not by its path: Pillow would map an uncompressed TIFF that is to be turned into memory with
    # width and height exchanged.
    with open(path, "rb") as file, image_module.open(file) as image:
        image_ops.exif_transpose(image, in_place=True)
        image = eight_bit(image, channels)
        scale = min(image.width / width, image.height / height)
        left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
        box = (left, top, left + scale * width, top + scale * height)
        resized = image.resize((width, height), image_module.Resampling.BILINEAR, box=box)
    pixels = np.asarray(resized)
    return pixels.reshape(height, width, channels)


def suffixes():
    """Every ending of the formats that Pillow reads, in lower case with the dot, as a set."""
    image_module = require("PIL.Image", extra="examples", feature="reading image files")
    found = image_module.registered_extensions()
    return {suffix for suffix, kind in found.items() if kind in image_module.OPEN}


def saved_names(root, images):
    """Find images that are there in another format than they are asked for.

    Args:
        root: folder.
        images: paths below it, `PERSON/IMAGE.jpg`.

    Returns:
        dict from those that are not there to the one image beside it of the same name but for the
        ending, `PERSON/IMAGE.png`. What is there, and what is not there in one format only, is
        not among them.
    """
    known, beside, names = suffixes(), {}, {}
    for image in images:
        folder, _, file = image.rpartition("/")
        if os.path.exists(os.path.join(root, image)):
            continue
        if folder not in beside:
            beside[folder] = {}
            with contextlib.suppress(OSError):
                for other in sorted(os.listdir(os.path.join(root, folder))):
                    stem, suffix = os.path.splitext(other)
                    if suffix.lower() in known:
                        beside[folder].setdefault(stem, []).append(other)
        same = beside[folder].get(os.path.splitext(file)[0], [])
        if len(same) == 1:
            names[image] = image.removesuffix(file) + same[0]
    return names


def find_unreadable(paths, verbose=0, decode=None):
    """Decode every file once, several at a time, and tell which are not there or are no images.

    Args:
        paths: sequence of files.
        verbose: 1 shows Keras's progress bar.
        decode: function of a path that decodes it; by default what is decoded is dropped.

    Returns:
        dict from the paths that cannot be read to the reasons, in the order of `paths`.

    Raises:
        ImportError: Pillow is not installed.
    """
    require("PIL.Image", extra="examples", feature="reading image files")
    why_unreadable = functools.partial(_why_unreadable, decode or _decode)
    bar = keras.utils.Progbar(len(paths), unit_name="image", verbose=verbose)
    unreadable = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), _GROUP):
            group = paths[start : start + _GROUP]
            reasons = zip(group, pool.map(why_unreadable, group))
            unreadable.update({path: reason for path, reason in reasons if reason})
            bar.update(start + len(group))
    return unreadable


def _decode(path):
    load_image(path, (1, 1, 1))


def _why_unreadable(decode, path):
    try:
        decode(path)
    # Pillow's decoders raise OSError, SyntaxError, ValueError and others for broken files.
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None
