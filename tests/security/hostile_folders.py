"""Folders of known data sets, and programs, as an attacker would write them."""

import pickle
import struct
import zlib
from collections.abc import Iterator

from file_bytes import claim, gz, listed, wav
from hostile import EXPORTED, ROOT, Hostile, exported, folder_of, holding, of, touching

PARTS = ("images-idx3", "labels-idx1")


def recordings() -> Iterator[Hostile]:
    """Folders of data sets that are known by name."""
    table = b"slice_file_name,fold,classID\n1-0-0-0.wav,1,0\n"
    clips = {
        "a billion samples": (wav(), {40: struct.pack("<I", 2**31 - 1)}, ""),
        "no samples": (wav(n=0), {}, "0 samples"),
        "sixty thousand channels": (wav(), {22: struct.pack("<H", 60_000)}, "can't be decoded|accepted are"),
        "no wav": (b"fLaC" + bytes(100), {}, "can't be decoded"),
        "another format": (b"FORM" + struct.pack(">I", 46) + b"AIFFCOMM" + bytes(100), {}, "can't be decoded"),
    }
    for about, (content, changes, words) in clips.items():
        clip = bytearray(content)
        for at, change in changes.items():
            clip[at : at + len(change)] = change
        entries = {"UrbanSound8K/audio/fold1/1-0-0-0.wav": bytes(clip), "UrbanSound8K/metadata/UrbanSound8K.csv": table}
        write = of(lambda path, bait, entries=entries: folder_of(path, entries), f"UrbanSound8K, {about}")  # type: ignore[misc]
        yield Hostile("root", ROOT, write, words, data="urban_sound", only_path=True)
        spoken = {"recordings/0_ann_7.wav": bytes(clip)}
        write = of(lambda path, bait, entries=spoken: folder_of(path, entries), f"spoken digits, {about}")  # type: ignore[misc]
        yield Hostile("root", ROOT, write, words, data="spoken_digits", only_path=True)
    entries = {
        "UrbanSound8K/audio/fold1/1-0-0-0.wav": wav(),
        "UrbanSound8K/metadata/UrbanSound8K.csv": table.replace(b"1-0", b"../../1-0"),
    }
    yield Hostile(
        "root",
        ROOT,
        of(lambda path, bait: folder_of(path, entries), "a table whose names lead out"),
        "where it is not",
        data="urban_sound",
        only_path=True,
    )
    bomb = claim({"recordings/0_ann_7.wav": (wav(), 2**31)})
    yield Hostile(
        "root",
        ROOT,
        of(lambda path, bait: folder_of(path, {"fsdd_wav.zip": bomb}), "a zip of a recording of 2 GiB"),
        "expands to more than",
        data="spoken_digits",
        only_path=True,
    )
    packer = zlib.compressobj(9, wbits=31)
    first, more = (packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    zeros = {f"MNIST/raw/train-{part}-ubyte.gz": first + more * 256 for part in PARTS}
    yield Hostile(
        "root",
        ROOT,
        of(lambda path, bait: folder_of(path, zeros), "257 MiB of nothing, gzipped"),
        "unpacks to more than",
        data="mnist",
        only_path=True,
    )
    axes = {
        f"MNIST/raw/train-{part}-ubyte.gz": gz(b"\0\0\x08\xff" + struct.pack(">I", 1) * 255 + b"1") for part in PARTS
    }
    yield Hostile(
        "root",
        ROOT,
        of(lambda path, bait: folder_of(path, axes), "an image of 255 axes"),
        "is not an IDX file",
        data="mnist",
        only_path=True,
    )
    raw = {f"MNIST/raw/{split}-{part}-ubyte": bytes(50) for split in ("train", "t10k") for part in PARTS}
    yield Hostile(
        "root",
        ROOT,
        of(lambda path, bait: folder_of(path, raw), "files that torchvision reads"),
        "was not found",
        data="mnist",
        only_path=True,
    )
    trap = of(
        lambda path, bait: folder_of(
            path,
            {
                f"cifar-10-batches-py/{name}": pickle.dumps(touching(bait))
                for name in ("batches.meta", *(f"data_batch_{i}" for i in range(1, 6)))
            },
        ),
        "CIFAR-10 as pickles that run code",
    )
    yield Hostile("root", ROOT, trap, "was not found", data="cifar10", only_path=True)


def programs() -> Iterator[Hostile]:
    """What may run code, and is not trusted."""
    yield Hostile(
        "network.pt2", EXPORTED, exported, "opening one can run code that its author put into it", only_path=True
    )
    yield Hostile(
        "none.pt2",
        EXPORTED,
        holding(listed(10_000), "no exported program"),
        "is not an exported program",
        only_path=True,
    )
