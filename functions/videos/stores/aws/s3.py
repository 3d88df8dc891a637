"""Objects in one S3 bucket."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from videos.model import StoredObject
from videos.ports import ONCE, Ticket
from videos.stores.aws.clients import s3_client, translate_errors, unavailable

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import (
        GetObjectOutputTypeDef,
        HeadObjectOutputTypeDef,
        ObjectIdentifierTypeDef,
    )

MAX_KEYS_PER_DELETE = 1000  # S3's limit


class S3Storage:
    """Objects in one bucket.

    ``public_endpoint_url`` is the endpoint for clients, if it differs from this process's: a function
    inside an emulator calls ``host.docker.internal``, the phone that gets its ticket ``localhost``.

    Needs ``s3:ListBucket``: without it, S3 answers a missing key as a forbidden one.
    """

    def __init__(self, bucket: str, *, public_endpoint_url: str | None = None) -> None:
        self._bucket = bucket
        self._public_endpoint_url = public_endpoint_url

    def upload_ticket(
        self,
        key: str,
        *,
        method: Literal["POST", "PUT"],
        content_type: str,
        max_bytes: int,
        exact_bytes: int | None,
        expires_at: datetime,
    ) -> Ticket:
        # boto3 signs in whole seconds from the current one: rounded up, a ticket never ends too early.
        expires_in_s = max(1, ceil(expires_at.timestamp()) - floor(datetime.now(UTC).timestamp()))
        with translate_errors("S3"):
            if method == "POST":
                form = self._signer.generate_presigned_post(
                    self._bucket,
                    key,
                    Fields={"Content-Type": content_type},
                    Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, max_bytes]],
                    ExpiresIn=expires_in_s,
                )
                return Ticket(
                    method="POST",
                    url=form["url"],
                    fields=form["fields"],
                    expires_at=expires_at,
                    max_bytes=max_bytes,
                )
            headers = {"Content-Type": content_type, **ONCE}
            params: dict[str, Any] = {"Bucket": self._bucket, "Key": key, "ContentType": content_type}
            params["IfNoneMatch"] = ONCE["If-None-Match"]
            if exact_bytes is not None:
                params["ContentLength"] = exact_bytes
            url = self._signer.generate_presigned_url("put_object", Params=params, ExpiresIn=expires_in_s)
            return Ticket(method="PUT", url=url, headers=headers, expires_at=expires_at, max_bytes=max_bytes)

    def download_url(
        self, key: str, *, content_type: str, expires_in_s: int, method: Literal["GET", "HEAD"] = "GET"
    ) -> str:
        operation = "get_object" if method == "GET" else "head_object"
        params = {"Bucket": self._bucket, "Key": key, "ResponseContentType": content_type}
        with translate_errors("S3"):
            return self._signer.generate_presigned_url(operation, Params=params, ExpiresIn=expires_in_s)

    def stat(self, key: str) -> StoredObject:
        with translate_errors("S3", key):
            return _stored(key, self._s3.head_object(Bucket=self._bucket, Key=key))

    def fetch(self, key: str, to: Path) -> StoredObject:
        part = to.with_name(f"{to.name}.part")
        try:
            with translate_errors("S3", key):
                answer = self._s3.get_object(Bucket=self._bucket, Key=key)
                with part.open("wb") as file:
                    shutil.copyfileobj(answer["Body"], file)  # raises if the body is cut short
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)
        return _stored(key, answer)

    def save(self, file: Path, key: str, *, content_type: str) -> StoredObject:
        with file.open("rb") as body, translate_errors("S3"):
            answer = self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=content_type)
            size_bytes = body.tell()
        # S3 returns its own time only to a second request; the local clock will do.
        now = datetime.now(UTC).replace(microsecond=0)
        return StoredObject(key=key, size_bytes=size_bytes, etag=_unquoted(answer["ETag"]), stored_at=now)

    def copy(self, source: StoredObject, key: str, *, content_type: str) -> StoredObject:
        with translate_errors("S3", source.key):
            answer = self._s3.copy_object(
                Bucket=self._bucket,
                Key=key,
                CopySource={"Bucket": self._bucket, "Key": source.key},
                CopySourceIfMatch=f'"{source.etag}"',
                MetadataDirective="REPLACE",
                TaggingDirective="REPLACE",  # copying tags would need permissions of its own
                ContentType=content_type,
            )["CopyObjectResult"]
        return StoredObject(
            key=key,
            size_bytes=source.size_bytes,
            etag=_unquoted(answer["ETag"]),
            stored_at=answer["LastModified"],
        )

    def keys(self, prefix: str) -> Iterator[str]:
        with translate_errors("S3"):
            pages = self._s3.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                yield from (entry["Key"] for entry in page.get("Contents", ()))

    def delete(self, *keys: str) -> None:
        """Needs ``s3:ListBucketVersions`` and ``s3:DeleteObjectVersion`` only if the bucket is versioned."""
        with translate_errors("S3"):
            marked = self._delete_objects([{"Key": key} for key in keys])
            self._delete_objects([version for key in marked for version in self._versions(key)])

    def ping(self) -> None:
        with translate_errors("S3"):
            self._s3.list_objects_v2(Bucket=self._bucket, MaxKeys=1)

    def _delete_objects(self, objects: "list[ObjectIdentifierTypeDef]") -> list[str]:
        """The keys that only got a delete marker, as in a versioned bucket without a version id."""
        marked = []
        for start in range(0, len(objects), MAX_KEYS_PER_DELETE):
            batch = objects[start : start + MAX_KEYS_PER_DELETE]
            answer = self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": batch})
            for error in answer.get("Errors", ()):  # some keys can fail in a 200
                raise unavailable("S3", error["Code"], is_rejection=error["Code"] == "AccessDenied")
            marked += [deleted["Key"] for deleted in answer.get("Deleted", ()) if deleted.get("DeleteMarker")]
        return marked

    def _versions(self, key: str) -> "Iterator[ObjectIdentifierTypeDef]":
        pages = self._s3.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self._bucket, Prefix=key):
            for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if version["Key"] == key:  # the prefix matches longer keys too
                    yield {"Key": key, "VersionId": version["VersionId"]}

    @cached_property
    def _s3(self) -> "S3Client":
        return s3_client()

    @cached_property
    def _signer(self) -> "S3Client":
        return s3_client(self._public_endpoint_url) if self._public_endpoint_url else self._s3


def _stored(key: str, answer: "HeadObjectOutputTypeDef | GetObjectOutputTypeDef") -> StoredObject:
    return StoredObject(
        key=key,
        size_bytes=answer["ContentLength"],
        etag=_unquoted(answer["ETag"]),
        stored_at=answer["LastModified"],
    )


def _unquoted(etag: str) -> str:
    return etag.strip('"')
