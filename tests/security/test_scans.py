"""JPEGs with more scans than any program writes are recognised quickly."""

import io
import time

import numpy as np
import pytest
from bounds import SECONDS
from file_bytes import jpeg_of_scans
from PIL import Image

from nmfdiag.data.untrusted import MAX_SCANS, scans_in

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))


def has_many_scans(content: bytes) -> bool:
    return scans_in(content) > MAX_SCANS


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"exif": b"Exif\0\0" + b"\xff\xda" * 200}]
)
def test_usual_images(options: dict[str, object]) -> None:
    content = io.BytesIO()
    NOISE.save(content, "JPEG", quality=95, **options)
    assert not has_many_scans(
        content.getvalue() + b"\xff\xda\0\2" * 200
    )  # bytes after an image's end are not part of it


def test_many_scans() -> None:
    content = jpeg_of_scans(200, 64)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
    assert has_many_scans(content) and not has_many_scans(jpeg_of_scans(50, 64))
    thumbnail = b"\xff\xe1\0\6\xff\xd9\xff\xd9"
    assert has_many_scans(content[:2] + thumbnail + content[2:])
    hidden = b"\xff\x02\xff\xff"  # not a marker, so it has no length: a decoder skips it
    assert has_many_scans(content[:2] + hidden + content[2:])
    assert not has_many_scans(content[1:]) and not has_many_scans(b"")


@pytest.mark.parametrize(
    ("unit", "has_many"),
    [(b"\xff", False), (b"\xff\xd0", False), (b"\xff\0", False), (b"\xff\xe0\0\2", True), (b"\xff\xe0\0\0", True)],
)
def test_markers_without_end(unit: bytes, has_many: bool) -> None:
    content = b"\xff\xd8" + unit * (2**23 // len(unit))
    start = time.process_time()
    assert has_many_scans(content) == has_many and time.process_time() - start < SECONDS
