"""Images that many models are to see, decoded once."""

import os

from keras_vsoftmax.verification import images


class DecodedImages:
    """Images of one shape, each decoded once and kept, as bytes.

    For training and `verify`, where several epochs or models see the same images: LFW's 7,701 at
    112x96 take 248 MB.

    Args:
        shape: (height, width, channels) to which the images are brought, see `load_image`.

    Example:

    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "face.png"
    >>> Image.new("L", (48, 56), 7).save(path)
    >>> images = DecodedImages((56, 48, 1))
    >>> images.find_unreadable([path])
    {}
    >>> path.unlink()
    >>> int(images.load(path, (56, 48, 1)).max())
    7
    """

    def __init__(self, shape):
        self.shape = tuple(shape)
        self._pixels = {}
        self._reasons = {}

    def find_unreadable(self, paths, verbose=0):
        """As the function of that name; what can be read is kept, and what was seen not decoded."""
        new = [path for path in map(os.fspath, paths) if path not in self._pixels]
        new = [path for path in new if path not in self._reasons]
        if new:
            self._reasons |= images.find_unreadable(new, verbose, self._keep)
        reasons = {path: self._reasons.get(os.fspath(path)) for path in paths}
        return {path: reason for path, reason in reasons.items() if reason}

    def _keep(self, path):
        self._pixels[path] = images.load_image(path, self.shape)

    def load(self, path, shape):
        """As `load_image`, from what is kept where it has that shape."""
        kept = self._pixels.get(os.fspath(path)) if tuple(shape) == self.shape else None
        return images.load_image(path, shape) if kept is None else kept
