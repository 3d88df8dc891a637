"""What the build leaves of botocore's data is what boto3 needs to call the three services."""

import gzip
import json
import shutil
from pathlib import Path

import botocore
import pytest

from dev.trim_models import trim

DATA = Path(botocore.__file__).parent / "data"


@pytest.fixture
def trimmed(tmp_path):
    for service in ("s3", "sqs", "sns"):
        shutil.copytree(DATA / service, tmp_path / service)
    shutil.copy(DATA / "endpoints.json", tmp_path)
    trim(tmp_path)
    return tmp_path


def model(data: Path) -> dict:
    [path] = data.glob("s3/*/service-2.json.gz")
    return json.loads(gzip.decompress(path.read_bytes()))


def described(part) -> bool:
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    own = part.get("documentation") if isinstance(part, dict) else ""
    return bool(isinstance(own, str) and own) or any(map(described, parts))


def test_a_service_that_is_not_called_goes(trimmed):
    assert {path.name for path in trimmed.iterdir()} == {"s3", "sqs", "endpoints.json"}


def test_a_model_keeps_every_operation_and_shape_and_loses_its_descriptions(trimmed):
    whole, left = model(DATA), model(trimmed)

    assert described(whole)
    assert not described(left)
    for part in ("operations", "shapes", "clientContextParams"):
        assert left[part].keys() == whole[part].keys()
    assert left["operations"]["PutObject"]["input"] == whole["operations"]["PutObject"]["input"]


def test_endpoints_are_known_in_every_partition(trimmed):
    partitions = json.loads((trimmed / "endpoints.json").read_bytes())["partitions"]

    assert "aws-cn" in {partition["partition"] for partition in partitions}
    assert all("s3" in partition["services"] for partition in partitions)
    assert not any("ec2" in partition["services"] for partition in partitions)
