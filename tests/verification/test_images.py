"""Decoding, cropping, and what cannot be read."""

import numpy as np
import pytest

from keras_vsoftmax.verification.images import find_unreadable, load_image

Image = pytest.importorskip("PIL.Image")

pytestmark = pytest.mark.core


def save(path, pixels):
    Image.fromarray(np.asarray(pixels, "uint8")).save(path)
    return path


@pytest.mark.parametrize("suffix", [".png", ".pgm", ".bmp"])
def test_pixels_of_the_right_size_are_kept(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5))
    path = save(tmp_path / f"a{suffix}", pixels)
    image = load_image(path, (7, 5, 1))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image[..., 0], pixels)
    np.testing.assert_array_equal(load_image(path, (7, 5, 3)), np.stack([pixels] * 3, axis=-1))


@pytest.mark.parametrize("wide", [True, False])
def test_the_central_part_of_that_form_is_taken(tmp_path, wide):
    pixels = np.zeros((40, 40))
    pixels[:, 10:30] = 100
    shape = (40, 20, 1)
    if not wide:
        pixels, shape = pixels.T, (20, 40, 1)
    image = load_image(save(tmp_path / "a.png", pixels), shape)
    np.testing.assert_array_equal(image, np.full(shape, 100))


def test_shrinking_averages(tmp_path):
    pixels = np.tile([0, 200], (64, 32))
    image = load_image(save(tmp_path / "a.png", pixels), (8, 8, 1))
    np.testing.assert_allclose(image, 100, atol=8)


def test_unreadable_files_are_told_with_the_reason(tmp_path):
    whole = save(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 256, (60, 60)))
    content = whole.read_bytes()
    cut, text, empty = tmp_path / "cut.png", tmp_path / "text.jpg", tmp_path / "empty.pgm"
    cut.write_bytes(content[: len(content) // 2])
    text.write_text("not a picture")
    empty.write_bytes(b"")
    missing = tmp_path / "missing.png"
    reasons = find_unreadable([whole, cut, text, empty, missing])
    assert list(reasons) == [cut, text, empty, missing]
    assert "FileNotFoundError" in reasons[missing]
    assert "UnidentifiedImageError" in reasons[text]
