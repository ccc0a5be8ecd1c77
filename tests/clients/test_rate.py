"""The limits: no window of a server's holds too many requests, however long each is on its way, and little time is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from random import Random

import pytest

from stockctl.clients.rate import Limit, RateLimit


def most_within(moments: list[float], seconds: float) -> int:
    """The most of the sorted ``moments`` that lie in any window of ``seconds``."""
    return max(sum(moment <= other < moment + seconds for other in moments) for moment in moments)


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_no_window_holds_too_many_and_little_time_is_lost(workers: int) -> None:
    """The server counts a request somewhere between its sending and its answer."""
    limits = [Limit(20, 0.5), Limit(8, 0.1)]
    limit, random, arrived = RateLimit(limits), Random(workers), []
    ways = [(random.uniform(0, 0.01), random.uniform(0, 0.01)) for _ in range(101)]

    def ask(way: tuple[float, float]) -> None:
        with limit.request():
            time.sleep(way[0])
            arrived.append(time.monotonic())
            time.sleep(way[1])

    started = time.monotonic()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(ask, ways))
    seconds = time.monotonic() - started
    arrived.sort()
    for most, span in limits:
        assert most_within(arrived, span) <= most
    # 101 requests at 20 in half a second need 2.5 s.
    assert seconds < 2.5 * 1.1 + 0.1


def test_a_pause_holds_everyone() -> None:
    limit = RateLimit([Limit(100, 1.0)])
    limit.pause(0.3)
    started = time.monotonic()
    with limit.request():
        assert time.monotonic() - started >= 0.3


def test_who_waits_for_an_answer_goes_on_with_it() -> None:
    """With one request allowed and one under way, the next waits for its answer and then for the window."""
    limit, times, release = RateLimit([Limit(1, 0.2)]), [], threading.Event()

    def ask() -> None:
        with limit.request():
            times.append(time.monotonic())
            release.wait(5)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    release.set()
    for thread in threads:
        thread.join(5)
    assert [later - earlier >= 0.3 for earlier, later in pairwise(times)] == [True]
