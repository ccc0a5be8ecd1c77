"""A wall clock that is ahead by ``CLOCK_AHEAD_NS``, for every Python process that has this folder on its path.

It goes on as time does. Libraries that ask the system themselves see the machine's own time, and so does ``datetime.now``: what
is compared with the times of trades is asked of ``time``.
"""

from __future__ import annotations

import os
import time

_AHEAD = int(os.environ["CLOCK_AHEAD_NS"])
_time_ns = time.time_ns

time.time_ns = lambda: _time_ns() + _AHEAD
time.time = lambda: time.time_ns() / 1e9
