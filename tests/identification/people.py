"""Embeddings of people: a direction each, some people like somebody else, and noise."""

import numpy as np


def draw(rng, people, images, dim=32, noise=0.6):
    """Embeddings (people * images, dim), float32, and whose they are, from 0 on."""
    centres = rng.normal(size=(people, dim))
    owners = np.arange(people).repeat(images)
    spread = rng.uniform(0.5, 1, people)[owners, None]
    vectors = centres[owners] + noise * spread * rng.normal(size=(len(owners), dim))
    return vectors.astype("float32"), owners
