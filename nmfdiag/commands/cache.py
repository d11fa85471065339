"""``cache``: the computed curves."""

import argparse

from nmfdiag.commands.outcome import OK, WRONG, Commands, Outcome


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    cache = commands.add_parser("cache", help="the computed curves").add_subparsers(required=True, metavar="COMMAND")
    cache.add_parser("stats", parents=[common], help="how much is kept, and where").set_defaults(run=_stats)
    cache.add_parser("clear", parents=[common], help="forget all curves").set_defaults(run=_clear)
    verify = cache.add_parser("verify", parents=[common], help="read every curve; exit with 1 if any is damaged")
    verify.add_argument("--mend", action="store_true", help="drop what is damaged; it is computed again when asked for")
    verify.set_defaults(run=_verify)


def _stats(_: argparse.Namespace) -> Outcome:
    from nmfdiag.jobs.cache import CurveCache

    record = CurveCache().stats()
    return OK, record, f"{record['curves']:,} curves, {record['bytes'] / 2**20:.1f} MiB in {record['folder']}"


def _clear(_: argparse.Namespace) -> Outcome:
    from nmfdiag.jobs.cache import CurveCache

    gone = CurveCache().clear()
    return OK, {"cleared": gone}, f"{gone:,} curves forgotten."


def _verify(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.jobs.cache import CurveCache

    cache = CurveCache()
    found = cache.verify(mend=arguments.mend)
    record = {**vars(found), "sound": found.sound, "mended": arguments.mend, "folder": str(cache.folder)}
    lines = [f"{key}: {what}" for key, what in found.damaged.items()]
    lines += [f"the database: {what}" for what in found.database]
    lines += [f"{found.orphans:,} files that no curve names: left behind, harmless."] if found.orphans else []
    lines.append(f"{found.rows - len(found.damaged):,} of {found.rows:,} curves in {cache.folder} are sound.")
    lines += ["What was damaged has been dropped."] if arguments.mend and not found.sound else []
    lines += [cache.notice] if cache.notice else []
    return OK if found.sound else WRONG, record, "\n".join(lines)
