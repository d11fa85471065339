"""Take one of the user's own networks out of the zoo. Without torch."""

import shutil

from nmfdiag.errors import NmfdiagError
from nmfdiag.zoo.files import ENTRY_FILE, POOLS
from nmfdiag.zoo.registry import ZooEntry, entries, refresh, user_zoo


def remove(entry: ZooEntry) -> None:
    """Delete a network's files; its pool of samples stays while another network uses it.

    Args:
        entry: One that was added or opened, in the user's zoo.

    Raises:
        NmfdiagError: If it is none of the user's own, or its files can't be deleted.
    """
    home, folder, pool = user_zoo().resolve(), entry.folder.resolve(), entry.files["pool"].resolve()
    if not entry.called or folder.parent != home or entry.folder.is_symlink() or pool.parent != home / POOLS:
        raise NmfdiagError(f"{entry.name} is not a network that was opened or added here: it is not removed.")
    try:
        (folder / ENTRY_FILE).unlink()  # first: a network without its record is none
        refresh()
        if not any(other.files["pool"].resolve() == pool for other in entries().values()):
            pool.unlink(missing_ok=True)
        shutil.rmtree(folder)
    except OSError as error:
        raise NmfdiagError(f"{entry.name} can't be removed: {error}") from None
