"""Each function may do what it does and nothing else: read off its calls, then tried with its role."""

import re
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from dev import emulator
from support.activity import Activity, Asked
from support.template import FUNCTIONS, module_of

Permission = tuple[str, str]  # an action, and what it is done to
QUEUES = {
    "queue": "JobQueue",
    "dead": "DeadJobs",
    "deliveries": "Deliveries",
    "retries": "RetriedDeliveries",
    "dead deliveries": "DeadDeliveries",
}

# What a request needs, where that is not an action of its own name.
NEEDS = {
    "HeadObject": ("s3:GetObject", "s3:ListBucket"),  # without the second, what is not there is forbidden
    "ListObjectsV2": ("s3:ListBucket",),
    "DeleteObjects": ("s3:DeleteObject",),
    "CreateBucket": (),  # never sent: boto3 makes the address of a presigned POST of it
}


def needed(asked: Asked, names: dict[str, str]) -> set[Permission]:
    if asked.operation == "TransactWriteItems":
        return {
            (f"dynamodb:{kind}Item", "table") for one in asked.parameters["TransactItems"] for kind in one
        }
    if asked.operation == "CopyObject":
        _, _, copied = asked.parameters["CopySource"].partition("/")  # after the bucket
        return {("s3:GetObject", folder(copied)), ("s3:PutObject", folder(asked.parameters["Key"]))}
    actions = NEEDS.get(asked.operation, (f"{asked.service}:{asked.operation}",))
    return {(action, of) for action in actions for of in targets(action, asked.parameters, names)}


def targets(action: str, parameters: dict[str, Any], names: dict[str, str]) -> set[str]:
    if action == "s3:ListBucket":
        return {"bucket"}
    if action.startswith("s3:"):
        keys = [entry["Key"] for entry in parameters.get("Delete", {}).get("Objects", ())]
        return {folder(key) for key in keys or [parameters["Key"]]}
    if action.startswith("dynamodb:"):
        return {parameters.get("IndexName", "table")}
    if action == "events:PutEvents":
        return {"bus"}
    return {name for name in QUEUES if names[name] == parameters["QueueUrl"]}


def folder(key: str) -> str:
    return f"{key.partition('/')[0]}/"


def granted(function: str) -> set[Permission]:
    """What the template lets a function do, under the names of ``targets``."""
    found = set()
    for policy in FUNCTIONS[function]["Policies"]:
        for statement in policy["Statement"]:
            actions, resources = statement["Action"], statement["Resource"]
            for action in [actions] if isinstance(actions, str) else actions:
                for resource in resources if isinstance(resources, list) else [resources]:
                    found.add((action, named(resource)))
    return found


def named(resource: dict[str, Any]) -> str:
    [text] = resource.values()
    if "If" in resource:  # one of two buses
        return "bus"
    if found := re.search(r"(uploads|sources|outputs)/\*$", text):
        return f"{found[1]}/"
    if found := re.search(r"/index/(\w+)$", text):
        return found[1]
    known = {"VideoTable.Arn": "table"} | {f"{resource}.Arn": name for name, resource in QUEUES.items()}
    return known.get(text, "bucket")


EVERY = {permission for function in FUNCTIONS for permission in granted(function)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_exactly_what_it_does(function, activity: Activity):
    did = set()
    for asked in activity.asked:
        if asked.function == module_of(function):
            did |= needed(asked, activity.names)

    assert did == granted(function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_has_something_that_it_may_not_do(function):
    assert EVERY - granted(function)


# ── With the role itself ─────────────────────────────────────────────────────────

# What SAM adds to a role for the event that calls its function.
POLLING = {("sqs:GetQueueAttributes", name) for name in ("queue", "dead")}
BY_SAM = {"TranscodeVideo": POLLING, "DeliverWebhook": POLLING}
NOBODY = "nobody"  # no video has this id, so that nothing comes of what is allowed


@pytest.fixture(scope="module")
def role(stack: emulator.Stack) -> Callable[[str], boto3.Session]:  # noqa: ARG001  it is running then
    """``role("ReadVideo")``: a session with the rights of that function."""

    def assume(function: str) -> boto3.Session:
        deployed = emulator.client("cloudformation").describe_stack_resource(
            StackName=emulator.STACK, LogicalResourceId=function
        )["StackResourceDetail"]["PhysicalResourceId"]
        arn = emulator.client("lambda").get_function_configuration(FunctionName=deployed)["Role"]
        keys = emulator.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return boto3.Session(
            keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=emulator.REGION
        )

    return assume


def attempt(session: boto3.Session, permission: Permission, outputs: dict[str, str]) -> str:
    """Try it; S3's, DynamoDB's or SQS's word if it was refused, "" if it was not."""
    action, target = permission
    service, _, operation = action.partition(":")
    client: Any = session.client(service, endpoint_url=emulator.endpoint())  # type: ignore[call-overload]
    bucket, table = {"Bucket": outputs["MediaBucketName"]}, {"TableName": outputs["VideoTableName"]}
    file, record = {"Key": f"{target}{NOBODY}"}, {"Key": {"id": {"S": NOBODY}}}
    queue = {"QueueUrl": outputs[f"{QUEUES.get(target, 'JobQueue')}Url"]}
    in_order = {"MessageGroupId": NOBODY, "MessageDeduplicationId": NOBODY} if target == "deliveries" else {}
    tries: dict[str, Callable[[], Any]] = {
        "GetObject": lambda: client.get_object(**bucket, **file),
        "PutObject": lambda: client.put_object(**bucket, **file, Body=b""),
        "DeleteObject": lambda: client.delete_object(**bucket, **file),
        "ListBucket": lambda: client.list_objects_v2(**bucket, MaxKeys=1),
        "GetItem": lambda: client.get_item(**table, **record),
        "PutItem": lambda: client.put_item(
            **table, Item={"id": {"S": NOBODY}}, ConditionExpression="attribute_exists(id)"
        ),
        "UpdateItem": lambda: client.update_item(
            **table, **record, UpdateExpression="REMOVE nothing", ConditionExpression="attribute_exists(id)"
        ),
        "BatchGetItem": lambda: client.batch_get_item(
            RequestItems={table["TableName"]: {"Keys": [record["Key"]]}}
        ),
        "DeleteItem": lambda: client.delete_item(**table, **record),
        "Query": lambda: client.query(
            **table,
            IndexName=target,
            KeyConditionExpression="#hash = :nobody",
            ExpressionAttributeNames={
                "#hash": {"in_flight": "shard", "queued": "waiting", "by_owner": "owner"}[target]
            },
            ExpressionAttributeValues={":nobody": {"S": NOBODY}},
        ),
        "SendMessage": lambda: client.send_message(
            **queue, **in_order, MessageBody=f'{{"video_id": "{NOBODY}"}}'
        ),
        "PutEvents": lambda: client.put_events(
            Entries=[
                {
                    "EventBusName": outputs["EventBusName"],
                    "Source": NOBODY,
                    "DetailType": NOBODY,
                    "Detail": "{}",
                }
            ]
        ),
        "ChangeMessageVisibility": lambda: client.change_message_visibility(
            **queue, ReceiptHandle=NOBODY, VisibilityTimeout=0
        ),
        "GetQueueAttributes": lambda: client.get_queue_attributes(**queue),
    }
    try:
        tries[operation]()
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        return code if "AccessDenied" in code else ""
    return ""


@pytest.mark.policies
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_that_tries_what_is_anothers_is_refused(function, role, stack):
    others = EVERY - granted(function) - BY_SAM.get(function, set())
    session = role(function)

    let_pass = {permission for permission in others if not attempt(session, permission, stack.outputs)}

    assert let_pass == set()


@pytest.mark.policies
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_that_does_its_own_is_not_refused(function, role, stack):
    session = role(function)

    refused = {permission for permission in granted(function) if attempt(session, permission, stack.outputs)}

    assert refused == set()
