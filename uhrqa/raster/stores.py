"""What an address names, as a store of `obstore`: https, S3, Google Cloud Storage, Azure.

Credentials come from the environment (`AWS_*`, `GOOGLE_*`, `AZURE_STORAGE_*`); where there is none,
requests are anonymous: machine roles are not asked for, since off the cloud that question hangs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uhrqa.errors import RasterError, StorageError
from uhrqa.raster.server_errors import is_unreachable, reason

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

SCHEMES = ("http", "https", "s3", "gs", "az")
TIMEOUT = timedelta(seconds=30)  # of one request, or of a pause in one that has no end of its own
WHOLE_TIMEOUT = timedelta(days=1)  # none at all cannot be said
CONNECT_TIMEOUT = timedelta(seconds=10)
MAX_WHOLE_BYTES = 2**28  # of a file that is fetched whole
RETRIES = 4
RETRY_TIMEOUT = TIMEOUT + timedelta(seconds=1)  # then none is repeated: 61 s in all
FIRST_WAIT, LONGEST_WAIT = timedelta(milliseconds=100), timedelta(seconds=5)
SIGNING = {  # any of these, and requests are signed
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    "gs": (
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    "az": (
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_TOKEN",
        "AZURE_STORAGE_CLIENT_ID",
    ),
}
GOOGLE_DEFAULT = ".config/gcloud/application_default_credentials.json"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")
ASK_FOR = {  # what may be missing where access is denied
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_REGION",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or _SAS_TOKEN",
}


class AbsentError(StorageError):
    """The server has no such file, or none that may be read."""


class UnreachableError(StorageError):
    """The server gives no answer, or stops in one."""


class NoRangesError(StorageError):
    """The server sends files as a whole alone."""


def scheme_of(url: str) -> str:
    """What stands before `://`, in small letters."""
    return url.partition("://")[0].lower()


def shown(url: str) -> str:
    """An address as it may stand in messages and results: without passwords and signatures."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".partition("?")[0]


def beside(url: str, suffix: str) -> str:
    """The address of the file whose name goes on with a suffix; a signature stays behind it."""
    place, mark, query = url.partition("?")
    return f"{place}{suffix}{mark}{query}"


def open_store(url: str, *, whole: bool = False) -> ObjectStore:
    """A store whose root is the address itself: its one file has the empty name.

    Args:
        url: the address.
        whole: large files are fetched by one request, which may take long as long as bytes come.

    Raises:
        RasterError: the address is written wrongly, or names no server that can be asked.
    """
    from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

    scheme = scheme_of(url)
    bucket, _, key = url.partition("://")[2].strip("/").partition("/")
    if scheme not in SCHEMES or not bucket or not (key or scheme.startswith("http")):
        schemes = ", ".join(f"{name}://" for name in SCHEMES)
        raise RasterError(
            f"{shown(url)}: not an address of an image; write for example s3://bucket/image.tif "
            f"({schemes} are read)"
        )
    common: dict[str, Any] = {"client_options": _client(url, whole), "retry_config": _retries()}
    with told(url):
        if scheme.startswith("http"):
            return HTTPStore.from_url(url, **common)
        common |= {"prefix": key} | ({} if _signs(scheme) else {"skip_signature": True})
        if scheme == "s3":
            return S3Store(bucket, **common)
        return GCSStore(bucket, **common) if scheme == "gs" else AzureStore(bucket, **common)


def check_whole(path: str, length: int) -> None:
    """Refuse to fetch all of a large file.

    Raises:
        RasterError: it is larger than `MAX_WHOLE_BYTES`.
    """
    if length > MAX_WHOLE_BYTES:
        raise RasterError(
            f"{path}: {length >> 20} MiB of a format without random access, which would be "
            f"fetched whole (limit {MAX_WHOLE_BYTES >> 20}); download it, or store it as a COG"
        )


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turn what goes wrong between us and a server into one clear line.

    Raises:
        StorageError: anything went wrong; `AbsentError`, `NoRangesError` and `UnreachableError`
            where it is that.
    """
    from obstore import exceptions as bad

    where = shown(url)
    try:
        yield
    except (bad.NotFoundError, FileNotFoundError) as error:
        raise AbsentError(f"{where}: no such file on the server") from error
    except (bad.PermissionDeniedError, bad.UnauthenticatedError, PermissionError) as error:
        remedy = ASK_FOR.get(scheme_of(url), "use an address that needs no password")
        raise AbsentError(f"{where}: access denied, or no such file; {remedy}") from error
    except (bad.NotSupportedError, NotImplementedError) as error:
        raise NoRangesError(
            f"{where}: the server does not send parts of a file (no range requests); download the "
            "file first, or put it on another server"
        ) from error
    except (bad.BaseError, OSError, ValueError) as error:
        text = str(error) or type(error).__name__
        kind = UnreachableError if is_unreachable(text) else StorageError
        raise kind(f"{where}: {reason(text, where)}") from error


def _signs(scheme: str) -> bool:
    if scheme == "gs" and (Path.home() / GOOGLE_DEFAULT).exists():
        return True
    return any(os.environ.get(name) for name in SIGNING[scheme])


def _client(url: str, whole: bool) -> ClientConfig:
    endpoints = [os.environ.get(name, "") for name in ENDPOINTS]
    plain = any(place.startswith("http://") for place in (url.lower(), *endpoints))
    return {
        "timeout": WHOLE_TIMEOUT if whole else TIMEOUT,
        "read_timeout": TIMEOUT,
        "connect_timeout": CONNECT_TIMEOUT,
        "allow_http": plain,
    }


def _retries() -> RetryConfig:
    return {
        "max_retries": RETRIES,
        "retry_timeout": RETRY_TIMEOUT,
        "backoff": {"init_backoff": FIRST_WAIT, "max_backoff": LONGEST_WAIT, "base": 2},
    }
