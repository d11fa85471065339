"""Streamlit, as ``python tests/support/streamlit_audit.py run ...``, with its connections to other machines written into the file $ASKED."""

import os
import sys
from typing import Any

from streamlit.web.cli import main

LOCAL_HOSTS = {"127.0.0.1", "::1", "localhost", "", None}


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Write down look-ups of names and connections that leave this machine."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto"):
        host = arguments[1][0] if isinstance(arguments[1], tuple) else ""  # a path: a socket of this machine
    else:
        return
    if (host.decode() if isinstance(host, bytes) else host) not in LOCAL_HOSTS:
        with open(os.environ["ASKED"], "a", encoding="utf-8") as file:
            file.write(f"{event} {host}\n")


if __name__ == "__main__":
    sys.addaudithook(note)
    main(prog_name="streamlit")
