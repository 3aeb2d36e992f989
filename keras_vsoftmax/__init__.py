"""Virtual Softmax and its rivals as output layers for Keras 3."""
