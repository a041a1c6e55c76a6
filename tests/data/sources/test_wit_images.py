"""The URLs of WIT's images, each downloaded once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ndino.data.errors import DataError
from ndino.data.io.fetch import FAILURES_IN_A_ROW, Fetcher, Politeness
from ndino.data.sources.wit_images import ImageStore, SavedImage, address_of
from tests.data.io.server import Server, content, status
from tests.data.samples.wit_tables import png

POLITE = Politeness("tests", seconds_between=0, attempts=1, timeout_seconds=5, longest_wait_seconds=0.01)
COMMONS = "https://upload.wikimedia.org/wikipedia/commons"


@pytest.mark.parametrize(
    ("url", "width", "expected"),
    [
        (f"{COMMONS}/5/5f/A.jpg", 4000, f"{COMMONS}/thumb/5/5f/A.jpg/1280px-A.jpg"),
        ("http://upload.wikimedia.org/wikipedia/it/5/5f/A.PNG", 1281,
         "https://upload.wikimedia.org/wikipedia/it/thumb/5/5f/A.PNG/1280px-A.PNG"),
        (f"{COMMONS}/5/5f/A.jpg", 1280, f"{COMMONS}/5/5f/A.jpg"),
        (f"{COMMONS}/5/5f/A.jpg", None, f"{COMMONS}/5/5f/A.jpg"),
        (f"{COMMONS}/5/5f/A.webp", 4000, f"{COMMONS}/5/5f/A.webp"),
        (f"{COMMONS}/5/5f/Perch%C3%A9%3F.svg", 100,
         f"{COMMONS}/thumb/5/5f/Perch%C3%A9%3F.svg/1280px-Perch%C3%A9%3F.svg.png"),
        (f"{COMMONS}/5/5f/A.svg", None, f"{COMMONS}/thumb/5/5f/A.svg/1280px-A.svg.png"),
        (f"{COMMONS}/5/5f/A.tif", 9000, f"{COMMONS}/thumb/5/5f/A.tif/lossy-page1-1280px-A.tif.jpg"),
        (f"{COMMONS}/5/5f/{'a' * 170}.jpg", 4000,
         f"{COMMONS}/thumb/5/5f/{'a' * 170}.jpg/1280px-thumbnail.jpg"),
        ("https://example.org/5/5f/A.svg", 4000, "https://example.org/5/5f/A.svg"),
        (f"{COMMONS}/thumb/5/5f/A.jpg/220px-A.jpg", 4000, f"{COMMONS}/thumb/5/5f/A.jpg/220px-A.jpg"),
        ("", None, ""),
    ],
)  # fmt: skip
def test_the_url_that_is_requested(url: str, width: int | None, expected: str) -> None:
    assert address_of(url, width) == expected


def test_each_url_is_requested_once_by_all_threads_and_reruns(tmp_path: Path) -> None:
    saved: list[str] = []

    def save(content: bytes, suffix: str) -> str:
        saved.append(suffix)
        return f"image{suffix}"

    routes = {"/a.png": content(png(1)), "/b.png": content(png(1)[:60])}
    expected = [
        SavedImage("image.png"),
        SavedImage(reason="image: image file is truncated"),
        SavedImage("", "HTTP 404", "Not Found"),
    ]
    with Server(routes, hold=0.05) as server:
        addresses = [server.url(path) for path in ("/a.png", "/b.png", "/c.png")]
        for _ in range(2):
            file = tmp_path / "known.sqlite"
            with Fetcher(POLITE) as fetcher, ImageStore(file, fetcher, save) as images:
                pool = ThreadPoolExecutor(8)
                assert list(pool.map(images.get, addresses * 5)) == expected * 5
                pool.shutdown()
        assert server.hits == {"/a.png": 1, "/b.png": 1, "/c.png": 1}
    assert saved == [".png"]


def test_a_stopped_run_wakes_waiting_threads_and_records_nothing(tmp_path: Path) -> None:
    with Server({"/a": status(503)}, hold=0.05) as server, Fetcher(POLITE) as fetcher:
        fetcher._failures = FAILURES_IN_A_ROW - 1
        with ImageStore(tmp_path / "known.sqlite", fetcher, lambda *_: "") as images:
            both = threading.Barrier(2)

            def get(_: int) -> SavedImage:
                both.wait()
                return images.get(server.url("/a"))

            with ThreadPoolExecutor(2) as pool:
                for future in [pool.submit(get, number) for number in range(2)]:
                    with pytest.raises(DataError, match="consecutive failures"):
                        future.result()
            server.routes["/a"] = content(png(1))
            assert images.get(server.url("/a")).reason == ""
