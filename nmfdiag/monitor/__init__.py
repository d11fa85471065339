"""Watch a training from inside its loop."""

from typing import TYPE_CHECKING

from nmfdiag.lazy_names import lazy_getattr

if TYPE_CHECKING:
    from nmfdiag.monitor.callback import MemorizationMonitor
    from nmfdiag.monitor.indexed import Indexed

__all__ = ["Indexed", "MemorizationMonitor"]

__getattr__ = lazy_getattr(__name__, {"Indexed": "indexed", "MemorizationMonitor": "callback"})
