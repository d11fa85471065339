"""How often a JPEG goes through all of its pixels: a few bytes are enough for each time, so a small file can take hours."""

import re

MAX_SCANS, MAX_SEGMENTS = 100, 2**16  # cameras and programs write up to a dozen, and some hundreds
MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")
"""One that begins a segment: those left out have no length, or mean nothing and may be passed over."""
START, START_OF_SCAN, END = b"\xff\xd8", b"\xda", b"\xd9"


def scans_in(content: bytes) -> int:
    """How often a file goes through its pixels: 1, or the scans of a JPEG by its markers, which are read as libjpeg reads them.

    Counting ends above :data:`MAX_SCANS`; so many are said as well of one with more segments than accepted.
    """
    scans, segments, position = 0, 0, len(START)
    while content.startswith(START) and scans <= MAX_SCANS:
        marker = MARKER.search(content, position)
        if not marker or marker[1] == END:
            break
        position = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")
        scans, segments = scans + (marker[1] == START_OF_SCAN), segments + 1
        if segments > MAX_SEGMENTS:
            return MAX_SCANS + 1
    return max(1, scans)


def has_many_scans(content: bytes) -> bool:
    """Whether a file is a JPEG of more scans or segments than accepted."""
    return scans_in(content) > MAX_SCANS
