"""A file that this backend wrote loads under the others; the way back is a core test of each."""

import pytest

from tests.models.test_saving import loads_in_a_fresh_process

pytestmark = [pytest.mark.cross_backend, pytest.mark.slow]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_it_loads(backend, tmp_path):
    pytest.importorskip(backend)
    loads_in_a_fresh_process(backend, tmp_path)
