"""Servers on loopback: plain HTTP with and without ranges, and as much of S3 as reading needs."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass
class Server:
    """What a test may ask of, and do to, a running server.

    Attributes:
        root: the directory that is served.
        ranges: whether parts of files are sent.
        latency: seconds before each answer.
        failures: answers of 503 that are still to come.
        unsized: answers do not say how long they are.
        piece: bytes that are sent at once.
        pause: seconds after each piece.
        cut: bytes that are missing at the end of each answer.
        signed: only requests with an `Authorization` header are answered.
        asked: method, path and range of every request.
    """

    root: Path
    ranges: bool = True
    latency: float = 0.0
    failures: int = 0
    unsized: bool = False
    piece: int = 2**30
    pause: float = 0.0
    cut: int = 0
    signed: bool = False
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""
    sent: int = 0
    known: dict[tuple[Path, int], tuple[bytes, str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        state, parts = self.state, urlsplit(self.path)
        with state.lock:
            state.asked.append((self.command, self.path, self.headers.get("Range")))
            failing = state.failures > 0
            state.failures -= failing
        time.sleep(state.latency)
        if failing:
            self._answer(503, b"busy")
        elif state.signed and not self.headers.get("Authorization"):
            self._answer(403, b"denied")
        elif "list-type" in parts.query:
            self._list(parts.path.strip("/"), parse_qs(parts.query))
        else:
            self._send(state.root / unquote(parts.path).lstrip("/"))

    def _send(self, path: Path) -> None:
        if not path.is_file():
            self._answer(404, b"")
            return
        data, tag = self._content(path)
        wanted = self.headers.get("Range")
        if wanted is None or not self.state.ranges:
            self._answer(200, data, {"ETag": tag})
            return
        first, last = wanted.removeprefix("bytes=").split("-")
        start = int(first) if first else max(0, len(data) - int(last))
        stop = min(int(last) + 1, len(data)) if first and last else len(data)
        place = f"bytes {start}-{stop - 1}/{len(data)}"
        self._answer(206, data[start:stop], {"ETag": tag, "Content-Range": place})

    def _content(self, path: Path) -> tuple[bytes, str]:
        """A file with its ETag; hashed once, as large ones take longer than the answer."""
        key, known = (path, path.stat().st_mtime_ns), self.state.known
        with self.state.lock:
            if key not in known:
                data = path.read_bytes()
                known[key] = data, f'"{hashlib.sha256(data).hexdigest()[:12]}"'
            return known[key]

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        """ListObjectsV2, all in one page."""
        root, prefix = self.state.root / bucket, query.get("prefix", [""])[0]
        found, folders = [], set()
        for path in sorted(root.rglob("*")):
            key = path.relative_to(root).as_posix()
            if not path.is_file() or not key.startswith(prefix):
                continue
            inside = key[len(prefix) :]
            if query.get("delimiter") and "/" in inside:
                folders.add(prefix + inside.partition("/")[0] + "/")
            else:
                found.append((key, path.stat().st_size))
        entries = [
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>"
            f"<Size>{size}</Size></Contents>"
            for key, size in found
        ]
        entries += [
            f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            for folder in sorted(folders)
        ]
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(entries)}"
        self._answer(200, (body + "</ListBucketResult>").encode(), {"Content-Type": "text/xml"})

    def _answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.state.unsized:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.state.sent += len(body)
            with suppress(ConnectionError):  # who asked for a part may not want all of it
                for start in range(0, stop := len(body) - self.state.cut, self.state.piece):
                    self.wfile.write(body[start : min(stop, start + self.state.piece)])
                    time.sleep(self.state.pause)
            self.close_connection |= self.state.cut > 0


class _Threads(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


@contextmanager
def serving(root: Path, **options: object) -> Iterator[Server]:
    """A server of a directory; for S3 its first folders are the buckets."""
    state = Server(root, **options)  # type: ignore[arg-type]
    handler = type("Handler", (_Handler,), {"state": state})
    with _Threads(("127.0.0.1", 0), handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
