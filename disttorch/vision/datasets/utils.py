"""Bring a file here once: resumable, checked by MD5, atomic, and safe when several ranks ask at the same time."""

import fcntl
import gzip
import hashlib
import http
import os
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

CHUNK = 1 << 20  # bytes read at a time
SILENCE = 30.0  # seconds after which a server that sends nothing is given up


def calculate_md5(fpath: str | Path) -> str:
    """The file's MD5 sum, in hexadecimal."""
    with open(fpath, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def check_integrity(fpath: str | Path, md5: str | None = None) -> bool:
    """Whether the file is there and, where a checksum is given, has it."""
    return os.path.isfile(fpath) and (md5 is None or calculate_md5(fpath) == md5)


def fetch(urls: Sequence[str], path: Path, md5: str | None = None) -> None:
    """Bring `path` from the first of `urls` that gives it, unless it is there already.

    What has arrived stays in `path`.part: the next call goes on from there. `path` itself appears only whole and
    checked. Other processes that ask for the same file wait for the one that is bringing it.
    Raises RuntimeError, saying where to put which file by hand, when no address gives it.
    """
    if check_integrity(path, md5):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with open(part, "ab") as file:
        # Held until this process ends or closes the file; its holder gives up after SILENCE, so the wait has an end.
        fcntl.flock(file, fcntl.LOCK_EX)
        if check_integrity(path, md5):  # another process has brought it meanwhile
            if os.fstat(file.fileno()).st_size == 0:
                part.unlink(missing_ok=True)  # made by the `open` above, after the other's had become `path`
            return
        problems = []
        for url in urls:
            try:
                _continue(url, file)
                _check(part, md5)
                os.replace(part, path)
                return
            except (OSError, ValueError) as error:  # ValueError: not an address at all
                problems.append(f"{url}: {error}")
        raise RuntimeError(_advice(urls, path, md5, problems))


def _continue(url: str, file: IO[bytes]) -> None:
    """Append to `file` what it lacks of the document at `url`; start again where the server cannot continue."""
    have = file.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={"User-Agent": "disttorch"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=SILENCE)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        file.truncate(0)  # it holds more than the document does
        return _continue(url, file)
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            file.truncate(0)
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        for chunk in _with_progress(response, have, total, Path(file.name).stem):
            file.write(chunk)
    file.flush()
    got = file.tell()
    if total is not None and got != total:
        raise OSError(f"the connection closed after {got} of {total} bytes")


def _with_progress(response: IO[bytes], have: int, total: int | None, label: str) -> Iterator[bytes]:
    import click

    with click.progressbar(length=total, label=f"Downloading {label}", file=sys.stderr, show_pos=True) as bar:
        bar.update(have)
        while chunk := response.read(CHUNK):
            yield chunk
            bar.update(len(chunk))


def _check(part: Path, md5: str | None) -> None:
    found = calculate_md5(part)
    if md5 is not None and found != md5:
        os.truncate(part, 0)  # nothing to go on from
        raise OSError(f"the file that came has MD5 {found}, not {md5}")


def _advice(urls: Sequence[str], path: Path, md5: str | None, problems: list[str]) -> str:
    checksum = f" (MD5 {md5})" if md5 else ""
    return (
        f"{path.name} could not be downloaded. Without a network, bring it{checksum} from {' or '.join(urls)} by other "
        f"means and put it at {path.resolve()}. What was tried:\n  " + "\n  ".join(problems)
    )


def download_url(url: str, root: str | Path, filename: str | None = None, md5: str | None = None) -> None:
    """Bring one file into the folder `root`, as `fetch` does."""
    fetch([url], Path(root).expanduser() / (filename or url.rpartition("/")[2]), md5)


def extract_archive(from_path: str | Path, to_path: str | Path | None = None) -> str:
    """Unpack a .tar[.gz|.bz2|.xz], .tgz, .zip or .gz file beside itself or into `to_path`; returns that folder.

    Only plain files are unpacked, each written atomically. Raises RuntimeError for a member that would land outside
    the folder and for an archive of another kind.
    """
    source = Path(from_path)
    target = Path(to_path) if to_path is not None else source.parent
    for name, stream in _members(source):
        path = (target / name).resolve()
        if not path.is_relative_to(target.resolve()):
            raise RuntimeError(f"{source} holds {name!r}, which would land outside {target}")
        _write(path, stream)
    return str(target)


def _members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield info.filename, archive.open(info)
    elif source.suffix in (".tar", ".tgz") or source.suffixes[-2:-1] == [".tar"]:
        with tarfile.open(source) as archive:
            for member in archive:
                if member.isfile():
                    yield member.name, archive.extractfile(member)
    elif source.suffix == ".gz":
        with gzip.open(source) as stream:
            yield source.stem, stream
    else:
        raise RuntimeError(f"Unknown compression or archive type: '{source.suffix}'. Known: .tar(.*), .tgz, .zip, .gz")


def _write(path: Path, stream: IO[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            while chunk := stream.read(CHUNK):
                file.write(chunk)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    os.chmod(path, 0o644)


def download_and_extract_archive(
    url: str,
    download_root: str | Path,
    extract_root: str | Path | None = None,
    filename: str | None = None,
    md5: str | None = None,
) -> None:
    """`download_url`, then `extract_archive` of what came."""
    download_url(url, download_root, filename, md5)
    extract_archive(Path(download_root).expanduser() / (filename or url.rpartition("/")[2]), extract_root)
