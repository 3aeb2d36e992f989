"""The example scripts in this process: loading Keras anew would cost more than the run."""

import importlib.util
import pathlib

ROOT = pathlib.Path(__file__).parents[3]


def run_script(script, *argv):
    path = ROOT / "examples" / f"{script}.py"
    spec = importlib.util.spec_from_file_location(f"example_{script}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(argument) for argument in argv])
