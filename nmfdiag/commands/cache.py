"""``cache``: statistics, clearing and verification of the computed curves."""

import argparse

from nmfdiag.commands.outcome import OK, WRONG, Commands, Outcome


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    cache = commands.add_parser("cache", help="manage the computed curves").add_subparsers(
        required=True, metavar="COMMAND"
    )
    cache.add_parser("stats", parents=[common], help="show number, size and folder of the curves").set_defaults(
        run=_stats
    )
    cache.add_parser("clear", parents=[common], help="delete all curves").set_defaults(run=_clear)
    verify = cache.add_parser("verify", parents=[common], help="read every curve; exit code 1 if any is damaged")
    verify.add_argument("--mend", action="store_true", help="delete damaged curves; they are computed again on request")
    verify.set_defaults(run=_verify)


def _stats(_: argparse.Namespace) -> Outcome:
    from nmfdiag.jobs.cache import CurveCache

    record = CurveCache().stats()
    return OK, record, f"{record['curves']:,} curves, {record['bytes'] / 2**20:.1f} MiB in {record['folder']}"


def _clear(_: argparse.Namespace) -> Outcome:
    from nmfdiag.jobs.cache import CurveCache

    n_cleared = CurveCache().clear()
    return OK, {"cleared": n_cleared}, f"{n_cleared:,} curves deleted."


def _verify(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.jobs.cache import CurveCache

    cache = CurveCache()
    result = cache.verify(mend=arguments.mend)
    record = {**vars(result), "sound": result.sound, "mended": arguments.mend, "folder": str(cache.folder)}
    lines = [f"{key}: {fault}" for key, fault in result.damaged.items()]
    lines += [f"the database: {fault}" for fault in result.database]
    lines += [f"{result.orphans:,} files belong to no curve: harmless leftovers."] if result.orphans else []
    lines.append(f"{result.rows - len(result.damaged):,} of {result.rows:,} curves in {cache.folder} are sound.")
    lines += ["Damaged curves were deleted."] if arguments.mend and not result.sound else []
    lines += [cache.notice] if cache.notice else []
    return OK if result.sound else WRONG, record, "\n".join(lines)
