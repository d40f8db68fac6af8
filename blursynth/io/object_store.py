"""Names in object storage (``s3://``, ``gs://``, ``az://``, ``https://``, ``memory://``), in place of file paths.

An object is written as a whole or not at all, and there are no folders, links, locks or renames. Every request is tried
again with exponential backoff and jitter where that can help (5xx, timeouts, cut connections), up to three minutes.
Credentials come from the environment of the process alone, as the tools of each provider find them; they are in no
name, record, message or log.

Not supported: requests after a fork. The threads that make them exist in the first process only, so a forked process is
told to use another way to start; processes that are spawned or come from a fork server each begin anew.
"""

from __future__ import annotations

import errno
import importlib
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from blursynth.errors import InvalidValueError, StoreError, require

__all__ = ["ObjectPath", "Place"]

_T = TypeVar("_T")

_SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az", "http": "http",
            "https": "https", "memory": "memory"}  # fmt: skip
_READ_ONLY = ("http", "https")
_PART_BYTES = 16 << 20  # larger objects are sent in such parts, each with its own checksum and its own attempts
_PARTS_AT_A_TIME = 4
_ATTEMPTS = 6  # at what obstore does not try again
_LIMITS: dict[str, Any] = {
    "client_options": {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "30m"},
    "retry_config": {
        "max_retries": 10,
        "retry_timeout": timedelta(minutes=3),
        "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=15), "base": 2},
    },
}

_OF_MACHINE = "//169.254.169.254/"

_stores: dict[str, Any] = {}
_process = 0  # the one that made the first request


@dataclass(frozen=True, order=True)
class ObjectPath:
    """The name of an object, or what the names of several begin with; the part of ``pathlib.Path`` that makes sense.

    >>> out = ObjectPath.parse("s3://bucket/pairs/")
    >>> str(out / "manifest" / "000000.json"), out.name
    ('s3://bucket/pairs/manifest/000000.json', 'pairs')
    """

    root: str  # scheme and bucket (or account, host): s3://bucket
    key: str  # without a slash at either end

    @classmethod
    def parse(cls, url: str) -> ObjectPath:
        """The place that a URL names.

        Raises
        ------
        InvalidValueError
            Another scheme; no bucket; a user name, password, query or fragment, which might be a secret; or a key that
            stores or other programs may take for another one.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            raise InvalidValueError("A name in object storage is no URL.", fix="Write s3://BUCKET/NAME.") from None
        shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"  # without what may be a secret
        scheme = _SCHEMES.get(parts.scheme)
        if scheme is None:
            raise InvalidValueError(
                f"{shown}: places of the kind {parts.scheme}:// are not supported.",
                fix="Give a path, or a URL that begins with s3://, gs://, az://, https:// (to read), memory:// or "
                "file://.",
            )
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise InvalidValueError(
                f"{shown}: holds a user name, a password, a query or a fragment.",
                why="A name is stored and shown, so no secret may be part of it.",
                fix="Set the credentials in the environment (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                "AWS_PROFILE's process), and give the name alone.",
            )
        if not parts.netloc:
            raise InvalidValueError(f"{shown}: names no bucket.", fix=f"Write {scheme}://BUCKET/NAME.")
        key = parts.path.strip("/")
        if any(part in ("", ".", "..") for part in key.split("/")) if key else False:
            raise InvalidValueError(f"{shown}: has an empty part, or one that is . or .. .")
        if not key.isprintable() or "\\" in key or "%" in key:
            raise InvalidValueError(f"{shown}: has a character that names of objects should not have (control, \\, %).")
        return cls(f"{scheme}://{parts.netloc}", key)

    def __str__(self) -> str:
        return f"{self.root}/{self.key}" if self.key else self.root

    def __truediv__(self, part: str) -> ObjectPath:
        return ObjectPath(self.root, f"{self.key}/{part}" if self.key else part)

    def joinpath(self, *parts: str) -> ObjectPath:
        """The name with parts added."""
        found = self
        for part in parts:
            found = found / part
        return found

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2] or self.root.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return Path(self.name).stem

    @property
    def parent(self) -> ObjectPath:
        """The name without its last part."""
        return ObjectPath(self.root, self.key.rpartition("/")[0])

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written here."""
        return self.root.startswith(_READ_ONLY)

    @property
    def in_this_process(self) -> bool:
        """Whether no other process sees it."""
        return self.root.startswith("memory:")

    def relative_to(self, other: ObjectPath) -> Path:
        """The rest of the name, below another."""
        return Path(self.key).relative_to(other.key)

    def exists(self) -> bool:
        """Whether there is an object of this name, or below it."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether there is an object of this name."""
        try:
            self.size()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Whether there is an object whose name goes on after this one and a slash."""
        if self.read_only:
            return False  # which cannot be listed
        obstore = _obstore()
        found = self._call(lambda: next(iter(obstore.list(_store(self.root), self.key or None, chunk_size=1)), None))
        return found is not None

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: there are no folders."""

    def iterdir(self) -> Iterator[ObjectPath]:
        """What is directly below, in order."""
        obstore = _obstore()
        found = self._call(lambda: obstore.list_with_delimiter(_store(self.root), self.key or None))
        keys = [*found["common_prefixes"], *(one["path"] for one in found["objects"])]
        return iter(sorted(ObjectPath(self.root, key) for key in keys))

    def below(self) -> Iterator[tuple[str, int]]:
        """Names of all objects below, relative to this one, and their sizes; in the order of the store."""
        obstore = _obstore()
        start = f"{self.key}/" if self.key else ""

        def listed() -> list[tuple[str, int]]:
            pages = obstore.list(_store(self.root), self.key or None, chunk_size=1000)
            found = [(str(one["path"]), int(one["size"])) for page in pages for one in page]
            return [(name[len(start) :], size) for name, size in found if name.startswith(start)]

        # All at once: where a page fails, the listing begins anew, since one that goes on might lack names.
        return iter(self._call(listed))

    def size(self) -> int:
        """Size in bytes; FileNotFoundError if there is no such object."""
        return self.state()[0]

    def state(self) -> tuple[int, str]:
        """Size in bytes, and what changes with the content."""
        obstore = _obstore()
        found = self._call(lambda: obstore.head(_store(self.root), self.key))
        return int(found["size"]), str(found["e_tag"] or found["last_modified"])

    def read(self, offset: int, length: int) -> bytes:
        """Some bytes of the content; a StoreError if there are fewer."""
        obstore = _obstore()
        if length == 0:
            return b""
        data = self._call(lambda: bytes(obstore.get_range(_store(self.root), self.key, start=offset, length=length)))
        if len(data) != length:
            raise self._shorter()
        return data

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each ``(offset, length)``, several requests at a time; a StoreError if there are fewer."""
        obstore = _obstore()
        if not ranges:
            return []
        starts, lengths = zip(*ranges, strict=True)
        parts = self._call(lambda: obstore.get_ranges(_store(self.root), self.key, starts=starts, lengths=lengths))
        found = [bytes(part) for part in parts]
        if tuple(map(len, found)) != lengths:
            raise self._shorter()
        return found

    def read_all(self, most: int) -> bytes | None:
        """The content in one request; None if it has more than that many bytes."""
        obstore = _obstore()

        def get() -> bytes | None:
            found = obstore.get(_store(self.root), self.key)
            return bytes(found.bytes()) if found.meta["size"] <= most else None

        return self._call(get)

    def write(self, data: bytes) -> None:
        """Write the object, in place of another one."""
        self._put(data, "overwrite")

    def create(self, data: bytes) -> bool:
        """Write the object unless there is another one: False. Of several that try at the same time, one is first."""
        return self._put(data, "create")

    def _put(self, data: bytes, mode: str) -> bool:
        obstore = _obstore()
        large = mode == "overwrite" and len(data) > _PART_BYTES
        try:
            self._call(
                lambda: obstore.put(
                    _store(self.root), self.key, data, mode=None if large else mode, use_multipart=large,
                    chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_A_TIME,
                )
            )  # fmt: skip
        except FileExistsError:
            # The answer to the attempt that created it may have been lost.
            return self.read_all(len(data)) == data
        return True

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object."""
        obstore = _obstore()
        try:
            self._call(lambda: obstore.delete(_store(self.root), self.key))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def _shorter(self) -> StoreError:
        return StoreError(f"{self}: is shorter than it was a moment ago.", fix="Let nothing else write there.")

    def _call(self, request: Callable[[], _T]) -> _T:
        """Make a request.

        Raises
        ------
        FileNotFoundError, FileExistsError
            There is no such object, or there is one.
        StoreError
            Everything else, in plain words.
        """
        obstore = _obstore()
        for attempt in range(_ATTEMPTS):
            try:
                return request()
            except FileNotFoundError:
                raise FileNotFoundError(errno.ENOENT, "there is no such object", str(self)) from None
            except obstore.exceptions.AlreadyExistsError:
                raise FileExistsError(errno.EEXIST, "exists already", str(self)) from None
            except (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError) as error:
                raise StoreError(
                    f"{self}: access is denied ({_reason(error)}).",
                    fix="Check the name, and the credentials in the environment.",
                ) from None
            except obstore.exceptions.BaseError as error:
                # obstore tries again what fails before an answer begins and may be done twice. The rest is done here:
                # bodies that are cut off, and objects that were perhaps created before the connection was lost.
                if attempt + 1 == _ATTEMPTS or re.search(r"\d retries|status code: 4", str(error)):
                    raise StoreError(
                        f"{self}: a request failed ({_reason(error)}).",
                        fix="Check the name, the network and the credentials in the environment, then run the same "
                        "again; what is finished is kept.",
                    ) from None
            time.sleep(random.uniform(0.0, 0.2 * 2**attempt))
        raise AssertionError("unreachable")


Place: TypeAlias = Path | ObjectPath
"""Where a data set may be."""


def _obstore() -> Any:
    obstore: Any = require("obstore", extra="remote", purpose="Object storage")
    return obstore


def _store(root: str) -> Any:
    """The client of a bucket, one for the process."""
    global _process
    _process = _process or os.getpid()
    if _process != os.getpid():
        raise StoreError(
            f"{root}: cannot be read in a process that was forked from one that had made requests.",
            why="The threads that make them exist in the first process only.",
            fix='Start worker processes with multiprocessing_context="forkserver" (or "spawn").',
        )
    if root not in _stores:
        obstore, store = _obstore(), importlib.import_module("obstore.store")
        if root.startswith("memory:"):
            _stores[root] = store.MemoryStore()
        else:
            own = {"checksum_algorithm": "SHA256"} if root.startswith("s3:") else {}
            limits = _LIMITS | {"client_options": _LIMITS["client_options"] | {"allow_http": _unencrypted(root)}}
            try:
                _stores[root] = store.from_url(root, **limits, **own)
            except (obstore.exceptions.BaseError, ValueError) as error:
                raise StoreError(f"{root}: cannot be opened ({_reason(error)}).") from None
    return _stores[root]


def _unencrypted(root: str) -> bool:
    """Whether the user asked for plain http, by the URL or by the endpoint in the environment."""
    endpoints = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "GOOGLE_BASE_URL")
    asked = any(os.environ.get(name, "").startswith("http://") for name in endpoints)
    return root.startswith("http:") or asked or os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true"


def _reason(error: Exception) -> str:
    """What went wrong, without URLs, which may hold signatures."""
    text = str(error).partition("Debug source:")[0]
    tried = re.search(r"after (\d+) retries", text)
    after = f" after {int(tried[1]) + 1} attempts" if tried else ""
    status = re.search(r"status code: (\d{3}[ A-Za-z]*)", text)
    code = re.search(r"<Code>([A-Za-z0-9]{1,60})</Code>", text)
    # Without credentials in the environment, the provider's machines are asked for their own, at this address.
    asked = "no credentials are in the environment, and this machine has none: " if _OF_MACHINE in text else ""
    if status:
        return f"{asked}{status[1].strip()}{f' ({code[1]})' if code else ''}{after}"
    plain = re.sub(r"\S+://\S+", "the store", " ".join(text.split()))
    plain = re.sub(r"^Generic \S+ error: |Error performing .*? in [0-9.]+\S+( - |, after .* - )", "", plain)
    return f"{asked}{plain[:200].rstrip(' .')}{after}"
