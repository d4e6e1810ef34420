"""A run in a process of its own that is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable


def killed(run: Callable[[], object], after: float) -> bool:
    """Run in a forked child, killed after so many seconds; whether that came before its end."""
    child = os.fork()
    if child == 0:
        run()
        os._exit(0)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status) != 0:
        sys.exit("a child failed")
    return os.WIFSIGNALED(status)
