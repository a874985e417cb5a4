"""Runs functions in this process, instead of SAM CLI's containers."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from samcli.lib.providers.provider import Function
from samcli.lib.utils.stream_writer import StreamWriter
from samcli.local.lambdafn.exceptions import FunctionNotFound

from tests.local.aws import REGION
from tests.local.environment import ProcessEnvironment
from tests.local.function_log import output_to, restore_stdout
from tests.local.template import Template
from tests.support.bootstrap import load_module
from tests.support.lambda_context import Context

Handler = Callable[[Any, Any], Any]


class LocalContext(Context):
    """The context object of one invocation, as far as the Lambda runtime's own one is documented."""

    function_version = "$LATEST"

    def __init__(self, function: Function) -> None:
        """Start the clock of one invocation of ``function``."""
        super().__init__(float(function.timeout or 3), now=time.monotonic)
        self.function_name = function.functionname
        self.memory_limit_in_mb = str(function.memory)
        self.invoked_function_arn = f"arn:aws:lambda:{REGION}:123456789012:function:{function.name}"


class Runner(ABC):
    """Calls the functions of a template for the gateway, in place of SAM CLI's ``LocalLambdaRunner``."""

    def __init__(self, template: Template) -> None:
        """Take the functions from ``template``."""
        self.functions = {function.name: function for function in template.functions.get_all()}

    @abstractmethod
    def run(self, name: str, event: str) -> str:
        """Call the function's handler with ``event``. Event and answer are JSON, as on the wire."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind."""

    def is_debugging(self) -> bool:
        """Tell the gateway to serve with many threads."""
        return False

    def get_function(self, function_identifier: str, tenant_id: str | None = None) -> Function:
        """Return the function with this logical id; raises SAM CLI's FunctionNotFound."""
        if function_identifier not in self.functions:
            raise FunctionNotFound(function_identifier)
        return self.functions[function_identifier]

    def invoke(self, function_identifier: str, event: str, *, stdout: StreamWriter, **_: Any) -> None:
        """Write the function's answer, as JSON, to ``stdout``, like ``LocalLambdaRunner.invoke``."""
        stdout.write_str(self.run(function_identifier, event))


class InProcessRunner(Runner):
    """Imports every function once, as one Lambda environment does, and calls its handler in the caller's thread.

    If a function raises, the answer is ``{"errorMessage", "errorType"}``, as from the Lambda service.
    """

    def __init__(self, template: Template, environment: ProcessEnvironment, log: TextIO) -> None:
        """Import the handlers of all functions, each after its own variables were set in the process's environment."""
        super().__init__(template)
        self._log = log
        self._environment = environment
        self._handlers: dict[str, Handler] = {}
        _forget_loggers(self.functions.values())
        for name, function in self.functions.items():
            with output_to(log):
                self._handlers[name] = _load(function, environment)

    def restart(self, name: str, **variables: str) -> None:
        """Import the handler of one function again, with these variables in place of its own."""
        with output_to(self._log):
            self._handlers[name] = _load(self.functions[name], self._environment, variables)

    def close(self) -> None:
        """Remove the functions' loggers from this process, for the next stack."""
        _forget_loggers(self.functions.values())
        restore_stdout()

    def run(self, name: str, event: str) -> str:
        """Call the function's handler with ``event``. Event and answer are JSON, as on the wire."""
        with output_to(self._log):
            try:
                return json.dumps(self._handlers[name](json.loads(event), LocalContext(self.functions[name])))
            except Exception as error:  # noqa: BLE001 - what the Lambda runtime does with whatever a handler raises
                traceback.print_exc(file=self._log)
                return json.dumps({"errorMessage": str(error), "errorType": type(error).__name__})


def _variables(function: Function) -> dict[str, str]:
    variables = (function.environment or {}).get("Variables", {})
    # YAML has numbers, the environment has not. A dict is an unresolved `AWS::NoValue` of SAM CLI.
    return {name: str(value) for name, value in variables.items() if not isinstance(value, dict)}


def _forget_loggers(functions: Iterable[Function]) -> None:
    """Make Powertools create its loggers again: it keeps them by service, bound to the output of their first user."""
    for function in functions:
        logging.Logger.manager.loggerDict.pop(_variables(function).get("POWERTOOLS_SERVICE_NAME", ""), None)


def _load(
    function: Function, environment: ProcessEnvironment, variables: Mapping[str, str] = MappingProxyType({})
) -> Handler:
    environment.set({**_variables(function), **variables})
    for layer in function.layers:
        _make_importable(str(layer.codeuri))
    module_name, _, attribute = str(function.handler).rpartition(".")
    # A later stack in this process needs modules of its own.
    module = load_module(Path(str(function.codeuri)) / f"{module_name}.py")
    handler: Handler = getattr(module, attribute)
    return handler


def _make_importable(layer: str) -> None:
    if layer not in sys.path:
        sys.path.insert(0, layer)
