"""The limits: no window of a server's holds too many requests, however long each is on its way, and no time is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from stockctl.clients import rate_limit
from stockctl.clients.rate_limit import Limit, RateLimit
from tests.clock import Clock
from tests.command import HANG
from tests.conftest import wait_for


def most_within(moments: list[float], seconds: float) -> int:
    """The most of the sorted ``moments`` that lie in any window of ``seconds``."""
    return max(sum(moment <= other < moment + seconds for other in moments) for moment in moments)


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_no_window_holds_too_many(workers: int) -> None:
    """The server counts a request somewhere between its sending and its answer."""
    limits = [Limit(20, 0.5), Limit(8, 0.1)]
    limit, random, arrived = RateLimit(limits), Random(workers), []
    ways = [(random.uniform(0, 0.01), random.uniform(0, 0.01)) for _ in range(61)]

    def ask(way: tuple[float, float]) -> None:
        with limit.request():
            time.sleep(way[0])
            arrived.append(time.monotonic())
            time.sleep(way[1])

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(ask, ways))
    arrived.sort()
    for most, span in limits:
        assert most_within(arrived, span) <= most


def test_no_time_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """101 requests at 20 in 50 s need 250 s, where none is long under way."""
    clock = Clock()
    monkeypatch.setattr(rate_limit, "time", clock)
    limits = [Limit(20, 50), Limit(8, 10)]
    limit, moments = clock.limit()(limits), []

    def ask(_number: int) -> None:
        with limit.request():
            moments.append(clock.now)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(101)))
    assert clock.now == moments[-1] == 250
    assert [most_within(moments, span) for _, span in limits] == [20, 8]


def test_a_pause_holds_everyone() -> None:
    limit = RateLimit([Limit(100, 1.0)])
    limit.pause(0.3)
    started = time.monotonic()
    with limit.request():
        assert time.monotonic() - started >= 0.3


def test_who_waits_for_an_answer_goes_on_with_it() -> None:
    """With one request allowed and one under way, the next waits for its answer and then for the window."""
    limit, sent, answered, release = RateLimit([Limit(1, 0.2)]), [], [], threading.Event()
    asking = threading.Barrier(3)

    def ask() -> None:
        asking.wait()
        with limit.request():
            sent.append(time.monotonic())
            release.wait()
            answered.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    asking.wait()
    wait_for(lambda: sent, "the first request")
    release.set()
    for thread in threads:
        thread.join(HANG)
    assert sent[1] - answered[0] >= 0.2
