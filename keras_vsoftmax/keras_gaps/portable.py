"""Compile settings that were saved on one backend, for another one."""


def portable(config):
    """Name Keras's public optimizers in the place of those of its torch backend.

    What Keras lacks (3.10 to 3.15): on torch it writes the module of its own subclass into the
    file, which no other backend can use. Relied upon: the name of that module, and that
    `keras.optimizers` gives the subclass again on torch.
    """
    if isinstance(config, (list, tuple)):
        return [portable(value) for value in config]
    if not isinstance(config, dict):
        return config
    config = {key: portable(value) for key, value in config.items()}
    if str(config.get("module", "")).startswith("keras.src.backend.torch.optimizers"):
        config |= {"module": "keras.optimizers", "registered_name": None}
    return config
