"""How often a JPEG goes through all of its pixels: a few bytes are enough for each time, so a small file can take hours."""

import re

MAX_SCANS, MAX_SEGMENTS = 100, 2**16  # cameras and programs write up to a dozen, and some hundreds
MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")
"""One that begins a segment: those left out have no length, or mean nothing and may be passed over."""
START, START_OF_SCAN, END = b"\xff\xd8", b"\xda", b"\xd9"


def has_many_scans(content: bytes) -> bool:
    """Whether a file is a JPEG of more scans or segments than accepted, by its markers, which are read as libjpeg reads them."""
    if not content.startswith(START):
        return False
    scans, segments, at = 0, 0, len(START)
    while max(scans / MAX_SCANS, segments / MAX_SEGMENTS) <= 1:
        found = MARKER.search(content, at)
        if not found or found[1] == END:
            return False
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
        scans, segments = scans + (found[1] == START_OF_SCAN), segments + 1
    return True
