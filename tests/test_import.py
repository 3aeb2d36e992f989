"""What importing the package loads, and what a missing extra says."""

import os
import subprocess
import sys

import keras
import pytest

from keras_vsoftmax.utils import extras

pytestmark = pytest.mark.core

IMPORT = """
import sys

import keras

before = set(sys.modules)
import keras_vsoftmax

loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded - set(sys.stdlib_module_names)))
print("tensorflow" in sys.modules)
"""


def test_the_package_loads_nothing_that_keras_does_not():
    backend = keras.backend.backend()
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", IMPORT]
    result = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=300
    )
    loaded, has_tensorflow = result.stdout.splitlines()
    assert loaded == "keras_vsoftmax"
    assert has_tensorflow == str(backend == "tensorflow")


def test_a_missing_extra_is_named():
    assert extras.require("json", extra="tuner", feature="search").loads("1") == 1
    with pytest.raises(ImportError) as caught:
        extras.require("no_such_module", extra="tuner", feature="The search")
    message = str(caught.value)
    assert message.startswith("The search needs no_such_module, which is not installed")
    assert 'pip install "keras_vsoftmax[tuner]"' in message
