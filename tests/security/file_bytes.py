"""The bytes that hostile files are made of."""

import gzip
import io
import struct
import zipfile
import zlib
from pathlib import Path

from PIL import Image, PngImagePlugin


def png(value: int = 0, side: int = 16, text: bytes = b"") -> bytes:
    """Return a grey image, with a compressed text chunk if there is a text."""
    buffer, info = io.BytesIO(), PngImagePlugin.PngInfo()
    if text:
        info.add(b"zTXt", b"a\0\0" + zlib.compress(text))
    Image.new("L", (side, side), value).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """Return an image that claims to have this size."""
    content = bytearray(png())
    content[16:24] = struct.pack(">2I", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def wav(n: int = 8000, rate: int = 8000) -> bytes:
    """Return a recording of silence."""
    data = bytes(2 * n)
    form = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    return b"".join([b"RIFF", struct.pack("<I", 36 + len(data)), b"WAVEfmt ", struct.pack("<I", 16), form, b"data", struct.pack("<I", len(data)), data])  # fmt: skip


def npy(header: str, body: bytes = b"") -> bytes:
    """Return an array in NumPy's format with any header."""
    padded = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode() + body


def zip_of(target: Path | io.BytesIO, entries: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    """Write a zip file; return its bytes if the target is in memory."""
    with zipfile.ZipFile(target, "w", packing) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return target.getvalue() if isinstance(target, io.BytesIO) else b""


def lying_zip(entries: dict[str, tuple[bytes, int]]) -> bytes:
    """Return a zip whose directory claims a length for each entry, whatever it holds: each is compressed, and followed by zeros."""
    body, listed = b"", b""
    for name, (content, size) in entries.items():
        packer = zlib.compressobj(9, wbits=-15)
        packed = packer.compress(content) + packer.compress(bytes(2**20)) + packer.flush()
        sizes = struct.pack("<2Q", size, len(packed))
        extra = struct.pack("<2H", 1, 16) + sizes
        head = struct.pack("<5H3I2H", 45, 0, 8, 0, 33, 0, 2**32 - 1, 2**32 - 1, len(name), len(extra))
        listed += (
            b"PK\1\2"
            + struct.pack("<H", 45)
            + head
            + struct.pack("<3H2I", 0, 0, 0, 0, len(body))
            + name.encode()
            + extra
        )
        body += b"PK\3\4" + head + name.encode() + extra + packed
    end = struct.pack("<4H2IH", 0, 0, len(entries), len(entries), len(listed), len(body), 0)
    return body + listed + b"PK\5\6" + end


def listed(n: int, name: str = "a.png") -> bytes:
    """Return a zip that lists n entries and holds none of them."""
    head = struct.pack("<6H3I5H2I", 20, 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0)
    entries = (b"PK\1\2" + head + name.encode()) * n
    return entries + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 65535, 65535, len(entries), 0, 0)


def gz(content: bytes) -> bytes:
    """Packed as MNIST's files are."""
    return gzip.compress(content)


def png_of_depth(side: int, bits: int) -> bytes:
    """Return a black image with a given number of bits per pixel."""
    header = struct.pack(">2I5B", side, side, bits, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side * bits // 8 + 1) * side))
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def jpeg_of_scans(n: int, side: int = 9000) -> bytes:
    """Return a progressive image whose short last scan is repeated: a decoder visits all pixels for each."""
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content[content.rfind(b"\xff\xda") : -2]
    return content[:-2] + last * n + content[-2:]
