"""Zip files that strangers have packed: how many entries they may have, and every way in which one can be damaged."""

import lzma
import struct
import zipfile
import zlib
from pathlib import Path

from nmfdiag.errors import NmfdiagError

MAX_DIRECTORY = 96 * 2**20
"""Bytes of the list of entries, which is read as a whole: about a million names."""
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
"""LZMA is none of them: a few bytes of it can ask for 4 GiB."""
LISTED_BYTES = 5  # where zipfile's record of an archive's end has the length of that list
ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, EOFError, NotImplementedError, RuntimeError,
    ValueError, OverflowError,
)  # fmt: skip
"""What reading a damaged or hostile archive may raise."""


def open_zip(path: Path, kind: str = "zip") -> zipfile.ZipFile:
    """Open an archive whose list of entries is not too long to be read.

    Args:
        path: The file.
        kind: What it should be, for the error.

    Raises:
        NmfdiagError: If it is none, is damaged, or has too many entries.
    """
    try:
        return opened(path)
    except NmfdiagError:
        raise
    except ZIP_ERRORS as error:
        from nmfdiag.data.file_kinds import kind_of_file  # which opens zip files itself

        what = kind_of_file(path)
        raise NmfdiagError(f"{path.name} is no readable {kind}: {f'it is {what}' if what else error}.") from None


def opened(path: Path) -> zipfile.ZipFile:
    """Open an archive as :func:`open_zip` does, whose errors say less.

    Raises:
        NmfdiagError: If it has too many entries, or packs them in a way that is not accepted.
        OSError: And others of :data:`ZIP_ERRORS`, if it is no zip file or damaged.
    """
    with path.open("rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # before anything is read by what it says
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
