"""The build runs by itself: a bare Python of the runtime's version imports it as Lambda does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from samcli.lib.providers.provider import Function

from tests.built.artifacts import (
    BROKER_LAYER,
    LAYERS,
    BarePython,
    Imported,
    ImportFailed,
    environment_of,
    files_in,
    folder_of,
    functions,
    layers_of,
)

pytestmark = pytest.mark.built


def import_function(
    python: BarePython, function: Function, layers: list[Path], environment: dict[str, str] | None = None
) -> Imported:
    """Cold-start the function with these layers."""
    module, _, attribute = str(function.handler).partition(".")
    assert attribute == "lambda_handler"
    folders = [folder_of(function), *(layer / "python" for layer in layers)]
    return python.import_from(folders, [module], environment or environment_of(function))


def test_each_function_starts_with_its_layers_and_nothing_else(python3_13: BarePython) -> None:
    for function in functions().values():
        imported = import_function(python3_13, function, layers_of(function))
        assert imported.handlers == [True]
        assert imported.network == []


def test_only_the_short_handler_itself_is_compiled_at_a_cold_start(python3_13: BarePython) -> None:
    for function in functions().values():
        imported = import_function(python3_13, function, layers_of(function))
        assert imported.compiled == [str(folder_of(function) / "app.py")]
        assert len(imported.bytecode) == len(imported.loaded) - 1


def test_garbage_is_not_collected_while_a_function_starts(python3_13: BarePython, tmp_path: Path) -> None:
    (tmp_path / "start.py").write_text(
        "import gc\n"
        "collections = lambda: sum(generation['collections'] for generation in gc.get_stats())\n"
        "before = collections()\n"
        "from app import lambda_handler\n"
        "assert collections() - before <= 1, collections() - before\n"
    )
    for function in functions().values():
        folders = [tmp_path, folder_of(function), *(layer / "python" for layer in layers_of(function))]
        assert python3_13.import_from(folders, ["start"], environment_of(function)).handlers == [True]


def test_every_module_of_the_shared_package_is_imported_without_being_compiled(python3_13: BarePython) -> None:
    package = BROKER_LAYER / "python"
    names = [name.removesuffix(".py") for name in files_in(package) if name.endswith(".py")]
    modules = sorted(name.replace("/", ".").removesuffix(".__init__") for name in names)
    function = next(iter(functions().values()))
    imported = python3_13.import_from([layer / "python" for layer in LAYERS], modules, environment_of(function))
    assert imported.compiled == []
    assert {str(package / f"{name}.py") for name in names} <= {*imported.loaded}


def test_a_module_without_bytecode_is_noticed(python3_13: BarePython, tmp_path: Path) -> None:
    shorn = shutil.copytree(BROKER_LAYER, tmp_path / "layer")
    (shorn / "python" / "oauth_broker" / "config" / "__pycache__" / "settings.cpython-313.pyc").unlink()
    function = functions()["AuthorizeFunction"]
    _, dependencies = layers_of(function)
    imported = import_function(python3_13, function, [shorn, dependencies])
    assert str(shorn / "python" / "oauth_broker" / "config" / "settings.py") in imported.compiled
    assert len(imported.bytecode) == len(imported.loaded) - 2


def test_a_missing_layer_is_noticed(python3_13: BarePython) -> None:
    for layer in LAYERS:
        with pytest.raises(ImportFailed, match="ModuleNotFoundError"):
            import_function(python3_13, functions()["AuthorizeFunction"], [layer])


def test_a_missing_variable_is_noticed(python3_13: BarePython) -> None:
    function = functions()["AuthorizeFunction"]
    environment = environment_of(function)
    del environment["APPS"]
    with pytest.raises(ImportFailed, match="ConfigurationError: APPS"):
        import_function(python3_13, function, layers_of(function), environment)


def test_a_call_to_the_network_is_noticed(python3_13: BarePython, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import socket\ntry:\n  socket.create_connection(('127.0.0.1', 9))\nexcept OSError: ..."
    )
    imported = python3_13.import_from([tmp_path], ["app"], {})
    assert imported.network == ["socket.getaddrinfo"]
    assert imported.handlers == [False]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_every_source_of_a_layer_has_bytecode_that_lambda_takes_unchecked(python3_13: BarePython, layer: Path) -> None:
    sources = python3_13.sources_of_bytecode(layer)
    # Tracebacks name this place, because Lambda unpacks layers there.
    assert sorted(sources.values()) == sorted(f"/opt/{name}" for name in files_in(layer) if name.endswith(".py"))
