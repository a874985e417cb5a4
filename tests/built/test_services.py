"""What was left out of the layer is what nobody asks for: every client is made of what is there, and no other one."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from oauth_broker import aws
from tests.built.artifacts import DEPENDENCIES_LAYER, LAYERS, BarePython, ImportFailed, environment_of, functions

pytestmark = pytest.mark.built

SERVICES = sorted(set(re.findall(r'boto3\.client\("(\w+)"', inspect.getsource(aws))))
# What the code calls, by the Protocol that tells of it.
OPERATIONS = {
    "dynamodb": aws.DynamoDbClient,
    "secretsmanager": aws.SecretsManagerClient,
    "kms": aws.KmsClient,
    "dynamodbstreams": aws.DynamoDbStreamsClient,
    "sqs": aws.SqsClient,
}


def run(python: BarePython, folder: Path, program: str) -> None:
    """Run the program with both layers and nothing else; raises ImportFailed."""
    (folder / "program.py").write_text(program)
    environment = environment_of(functions()["OperatorFunction"])
    environment.pop("AWS_ENDPOINT_URL", None)
    python.import_from([folder, *(layer / "python" for layer in LAYERS)], ["program"], environment)


def test_the_layer_describes_the_services_that_the_code_makes_clients_of_and_no_others() -> None:
    data = DEPENDENCIES_LAYER / "python" / "botocore" / "data"
    assert sorted(path.name for path in data.iterdir() if path.is_dir()) == SERVICES == sorted(OPERATIONS)


def test_every_client_can_be_made_and_has_all_that_is_called(python3_13: BarePython, tmp_path: Path) -> None:
    checks = [
        f"assert callable(aws.{service}().{name})"
        for service, client in OPERATIONS.items()
        for name in vars(client)
        if not name.startswith("_")
    ]
    assert len(checks) >= len(OPERATIONS)
    run(python3_13, tmp_path, "from oauth_broker import aws\n" + "\n".join(checks))


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("region", ["eu-west-1", "us-gov-west-1", "cn-north-1"])
def test_every_client_knows_where_its_service_is(
    python3_13: BarePython, tmp_path: Path, service: str, region: str
) -> None:
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    prefix = {"dynamodbstreams": "streams.dynamodb"}.get(service, service)
    run(
        python3_13,
        tmp_path,
        "import boto3\n"
        f"found = boto3.client({service!r}, region_name={region!r}).meta.endpoint_url\n"
        f"assert found == 'https://{prefix}.{region}.{domain}', found\n",
    )


def test_a_client_of_another_service_fails_and_says_of_which(python3_13: BarePython, tmp_path: Path) -> None:
    with pytest.raises(ImportFailed, match="UnknownServiceError: Unknown service: 's3'"):
        run(python3_13, tmp_path, "import boto3\nboto3.client('s3')")


def test_what_powertools_needs_to_log_and_count_is_there(python3_13: BarePython, tmp_path: Path) -> None:
    run(
        python3_13,
        tmp_path,
        "import os, sys\n"
        "from oauth_broker.telemetry import PowertoolsTelemetry\n"
        "sys.stdout = sys.stderr\n"
        "telemetry = PowertoolsTelemetry(os.environ)\n"
        "telemetry.log('info', 'event', {'reason': 'r'})\n"
        "telemetry.count('Metric', {'reason': 'r'})\n"
        "telemetry.measure('Metric', 1.5, {})\n"
        "sys.stdout = sys.__stdout__\n",
    )
