"""Pixels as Pillow opened them, of any mode and bit depth, on one scale: 8 bits from 0 to 255."""

import numpy as np

from keras_vsoftmax.utils.extras import require

# What shows through transparent pixels: white, as where a picture is looked at on a page.
BACKGROUND = (255, 255, 255)

_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_FORMAT = 258, 262, 339
_UNSIGNED, _SIGNED = 1, 2


def eight_bit(image, channels):
    """Bring a Pillow image of any mode to 8 bits, by the range of its own mode and bit depth.

    - 1 bit, 8 bits, palettes, CMYK, YCbCr, LAB, HSV: as Pillow converts them.
    - 16 bits: 0..65535, or the bits that a TIFF states (12: 0..4095); signed: 0..32767.
    - 32-bit integers: 0..65535 where every pixel fits, since Pillow keeps 16 bits so, else the
      whole range, 0..2^32-1, or 0..2^31-1 where they are signed.
    - floating point: 0..1 where every pixel lies there, else 0..255 where every pixel does.
    - A TIFF whose zero is white is inverted.
    - Transparency, of any kind, is laid over `BACKGROUND`.

    Args:
        image: a `PIL.Image.Image`.
        channels: 1 for grey, 3 for RGB.

    Returns:
        A `PIL.Image.Image` of mode `"L"` or `"RGB"`.

    Raises:
        OSError: pixels below zero, over the range or not finite, or a mode that Pillow does not
            convert: nothing says how bright they are.
        ImportError: Pillow is not installed.

    Example:

    >>> import numpy as np
    >>> from PIL import Image
    >>> deep = Image.fromarray(np.full((2, 2), 20_000, "uint16"))
    >>> eight_bit(deep, 1).getpixel((0, 0))
    78
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _from_deep(image)
    elif image.has_transparency_data:
        image = _over_background(image)
    # By way of RGB, since Pillow has no road to grey from every mode; `convert` would copy what is
    # right already.
    if image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _from_deep(image):
    module = require("PIL.Image", extra="examples", feature="reading image files")
    pixels = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    signed = tags.get(_TIFF_FORMAT, (_UNSIGNED,))[0] == _SIGNED
    if image.mode == "F":
        scales = (1.0, 255.0)
    else:
        bits = tags.get(_TIFF_BITS, (32 if image.mode == "I" else 16,))[0]
        if bits == 32 and tags and not signed:
            pixels = pixels.view(np.uint32)
        full = 2 ** (bits - signed) - 1
        scales = (2**16 - 1, full) if bits == 32 else (full,)
    transparent = pixels == image.info.get("transparency")
    pixels = pixels.astype(np.float64)
    low, high = pixels.min(), pixels.max()
    # Not the other way round: NaN is in no range.
    scale = next((scale for scale in scales if low >= 0 and high <= scale), None)
    if scale is None:
        raise OSError(
            f"pixels of mode {image.mode} must lie in 0..{' or 0..'.join(map(str, scales))}, "
            f"since nothing else says how bright they are. Received: {low:g} to {high:g}"
        )
    pixels = 255 * pixels / scale
    if tags.get(_TIFF_PHOTOMETRIC) == 0:
        pixels = 255 - pixels
    grey = module.fromarray(np.rint(pixels).astype(np.uint8))
    if not transparent.any():
        return grey
    grey.putalpha(module.fromarray(np.where(transparent, 0, 255).astype(np.uint8)))
    return _over_background(grey)


def _over_background(image):
    module = require("PIL.Image", extra="examples", feature="reading image files")
    # Grey with its alpha multiplied in has no direct road.
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return module.alpha_composite(module.new("RGBA", image.size, (*BACKGROUND, 255)), image)
