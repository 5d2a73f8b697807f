"""Trained weights from ModelScope and the web, and the cache of the contract files that are made of them."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from engine_build.onnx import contract
from trt_mogface._cache import cache_folder
from trt_mogface._files import sha256_of, whole_file, whole_folder
from trt_mogface._optional import require
from trt_mogface._url import download
from trt_mogface.errors import DownloadError

if TYPE_CHECKING:
    import onnx

CONNECT_SECONDS = 5
ANSWER_SECONDS = 10

RECIPE = 2
"""Part of the name of every cached file; raise it when the same inputs would now give another file."""


def cached(name: str, inputs: tuple[object, ...], make: Callable[[], onnx.ModelProto]) -> Path:
    """Return the cached contract file of a name and its inputs; call ``make`` if it is missing."""
    path = cache_folder() / f"{name}-{_digest(inputs)}.onnx"
    if not path.is_file():
        contract.save(make(), path)
    return path


def cached_folder(name: str, inputs: tuple[object, ...], make: Callable[[Path], None]) -> Path:
    """Return the cached folder of a name and its inputs; call ``make`` to fill it if it is missing."""
    path = cache_folder() / f"{name}-{_digest(inputs)}"
    if not path.is_dir():
        with whole_folder(path) as folder:
            make(folder)
    return path


def pinned(name: str, sha256: str, write: Callable[[Path], None]) -> Path:
    """Return the cached file of a digest, which is compared on every call; make it if it is missing.

    Args:
        name: Name of the file; its stem and suffix are kept.
        sha256: Digest of the file.
        write: Function that downloads the file to a path.

    Raises:
        DownloadError: If the file that ``write`` gets has another digest, or it gets none.
    """
    path = cache_folder() / f"{Path(name).stem}-{sha256[:16]}{Path(name).suffix}"
    if not (path.is_file() and sha256_of(path) == sha256):
        with whole_file(path) as target:
            write(target)
            if sha256_of(target) != sha256:
                raise DownloadError(f"{name}: the download is not the published file (another checksum)")
    return path


def linked(url: str, sha256: str) -> Path:
    """Return the path of a file on the web; it is downloaded on first use, see `pinned`."""

    def write(target: Path) -> None:
        try:
            target.write_bytes(download(url))
        except DownloadError as error:
            raise DownloadError(
                f"{error}; or download it on another machine, and pass it as weights"
            ) from error

    return pinned(url.rpartition("/")[2], sha256, write)


def _digest(inputs: tuple[object, ...]) -> str:
    return hashlib.sha256(repr((RECIPE, *inputs)).encode()).hexdigest()[:16]


def fetch(model_id: str, file: str) -> Path:
    """Return the path of a model's file in ModelScope's own cache folder; download it on first use.

    A download is compared with the size and SHA-256 that ModelScope lists before it gets its final name;
    until then it is a partial file, which the next call resumes.  The digest is kept beside the file and
    compared on every later call, without a connection; a file that no longer matches is downloaded again.
    A file that another program put into the cache has no digest beside it and is taken as it is.

    Args:
        model_id: ``owner/name`` on ModelScope.
        file: Path of the file in the model's repository.
    """
    hub = require("modelscope_hub", extra="build")
    config = _anonymous(hub)
    api = hub.HubApi(config)
    try:
        with _quiet():
            path = _downloaded(hub, api, model_id, file)
            return path if path and _intact(path) else _download(hub, api, model_id, file)
    except (hub.HubError, OSError) as error:
        raise DownloadError(
            f"{model_id}: cannot download {file}: {_reason(hub, config, error)}; download {file} from the "
            f"model page of {model_id} on ModelScope on another machine and pass it as weights"
        ) from error


def _anonymous(hub: ModuleType) -> Any:
    """Return the library's configuration with an identifier that changes with every call.

    The library's own one lies in the user's home, and tells its maker which requests come from one user.
    """

    class Anonymous(hub.HubConfig):  # type: ignore[misc, name-defined]
        def get_session_id(self) -> str:
            return uuid.uuid4().hex

    return Anonymous()


def _downloaded(hub: ModuleType, api: Any, model_id: str, file: str) -> Path | None:
    try:
        return Path(api.download_file(model_id, "model", file, local_files_only=True))
    except hub.CacheNotFound:
        return None


def _download(hub: ModuleType, api: Any, model_id: str, file: str) -> Path:
    # Without a network, the library's own retries take from several seconds to minutes.
    requests = require("requests", extra="build")
    requests.head(api.legacy.endpoint, timeout=(CONNECT_SECONDS, ANSWER_SECONDS))
    listing = api.list_repo_files(model_id, "model")
    entry = next((entry for entry in listing if entry.path == file), None)
    if entry is None:
        raise hub.NotExistError(file)
    size = entry.size or None  # the library makes 0 of a size that is not listed
    path = Path(api.download_file(model_id, "model", file, expected_sha256=entry.sha256, file_size=size))
    _digest_file(path).write_bytes(sha256_of(path).encode())
    return path


def _digest_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def _intact(path: Path) -> bool:
    recorded = _digest_file(path)
    return not recorded.exists() or recorded.read_bytes() == sha256_of(path).encode()


def _reason(hub: ModuleType, config: Any, error: Exception) -> str:
    if isinstance(error, hub.FileIntegrityError):
        return "received data is not the published file (wrong size or checksum)"
    if isinstance(error, hub.NotExistError):
        return f"no such model or file on {config.endpoint}"
    # When a disk quota is exhausted, the library retries and then blames the network.
    for local in (error, error.__cause__):
        if isinstance(local, OSError) and local.errno is not None:
            return f"{local.strerror} in the cache folder {config.cache_dir}, set MODELSCOPE_CACHE"
    if isinstance(error, OSError):  # of requests, or the library's NetworkError
        return f"{config.endpoint} cannot be reached ({type(error).__name__})"
    return str(error).partition("\n")[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's messages on retries, partly in Chinese, off standard error."""
    logger = logging.getLogger("modelscope_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
