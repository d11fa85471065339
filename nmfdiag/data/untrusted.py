"""Limit files from strangers: entries and compression of zip files, scans of JPEGs."""

import lzma
import re
import struct
import zipfile
import zlib
from pathlib import Path

from nmfdiag.errors import NmfdiagError

MAX_DIRECTORY = 96 * 2**20
"""Largest size of the list of entries, which is read as a whole: about a million names."""
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
"""Accepted compressions; with LZMA a few bytes can ask for 4 GiB."""
LISTED_BYTES = 5
"""Index of that list's length in zipfile's record of an archive's end."""
ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, EOFError, NotImplementedError, RuntimeError,
    ValueError, OverflowError,
)  # fmt: skip
"""Exceptions that reading a damaged or hostile archive may raise."""

MAX_SCANS, MAX_SEGMENTS = 100, 2**16
"""Largest numbers in a JPEG; cameras and programs write up to a dozen scans and some hundreds of segments."""
MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")
"""Marker that starts a segment; the others have no length, or no meaning."""
START, START_OF_SCAN, END = b"\xff\xd8", b"\xda", b"\xd9"


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip file whose list of entries is not too long to be read.

    Raises:
        NmfdiagError: If it has too many entries, or their compression is not accepted.
        OSError: Or another of :data:`ZIP_ERRORS`, if it is damaged or not a zip file.
    """
    with path.open("rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # checked before its content is read
    if end and end[LISTED_BYTES] > MAX_DIRECTORY:
        raise NmfdiagError(
            f"{path.name} lists its entries in {end[LISTED_BYTES]:,} bytes, accepted are {MAX_DIRECTORY:,}."
        )
    archive = zipfile.ZipFile(path)
    odd = next((info for info in archive.infolist() if info.compress_type not in PACKINGS), None)
    if odd is None:
        return archive
    archive.close()
    raise NmfdiagError(f"{path.name} packs {odd.filename} in a way that is not accepted: store, deflate or bzip2 are.")


def scans_in(content: bytes) -> int:
    """Return the number of passes over a file's pixels: 1, or a JPEG's scans, by its markers, which are read as libjpeg does.

    Counting ends above :data:`MAX_SCANS`, which is also returned for too many segments.
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
