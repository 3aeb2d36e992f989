"""What several test folders share."""

import numpy as np
import pytest


@pytest.fixture
def face_folder():
    """A function that writes a folder tree of tiny faces, PERSON/PERSON_0001.SUFFIX.

    Each person is a pattern of its own, each image that pattern with noise.
    """
    image_module = pytest.importorskip("PIL.Image")

    def write(root, people=4, images=3, size=(28, 24), channels=3, suffix=".png"):
        rng = np.random.default_rng(people)
        for person in range(people):
            pattern = rng.uniform(0, 255, (*size, channels))
            folder = root / f"p{person:02d}"
            folder.mkdir(parents=True)
            for number in range(1, images + 1):
                pixels = np.clip(pattern + rng.normal(0, 20, pattern.shape), 0, 255)
                image = image_module.fromarray(pixels.astype("uint8").squeeze())
                image.save(folder / f"p{person:02d}_{number:04d}{suffix}")
        return root

    return write
