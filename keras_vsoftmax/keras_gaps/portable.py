"""Compile settings that were saved on one backend, for another one."""


def portable(config):
    """Names Keras's public optimizers in the place of those of its torch backend.

    On torch, Keras 3.15 writes the module of its own subclass into the file, which no other
    backend can use; `keras.optimizers` gives that subclass again on torch.
    """
    if isinstance(config, (list, tuple)):
        return [portable(value) for value in config]
    if not isinstance(config, dict):
        return config
    config = {key: portable(value) for key, value in config.items()}
    if str(config.get("module", "")).startswith("keras.src.backend.torch.optimizers"):
        config |= {"module": "keras.optimizers", "registered_name": None}
    return config
