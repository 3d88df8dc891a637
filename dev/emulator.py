"""AWS on this machine: MiniStack started, the stack deployed to it with sam, and found again.

    python -m dev.emulator run       MiniStack on localhost:4566 until Ctrl-C
    python -m dev.emulator deploy    the built stack, to whatever answers there

MiniStack runs functions in Lambda's image, so Docker must be there for them. It listens on
loopback only; a relay lets its containers in, and says of every request that it came by TLS,
as load balancers do: the bucket's policy lets nothing else pass.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import boto3
import httpx

PROJECT = Path(__file__).parent.parent
PYTHON = PROJECT / ".venv-emulator" / "bin" / "python"
REGION = "us-east-1"
MINISTACK_PORT = 4565  # behind the relay
STACK = "tiktoken"


@cache
def endpoint() -> str:
    """Where the emulator answers: LocalStack's address unless LOCALSTACK_HOST says otherwise.

    localstack-client is published as source only, so it stays in the environment of the emulator.
    """
    program = "from localstack_client import config; print(config.get_service_endpoint('s3'))"
    try:
        told = subprocess.run([PYTHON, "-c", program], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError(f"There is no {PYTHON.relative_to(PROJECT)}: make .venv-emulator/.ready") from None
    return told.stdout.strip()


def answers() -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{endpoint()}/_localstack/health", timeout=5).status_code < 500
    return False


# ── The emulator ─────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def emulator(log: Path, *, auth: bool = False) -> Iterator[str]:
    """MiniStack for the length of a ``with``, unless an emulator answers already: then that one.

    Args:
        auth: enforce signatures, IAM policies and the bucket's policy.
    """
    if answers():
        yield endpoint()
        return
    port = int(endpoint().rpartition(":")[2])
    with _Relay([(host, port) for host in {"127.0.0.1", docker_host()}], ("127.0.0.1", MINISTACK_PORT)):
        try:
            process = _start_ministack(log, auth=auth, port=port)
        except RuntimeError:  # a busy machine may need a second go; a test never gets one
            process = _start_ministack(log, auth=auth, port=port)
        try:
            yield endpoint()
        finally:
            _stop(process)


def docker_host() -> str:
    """The address at which containers find this machine: the bridge's on Linux, loopback elsewhere.

    Without Docker there are none, and loopback will do.
    """
    if sys.platform != "linux" or not shutil.which("docker"):
        return "127.0.0.1"
    inspect = ["docker", "network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}"]
    bridge = subprocess.run(inspect, check=False, capture_output=True, text=True)
    if bridge.returncode:  # the client alone, no engine
        return "127.0.0.1"
    [network, *_] = json.loads(bridge.stdout)
    # An engine that was just started names none before its next start; it is the first address.
    return network.get("Gateway") or str(next(ip_network(network["Subnet"]).hosts()))


def _start_ministack(log: Path, *, auth: bool, port: int) -> subprocess.Popen[bytes]:
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(MINISTACK_PORT),
        "IOT_MTLS_ENABLED": "0",  # else it listens on 8883, too, and to everybody
        "LAMBDA_EXECUTOR": "docker",
        "LAMBDA_DOCKER_FLAGS": "--memory 3008m -e PYTHONDONTWRITEBYTECODE=1",  # as read-only as Lambda's
        "AUTH": str(auth).lower(),
        "AWS_ENDPOINT_URL": f"http://localhost:{port}",  # what its functions are told
    }
    with log.open("ab") as output:
        process = subprocess.Popen(["ministack"], stdout=output, stderr=output, env=_environment() | settings)
    deadline = time.monotonic() + 60
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            _stop(process)
            raise RuntimeError(f"MiniStack did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)  # it removes its containers itself
    process.wait(timeout=60)


class _Relay:
    """Forwards HTTP from several addresses to one, as a proxy that has ended TLS."""

    def __init__(self, addresses: list[tuple[str, int]], target: tuple[str, int]) -> None:
        self._addresses = addresses
        self._target = target
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> None:
        self._sockets = [socket.create_server(address) for address in self._addresses]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        for listener in self._sockets:
            starting = asyncio.start_server(self._serve, sock=listener)
            asyncio.run_coroutine_threadsafe(starting, self._loop).result()

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for listener in self._sockets:
            listener.close()

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        """One request a connection, so that each can be given its header."""
        async with contextlib.AsyncExitStack() as open_ends:
            await open_ends.enter_async_context(_closing(client_out))
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                head = await client_in.readuntil(b"\r\n\r\n")
                server_in, server_out = await asyncio.open_connection(*self._target)
                await open_ends.enter_async_context(_closing(server_out))
                server_out.write(_as_by_tls(head))
                await asyncio.gather(
                    _pump(client_in, server_out), _pump(server_in, client_out, then_close=True)
                )


def _as_by_tls(head: bytes) -> bytes:
    request, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    kept = [
        header for header in headers if not header.lower().startswith((b"connection:", b"x-forwarded-proto:"))
    ]
    return b"\r\n".join([request, *kept, b"X-Forwarded-Proto: https", b"Connection: close", b"", b""])


async def _pump(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, *, then_close: bool = False
) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    if then_close:
        target.close()


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()


# ── The stack ────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Stack:
    """A deployed stack: where its API answers, and its outputs by name."""

    url: str
    outputs: dict[str, str]


def deploy() -> Stack:
    """Deploy what ``make build`` built, and tell the functions where clients reach them.

    Twice: only the first deployment brings forth the id in the API's address.
    """
    _sam_deploy(PublicStorageUrl=endpoint())
    url = f"{endpoint()}/restapis/{_outputs()['ApiId']}/v1/_user_request_"
    _sam_deploy(PublicStorageUrl=endpoint(), PublicUrl=url)
    _make_limits_numbers()
    return Stack(url, _outputs())


def tell(stack: Stack, url: str, secret: str) -> None:
    """Deploy ``stack`` again, with a receiver of webhooks; without one if both are empty."""
    receiver = {"WebhookUrl": url, "WebhookSecret": secret, "WebhookAllowPrivate": "yes"} if url else {}
    _sam_deploy(PublicStorageUrl=endpoint(), PublicUrl=stack.url, **receiver)
    _make_limits_numbers()


def _make_limits_numbers() -> None:
    """MiniStack keeps a limit of concurrency as the text of its parameter, and then polls no queue at all."""
    functions = client("lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        if limit := mapping.get("ScalingConfig", {}).get("MaximumConcurrency"):
            functions.update_event_source_mapping(
                UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": int(limit)}
            )


def variables(stack: Stack, public_url: str) -> dict[str, str]:
    """What the functions' environment must say to use ``stack`` from another container, as in `sam local`.

    ``public_url`` is where clients reach the functions then.
    """
    return {
        "MEDIA_BUCKET": stack.outputs["MediaBucketName"],
        "VIDEO_TABLE": stack.outputs["VideoTableName"],
        "JOB_QUEUE_URL": stack.outputs["JobQueueUrl"],
        "DEAD_LETTER_URL": stack.outputs["DeadJobsUrl"],
        "EVENT_BUS": stack.outputs["EventBusName"],
        "DELIVERY_QUEUE_URL": stack.outputs["DeliveriesUrl"],
        "RETRY_QUEUE_URL": stack.outputs["RetriedDeliveriesUrl"],
        "DEAD_DELIVERY_URL": stack.outputs["DeadDeliveriesUrl"],
        "WEBHOOK_URL": "http://localhost:9/",  # nobody listens there
        "WEBHOOK_SECRET": "whsec_c2FtIGxvY2FsIGhhcyBubyBzZWNyZXRz",
        "WEBHOOK_ALLOW_PRIVATE": "yes",
        "PUBLIC_URL": public_url,
        "PUBLIC_STORAGE_URL": endpoint(),
        "AWS_ENDPOINT_URL": endpoint().replace("localhost", "host.docker.internal"),
    }


def _sam_deploy(**parameters: str) -> None:
    settings = {"Access": "open", "Monitoring": "no", "LogLevel": "DEBUG"} | parameters
    overrides = [f"{name}={value}" for name, value in settings.items()]
    subprocess.run(
        ["sam", "deploy", "--config-env", "emulator", "--parameter-overrides", *overrides],
        cwd=PROJECT,
        env=_environment() | {"AWS_ENDPOINT_URL": endpoint()},
        stdout=sys.stderr,
        check=True,
    )


def _outputs() -> dict[str, str]:
    [stack] = client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def client(service: str) -> Any:
    """A boto3 client of the emulator, with the rights of its root."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint(),
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def _environment() -> dict[str, str]:
    """Ours, without anything that could lead to a real account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["run", "deploy"])
    parser.add_argument("--auth", action="store_true", help="enforce signatures and policies")
    arguments = parser.parse_args()
    if arguments.what == "deploy":
        if not answers():
            sys.exit(f"No emulator answers at {endpoint()}: start LocalStack, or `make emulator` elsewhere.")
        stack = deploy()
        for_sam_local = {"Parameters": variables(stack, "http://127.0.0.1:3001")}
        (PROJECT / ".aws-sam" / "env.json").write_text(json.dumps(for_sam_local, indent=2))
        print(json.dumps({"url": stack.url, **stack.outputs}, indent=2))
        print(f"Try it: curl {stack.url}/health")
    elif answers():
        sys.exit(f"An emulator answers at {endpoint()} already.")
    else:
        for asked_to_stop in (signal.SIGINT, signal.SIGTERM):  # also where a shell ignores the first for us
            signal.signal(asked_to_stop, signal.default_int_handler)
        with (
            emulator(Path("ministack.log"), auth=arguments.auth) as url,
            contextlib.suppress(KeyboardInterrupt),
        ):
            print(f"MiniStack answers on {url}, log in ministack.log; Ctrl-C stops it", flush=True)
            signal.pause()


if __name__ == "__main__":
    main()
