"""The package `ops` of a rendered project, imported: these tests need neither a server nor an engine."""

import importlib.util
import itertools
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def import_ops(bake_once) -> Callable[..., ModuleType]:
    """Import the package of a project with all its modules: import_ops(deployment="swarm").backups."""

    def load(**answers: str) -> ModuleType:
        folder = bake_once(**answers).path / "ops"
        # A name of its own: the packages of several projects can be imported.
        name = f"ops_{next(NUMBERS)}"
        spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
        package = importlib.util.module_from_spec(spec)
        sys.modules[name] = package
        with pytest.MonkeyPatch.context() as patch:
            # The tests of the rendered files share the project.
            patch.setattr(sys, "dont_write_bytecode", True)
            spec.loader.exec_module(package)
            for file in sorted(folder.glob("[!_]*.py")):
                importlib.import_module(f"{name}.{file.stem}")
        return package

    return load


@pytest.fixture(scope="session")
def ops(import_ops) -> ModuleType:
    """The package for one host with continuous backup: ops.backups is a module of it."""
    return import_ops(deployment="compose", backup="continuous")
