"""What a world writes is enough for every task, also for those that the demo does not ask."""

from __future__ import annotations

from ndino.evaluation.benchmarks import Benchmarks


def test_every_task_of_the_full_group_finds_its_samples(drawn_world, monkeypatch):
    folder = drawn_world / "benchmarks"
    monkeypatch.chdir(folder)
    benchmarks = Benchmarks(["ndino-it-full", "ndino-it-native"], data=folder)
    # A group does without tasks whose data are not there.
    assert set(benchmarks.names) == set(benchmarks.index.parts("ndino-it-full") or [])
    assert not benchmarks.notes
    for name in benchmarks.names:
        assert benchmarks.task(name).prompt(0) and len(benchmarks.task(name)) > 1


def test_captions_and_requests_are_about_the_worlds_images(drawn_world, monkeypatch):
    folder = drawn_world / "benchmarks"
    monkeypatch.chdir(folder)
    benchmarks = Benchmarks(["xm3600-it", "m-wildvision-it", "llava-bench-it"], data=folder)
    captions, requests, described = map(benchmarks.task, benchmarks.names)
    assert len(captions) == len(requests) == len(described)
    for number in range(len(captions)):
        caption, description = captions.target(number)
        assert requests.target(number) == described.target(number) == description != caption
        (shown,), (same,) = captions.images(number), described.images(number)
        assert shown.tobytes() == same.tobytes()
