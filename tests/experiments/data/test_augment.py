import keras
import numpy as np
import pytest

from keras_vsoftmax.experiments.data.augment import RandomCropMirror

pytestmark = pytest.mark.core


def _crops(image, padding):
    """Every crop of the padded image, and its mirror image, by plain slicing."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((padding,) * 2, (padding,) * 2, (0, 0)), constant_values=127.5)
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[top : top + height, left : left + width]
            yield (top, left, False), crop
            yield (top, left, True), crop[:, ::-1]


def _images(samples=40):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (samples, 7, 5, 3)).astype("float32")


def _draw(layer, images):
    return keras.ops.convert_to_numpy(layer(images, training=True))


def test_output_is_a_crop_or_its_mirror_image():
    images = _images()
    found = []
    for image, output in zip(images, _draw(RandomCropMirror(padding=2, seed=3), images)):
        matches = [place for place, crop in _crops(image, 2) if np.array_equal(crop, output)]
        assert len(matches) == 1
        found += matches
    tops, lefts, mirrored = map(set, zip(*found))
    assert tops == lefts == set(range(5))
    assert mirrored == {True, False}
    # Place and mirroring are drawn apart from each other.
    assert len(set(found)) > 20


def test_draws_are_a_function_of_seed_epoch_and_step():
    images = _images()

    def steps(seed, epoch, count=3):
        layer = RandomCropMirror(seed=seed)
        layer.begin_epoch(epoch)
        return [_draw(layer, images) for _ in range(count)]

    first = steps(1, 4)
    np.testing.assert_array_equal(first, steps(1, 4))
    different = [*first, *steps(1, 5, 1), *steps(2, 4, 1)]
    for i, one in enumerate(different):
        assert not any(np.array_equal(one, other) for other in different[i + 1 :])


def test_identity_outside_training_and_after_loading(tmp_path):
    images = _images(3)
    model = keras.Sequential([keras.Input((7, 5, 3)), RandomCropMirror(padding=1, seed=5)])
    np.testing.assert_array_equal(model.predict(images, verbose=0), images)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    assert (loaded.padding, loaded.seed) == (1, 5)
