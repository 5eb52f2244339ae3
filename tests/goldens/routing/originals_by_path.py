"""Loads single files of a package that is not installed: what they import of the package are empty modules, or what the caller gives.

The files are not part of this project: the caller names a checkout of the version that it says.
"""
import hashlib
import importlib.util
import sys
import types
from pathlib import Path


class Anything:
    """What an import of a stub gives; nothing here may use it."""

    def __init__(self, *_, **__):
        pass


def stub(name, **given):
    module = types.ModuleType(name)
    module.__getattr__ = lambda attribute: Anything if not attribute.startswith("__") else (_ for _ in ()).throw(AttributeError(attribute))
    for key, value in given.items():
        setattr(module, key, value)
    module.__path__ = []
    sys.modules[name] = module
    return module


def load(folder, files, sha256, version):
    """{module's name: module} of `files` {module's name: path}, in their order."""
    folder = Path(folder)
    found = hashlib.sha256(b"".join((folder / path).read_bytes() for path in files.values())).hexdigest()
    if found != sha256:
        raise SystemExit(f"{folder} does not hold {version}: its files' sum is {found}")
    modules = {}
    for name, path in files.items():
        spec = importlib.util.spec_from_file_location(name, folder / path)
        sys.modules[name] = modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    return modules
