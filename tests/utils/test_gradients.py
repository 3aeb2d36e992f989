import gc
import weakref

import numpy as np
import pytest
from keras import ops as kops

from keras_vsoftmax.utils.gradients import with_gradient
from tests.backends import BACKEND

pytestmark = pytest.mark.core


@pytest.mark.skipif(BACKEND != "torch", reason="only torch hangs the gradient on the output")
def test_memory_of_a_step_goes_with_its_output():
    def forward(x):
        output = 2 * x
        return output, {"parts": (output, [x])}

    run = with_gradient(forward, lambda xs, kept, g: (kept["parts"][0] * g,))
    x = kops.convert_to_tensor(np.ones(3, "float32")).requires_grad_()
    gc.disable()
    try:
        output = run(x)
        gone = weakref.ref(output)
        output.sum().backward()
        del output
        assert gone() is None
    finally:
        gc.enable()
    np.testing.assert_array_equal(kops.convert_to_numpy(x.grad), [2, 2, 2])
