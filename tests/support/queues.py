"""All queues of this process, whoever made them: what a test leaves in one would be computed during the next tests."""

import time
from typing import Any
from weakref import WeakSet

from nmfdiag.jobs.queue import Jobs

QUEUES: WeakSet[Jobs] = WeakSet()
ENDING_SECONDS = 30.0
"""Seconds that a cancelled computation is waited for: it ends at its next report of progress."""
_init = Jobs.__init__


def _init_listed(queue: Jobs, *arguments: Any, **options: Any) -> None:
    _init(queue, *arguments, **options)
    QUEUES.add(queue)


Jobs.__init__ = _init_listed  # type: ignore[method-assign]


def pending(queue: Jobs) -> dict[str, Any]:
    """Return the tasks that wait or run, by key."""
    with queue._lock:
        return queue._waiting | queue._running


def drop_all() -> None:
    """Cancel all requests and wait until nothing runs any more."""
    busy = [queue for queue in QUEUES if pending(queue)]
    for queue in busy:
        for owner in {owner for task in pending(queue).values() for owner in task.owners}:
            queue.cancel(owner)
    end = time.monotonic() + ENDING_SECONDS
    while any(map(pending, busy)) and time.monotonic() < end:
        time.sleep(0.01)
