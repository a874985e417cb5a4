"""The layer leaves out unused parts only: it suffices for every client in use, and for no other client."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from pathlib import Path

import pytest

from oauth_broker.runtime import aws
from tests.built.artifacts import (
    BROKER_LAYER,
    DEPENDENCIES_LAYER,
    LAYERS,
    BarePython,
    Imported,
    ImportFailed,
    environment_of,
    files_in,
    functions,
)

pytestmark = pytest.mark.built

SERVICES = sorted(set(re.findall(r'_client\("([\w-]+)"', inspect.getsource(aws))))
# The Protocol of each client lists the calls of the code.
OPERATIONS = {
    "dynamodb": aws.DynamoDbClient,
    "secretsmanager": aws.SecretsManagerClient,
    "kms": aws.KmsClient,
    "lambda": aws.LambdaClient,
    "dynamodbstreams": aws.DynamoDbStreamsClient,
    "events": aws.EventsClient,
    "service-quotas": aws.ServiceQuotasClient,
    "sqs": aws.SqsClient,
}


# The broker uses these packages but never loads these modules: host names beyond ASCII, calendars, and S3's transfers.
# Removing single files from a package would save little space and no time, and break with its next release.
NEVER_LOADED = {"dateutil/rrule", "idna/uts46data", "s3transfer/crt", "s3transfer/processpool", "urllib3/contrib"}
# Bytes of source and bytecode together.
WORTH_LEAVING_OUT = 50 * 1024


def maker(service: str) -> str:
    """Return the name of the function that makes the client; ``lambda`` itself is a word of the language."""
    return "aws.aws_lambda" if service == "lambda" else f"aws.{service.replace('-', '_')}"


def run(python: BarePython, folder: Path, program: str) -> Imported:
    """Run the program with both layers and nothing else; raises ImportFailed."""
    (folder / "program.py").write_text(program)
    environment = environment_of(functions()["OperatorFunction"])
    environment.pop("AWS_ENDPOINT_URL", None)
    return python.import_from([folder, *(layer / "python" for layer in LAYERS)], ["program"], environment)


def test_the_layer_describes_the_services_that_the_code_makes_clients_of_and_no_others() -> None:
    data = DEPENDENCIES_LAYER / "python" / "botocore" / "data"
    assert sorted(path.name for path in data.iterdir() if path.is_dir()) == SERVICES == sorted(OPERATIONS)


def test_every_client_can_be_made_and_has_every_called_operation(python3_13: BarePython, tmp_path: Path) -> None:
    checks = [
        f"assert callable({maker(service)}().{name})"
        for service, client in OPERATIONS.items()
        for name in vars(client)
        if not name.startswith("_")
    ]
    assert len(checks) >= len(OPERATIONS)
    run(python3_13, tmp_path, "from oauth_broker.runtime import aws\n" + "\n".join(checks))


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("region", ["eu-west-1", "us-gov-west-1", "cn-north-1"])
def test_every_client_knows_where_its_service_is(
    python3_13: BarePython, tmp_path: Path, service: str, region: str
) -> None:
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    prefix = {"dynamodbstreams": "streams.dynamodb", "service-quotas": "servicequotas"}.get(service, service)
    run(
        python3_13,
        tmp_path,
        "import boto3\n"
        f"found = boto3.client({service!r}, region_name={region!r}).meta.endpoint_url\n"
        f"assert found == 'https://{prefix}.{region}.{domain}', found\n",
    )


def test_a_client_of_another_service_fails_and_names_the_service(python3_13: BarePython, tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="UnknownServiceError: Unknown service: 's3'"):
        run(python3_13, tmp_path, "import boto3\nboto3.client('s3')")


LOG_AND_COUNT = (
    "import os, sys\n"
    "from oauth_broker.runtime.telemetry import PowertoolsTelemetry\n"
    "sys.stdout = sys.stderr\n"
    "telemetry = PowertoolsTelemetry(os.environ)\n"
    "telemetry.log('info', 'event', {'reason': 'r'})\n"
    "telemetry.count('Metric', {'reason': 'r'})\n"
    "telemetry.measure('Metric', 1.5, {})\n"
    "sys.stdout = sys.__stdout__\n"
)


def test_powertools_has_everything_to_log_and_count(python3_13: BarePython, tmp_path: Path) -> None:
    run(python3_13, tmp_path, LOG_AND_COUNT)


def test_large_unused_modules_are_only_the_listed_ones(python3_13: BarePython, tmp_path: Path) -> None:
    files = [Path(name).relative_to("python") for name in files_in(BROKER_LAYER) if name.endswith(".py")]
    modules = sorted(".".join(path.with_suffix("").parts) for path in files if path.name != "__init__.py")
    program = [
        *(f"import {module}" for module in modules),
        "from oauth_broker.runtime import aws",
        *(f"{maker(service)}()" for service in SERVICES),
        LOG_AND_COUNT,
    ]
    loaded = {Path(path) for path in run(python3_13, tmp_path, "\n".join(program)).loaded}
    sizes: Counter[str] = Counter()
    packages = DEPENDENCIES_LAYER.resolve() / "python"
    for source in packages.rglob("*.py"):
        if source not in loaded:
            files = [source, *source.parent.glob(f"__pycache__/{source.stem}.*.pyc")]
            piece = "/".join(source.relative_to(packages).with_suffix("").parts[:2])
            sizes[piece] += sum(file.stat().st_size for file in files)
    assert {piece for piece, size in sizes.items() if size > WORTH_LEAVING_OUT} == NEVER_LOADED
