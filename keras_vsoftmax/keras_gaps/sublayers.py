"""All the layers in a layer, itself included."""


def sublayers(layer):
    """List the layer and all layers in it, at any depth.

    What Keras lacks (3.10 to 3.15): a public walk over the layers of a plain layer; a model has
    `layers`, of one depth. Relied upon: `Layer._flatten_layers()`.
    """
    return list(layer._flatten_layers())
