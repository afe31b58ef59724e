"""Downloads against a small server: whole, resumed, cut, damaged, shared by several callers."""

import gzip
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from disttorch.vision.datasets.utils import check_integrity, download_url, extract_archive, fetch

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT at /file; how is set by its attributes."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges = True  # whether it can go on in the middle
        self.cut = False  # whether it hangs up half way
        self.asked: list[str | None] = []  # the Range of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if self.path != "/file":
            return self.send_error(404)
        if start > len(CONTENT):
            return self.send_error(416)
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.server.cut else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_whole_file_comes_once(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        download_url(server.url, tmp_path / "new", md5=MD5)
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert server.asked == [None]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_partial_file_is_completed(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.ranges = ranges
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    fetch([server.url], tmp_path / "file", MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]
    assert not (tmp_path / "file.part").exists()


def test_a_partial_file_that_is_too_long_is_begun_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    fetch([server.url], tmp_path / "file", MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_cut_connection_is_told_and_gone_on_from(server: Server, tmp_path: Path) -> None:
    server.cut = True
    with pytest.raises(RuntimeError, match=r"the connection closed after 128000 of 256000 bytes"):
        fetch([server.url], tmp_path / "file", MD5)
    assert not (tmp_path / "file").exists()
    server.cut = False
    fetch([server.url], tmp_path / "file", MD5)
    assert server.asked == [None, "bytes=128000-"]
    assert check_integrity(tmp_path / "file", MD5)


def test_a_damaged_file_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"has MD5 {MD5}, not 0000"):
        fetch([server.url], tmp_path / "file", "0" * 32)
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.part").stat().st_size == 0


def test_the_next_address_is_tried(server: Server, tmp_path: Path) -> None:
    fetch([server.url + "/absent", server.url], tmp_path / "file", MD5)
    assert check_integrity(tmp_path / "file", MD5)


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path) -> None:
    closed = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{closed.server_address[1]}/file"
    closed.server_close()
    with pytest.raises(RuntimeError) as error:
        fetch([url], tmp_path / "file", MD5)
    for part in ("Without a network", MD5, url, str(tmp_path / "file"), "Connection refused"):
        assert part in str(error.value)


def test_callers_at_the_same_time_download_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fetch([server.url], tmp_path / "file", MD5), range(4)))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def tar_of(path: Path, name: str, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return path


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar", ".zip"])
def test_archives_are_unpacked(tmp_path: Path, suffix: str) -> None:
    archive = tmp_path / f"a{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("folder/file", CONTENT)
    else:
        tar_of(archive, "folder/file", "w" if suffix == ".tar" else "w:gz")
    extract_archive(archive, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["folder", "file"]
    assert (tmp_path / "out" / "folder" / "file").read_bytes() == CONTENT


def test_a_gz_file_is_unpacked_beside_itself(tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(gzip.compress(CONTENT))
    extract_archive(tmp_path / "file.gz")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_an_archive_writes_nowhere_else(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tgz", "../outside")
    with pytest.raises(RuntimeError, match="would land outside"):
        extract_archive(archive, tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_an_unknown_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.rar").touch()
    with pytest.raises(RuntimeError, match=r"Unknown compression or archive type: '.rar'"):
        extract_archive(tmp_path / "a.rar")
