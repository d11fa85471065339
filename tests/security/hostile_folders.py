"""Hostile folders of known data sets, and hostile programs."""

import pickle
import struct
import zlib
from collections.abc import Iterator

from file_bytes import gz, listed, lying_zip, wav
from hostile import EXPORTED, ROOT, Hostile, content_writer, describe, touch_command, write_exported, write_folder

PARTS = ("images-idx3", "labels-idx1")


def recordings() -> Iterator[Hostile]:
    """Yield folders of data sets that are known by name."""
    table = b"slice_file_name,fold,classID\n1-0-0-0.wav,1,0\n"
    clips = {
        "a billion samples": (wav(), {40: struct.pack("<I", 2**31 - 1)}, ""),
        "no samples": (wav(n=0), {}, "0 samples"),
        "sixty thousand channels": (wav(), {22: struct.pack("<H", 60_000)}, "can't be decoded|accepted are"),
        "no wav": (b"fLaC" + bytes(100), {}, "can't be decoded"),
        "another format": (b"FORM" + struct.pack(">I", 46) + b"AIFFCOMM" + bytes(100), {}, "can't be decoded"),
    }
    for description, (content, changes, message) in clips.items():
        clip = bytearray(content)
        for offset, change in changes.items():
            clip[offset : offset + len(change)] = change
        entries = {"UrbanSound8K/audio/fold1/1-0-0-0.wav": bytes(clip), "UrbanSound8K/metadata/UrbanSound8K.csv": table}
        write = describe(
            lambda path, bait, entries=entries: write_folder(path, entries), f"UrbanSound8K, {description}"
        )  # type: ignore[misc]
        yield Hostile("root", ROOT, write, message, data="urban_sound", only_path=True)
        spoken = {"recordings/0_ann_7.wav": bytes(clip)}
        write = describe(
            lambda path, bait, entries=spoken: write_folder(path, entries), f"spoken digits, {description}"
        )  # type: ignore[misc]
        yield Hostile("root", ROOT, write, message, data="spoken_digits", only_path=True)
    bomb = lying_zip({"recordings/0_ann_7.wav": (wav(), 2**31)})
    packer = zlib.compressobj(9, wbits=31)
    first, block = (packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    axes = gz(b"\0\0\x08\xff" + struct.pack(">I", 1) * 255 + b"1")
    folders = (
        ("a table whose names lead out", "urban_sound", "where it is not",
         {"UrbanSound8K/audio/fold1/1-0-0-0.wav": wav(), "UrbanSound8K/metadata/UrbanSound8K.csv": table.replace(b"1-0", b"../../1-0")}),
        ("a zip of a recording of 2 GiB", "spoken_digits", "expands to more than", {"fsdd_wav.zip": bomb}),
        ("257 MiB of nothing, gzipped", "mnist", "unpacks to more than",
         {f"MNIST/raw/train-{part}-ubyte.gz": first + block * 256 for part in PARTS}),
        ("an image of 255 axes", "mnist", "is not an IDX file", {f"MNIST/raw/train-{part}-ubyte.gz": axes for part in PARTS}),
        ("files that torchvision reads", "mnist", "was not found",
         {f"MNIST/raw/{split}-{part}-ubyte": bytes(50) for split in ("train", "t10k") for part in PARTS}),
    )  # fmt: skip
    for description, data, message, entries in folders:
        write = describe(lambda path, bait, entries=entries: write_folder(path, entries), description)  # type: ignore[misc]
        yield Hostile("root", ROOT, write, message, data=data, only_path=True)
    trap = describe(
        lambda path, bait: write_folder(
            path,
            {
                f"cifar-10-batches-py/{name}": pickle.dumps(touch_command(bait))
                for name in ("batches.meta", *(f"data_batch_{i}" for i in range(1, 6)))
            },
        ),
        "CIFAR-10 as pickles that run code",
    )
    yield Hostile("root", ROOT, trap, "was not found", data="cifar10", only_path=True)


def programs() -> Iterator[Hostile]:
    """Yield programs that may run code and are not trusted."""
    yield Hostile(
        "network.pt2", EXPORTED, write_exported, "opening one can run code that its author put into it", only_path=True
    )
    yield Hostile(
        "none.pt2",
        EXPORTED,
        content_writer(listed(10_000), "no exported program"),
        "is not an exported program",
        only_path=True,
    )
