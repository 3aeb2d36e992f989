"""Every mode, bit depth, orientation and transparency comes out as 0..255, or not at all."""

import numpy as np
import pytest

from keras_vsoftmax.verification.images import find_unreadable, load_image

Image = pytest.importorskip("PIL.Image")
ImageCms = pytest.importorskip("PIL.ImageCms")
ImageOps = pytest.importorskip("PIL.ImageOps")

pytestmark = pytest.mark.core

SIZE = (48, 56)


def plain(mode, colour):
    return Image.new(mode, SIZE, colour)


def deep(value, dtype="uint16"):
    return Image.fromarray(np.full(SIZE[::-1], value, dtype))


def big_endian(value):
    return Image.frombytes("I;16B", SIZE, np.full(SIZE, value, ">u2").tobytes())


def lab(colour):
    profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    return ImageCms.profileToProfile(plain("RGB", colour), *profiles, outputMode="LAB")


def loads_as(path, colour, atol=0):
    image = load_image(path, (8, 6, 3))
    np.testing.assert_allclose(image.astype(int), np.tile(colour, (8, 6, 1)), atol=atol)
    grey = load_image(path, (8, 6, 1)).astype(int)
    luma = np.dot(colour, (0.299, 0.587, 0.114))
    np.testing.assert_allclose(grey, np.full((8, 6, 1), luma), atol=atol + 1)


@pytest.mark.parametrize(
    ("name", "make", "grey"),
    [
        ("16.png", lambda: deep(20_000), 78),
        ("16.tif", lambda: deep(20_000), 78),
        ("16.pgm", lambda: deep(20_000), 78),
        ("16.jp2", lambda: deep(20_000), 78),
        ("16_max.png", lambda: deep(65_535), 255),
        ("16_big.tif", lambda: big_endian(20_000), 78),
        # Pillow keeps 16 bits in 32, here and where it reads deep PGM files.
        ("32_low.tif", lambda: plain("I", 20_000), 78),
        ("32.tif", lambda: plain("I", 2**30), 128),
        ("float.tif", lambda: plain("F", 0.2), 51),
        ("float.pfm", lambda: plain("F", 1.0), 255),
        ("float_255.tif", lambda: plain("F", 200.0), 200),
        ("1.png", lambda: plain("1", 1), 255),
        ("1.pbm", lambda: plain("1", 0), 0),
        ("l.png", lambda: plain("L", 7), 7),
    ],
)
def test_grey_of_every_depth(tmp_path, name, make, grey):
    make().save(tmp_path / name)
    loads_as(tmp_path / name, (grey,) * 3)


@pytest.mark.parametrize(
    ("bits", "value", "expected"), [(12, 4095, 255), (12, 2048, 128), (16, 4095, 16)]
)
def test_a_tiff_is_scaled_by_the_bits_that_it_states(tmp_path, bits, value, expected):
    """Pillow reads 12-bit files and does not write them: the pixels are packed by hand."""
    deep(0).save(tmp_path / "whole.tif", tiffinfo={})
    packed = [value >> 4, (value & 15) << 4 | value >> 8, value & 255]
    pixels = bytes(packed) * (SIZE[0] // 2) * SIZE[1]
    if bits == 16:
        pixels = value.to_bytes(2, "little") * SIZE[0] * SIZE[1]
    tags = {256: SIZE[0], 257: SIZE[1], 258: bits, 259: 1, 262: 1, 277: 1, 278: SIZE[1]}
    tags |= {273: 8, 279: len(pixels)}
    content = b"II*\0" + (8 + len(pixels)).to_bytes(4, "little") + pixels
    content += len(tags).to_bytes(2, "little")
    for tag, number in sorted(tags.items()):
        kind = 4 if number > 65_535 else 3
        content += tag.to_bytes(2, "little") + kind.to_bytes(2, "little")
        content += (1).to_bytes(4, "little") + number.to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(content + bytes(4))
    loads_as(tmp_path / "a.tif", (expected,) * 3)


def test_a_deep_tiff_whose_zero_is_white_is_inverted(tmp_path):
    deep(20_000).save(tmp_path / "a.tif", tiffinfo={262: 0})
    loads_as(tmp_path / "a.tif", (177,) * 3)


@pytest.mark.parametrize(
    ("name", "make", "colour", "atol"),
    [
        ("rgb.png", lambda: plain("RGB", (200, 30, 60)), (200, 30, 60), 0),
        ("p.png", lambda: plain("RGB", (200, 30, 60)).quantize(4), (200, 30, 60), 0),
        ("cmyk.tif", lambda: plain("CMYK", (0, 255, 0, 0)), (255, 0, 255), 0),
        ("cmyk.jpg", lambda: plain("CMYK", (0, 255, 0, 0)), (255, 0, 255), 2),
        ("ycbcr.jpg", lambda: plain("YCbCr", (100, 128, 128)), (100, 100, 100), 1),
        ("lab.tif", lambda: lab((200, 30, 60)), (200, 30, 60), 2),
    ],
)
def test_colours_of_every_mode(tmp_path, name, make, colour, atol):
    make().save(tmp_path / name)
    loads_as(tmp_path / name, colour, atol)


@pytest.mark.parametrize("mode", ["HSV", "RGBX", "La", "RGBa"])
def test_modes_that_no_common_file_has(mode):
    from keras_vsoftmax.verification.pixels import eight_bit

    colour = {"HSV": (0, 255, 255), "RGBX": (255, 0, 0, 9), "La": (0, 0), "RGBa": (0, 0, 0, 0)}
    expected = (255, 0, 0) if mode in ("HSV", "RGBX") else (255, 255, 255)
    assert eight_bit(plain(mode, colour[mode]), 3).getpixel((0, 0)) == expected
    assert eight_bit(plain(mode, colour[mode]), 1).mode == "L"


def half_transparent_palette():
    image = plain("RGB", (10, 20, 30)).quantize(2)
    image.info["transparency"] = bytes([128] * 2)
    return image


@pytest.mark.parametrize(
    ("name", "make", "options", "colour"),
    [
        ("clear.png", lambda: plain("RGBA", (10, 20, 30, 0)), {}, (255, 255, 255)),
        ("half.png", lambda: plain("RGBA", (10, 20, 30, 128)), {}, (132, 137, 142)),
        ("full.png", lambda: plain("RGBA", (10, 20, 30, 255)), {}, (10, 20, 30)),
        ("la.png", lambda: plain("LA", (100, 128)), {}, (177, 177, 177)),
        ("clear.webp", lambda: plain("RGBA", (0, 0, 0, 0)), {"lossless": True}, (255,) * 3),
        ("clear.gif", lambda: plain("P", 0), {"transparency": 0}, (255,) * 3),
        ("palette.png", half_transparent_palette, {}, (132, 137, 142)),
        ("pa.tif", lambda: plain("PA", (0, 0)), {}, (255,) * 3),
        ("one_grey.png", lambda: plain("L", 50), {"transparency": 50}, (255,) * 3),
        ("other_grey.png", lambda: plain("L", 50), {"transparency": 51}, (50,) * 3),
        ("colour.png", lambda: plain("RGB", (1, 2, 3)), {"transparency": (1, 2, 3)}, (255,) * 3),
        ("deep.png", lambda: deep(20_000), {"transparency": 20_000}, (255,) * 3),
    ],
)
def test_transparency_is_laid_over_white(tmp_path, name, make, options, colour):
    make().save(tmp_path / name, **options)
    loads_as(tmp_path / name, colour, atol=1)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_orientation_says(tmp_path, suffix, orientation):
    corners = np.zeros((40, 80), "uint8")
    corners[:20, :40], corners[:20, 40:], corners[20:, :40] = 240, 160, 80
    image, path = Image.fromarray(corners), tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    # As bytes without compression, a TIFF is one that Pillow would map into memory.
    options = {"quality": 100} if suffix in ("jpg", "webp") else {}
    image.save(path, exif=exif, **options)
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    expected = image.transpose(turn[orientation]) if orientation > 1 else image
    expected = np.asarray(expected)[..., None].astype(int)
    np.testing.assert_allclose(load_image(path, expected.shape), expected, atol=20)


def test_orientation_as_pillow_shows_it(tmp_path):
    """The example of the fault: the white half of a picture on its side ends on top."""
    picture = np.zeros((40, 80), "uint8")
    picture[:, :40] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    image = load_image(tmp_path / "a.png", (80, 40, 1))
    shown = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    np.testing.assert_array_equal(image[..., 0], shown)
    assert (image[0].mean(), image[-1].mean()) == (255, 0)


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("negative.tif", lambda: plain("I", -3), "must lie in 0..65535.* Received: -3 to -3"),
        ("bright.tif", lambda: plain("F", 300.0), "must lie in 0..1.* Received: 300 to 300"),
        ("nan.tif", lambda: plain("F", float("nan")), "Received: nan to nan"),
    ],
)
def test_what_cannot_be_mapped_is_an_unreadable_image(tmp_path, name, make, reason):
    make().save(tmp_path / name)
    with pytest.raises(OSError, match=reason):
        load_image(tmp_path / name, (8, 6, 1))
    assert list(find_unreadable([tmp_path / name])) == [tmp_path / name]
