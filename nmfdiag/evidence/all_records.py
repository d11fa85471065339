"""All records in one place: the data behind the claims."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nmfdiag.bench import last_results
from nmfdiag.evidence.curve_records import recorded_curves, recorded_supports
from nmfdiag.evidence.records import RECORDS_FOLDER, History, NetworkRecord, histories, network_records
from nmfdiag.evidence.suspects_records import RATES, REPAIRS, RESULTS, suspects_table

if TYPE_CHECKING:
    import pandas as pd


class Records:
    """All records of a folder, each read on first use."""

    def __init__(self, folder: Path = RECORDS_FOLDER):
        self.folder = folder

    @cached_property
    def curves(self) -> "pd.DataFrame":
        return recorded_curves(self.folder)

    @cached_property
    def supports(self) -> "pd.DataFrame":
        return recorded_supports(self.folder)

    @cached_property
    def photographs(self) -> "pd.DataFrame":
        """Curves of a network with ImageNet weights, on photographs it was not trained on."""
        import pandas as pd

        path = self.folder / "imagenet.csv"
        return pd.read_csv(path) if path.is_file() else pd.DataFrame()

    @cached_property
    def networks(self) -> dict[str, NetworkRecord]:
        return network_records(self.folder)

    @cached_property
    def sizes(self) -> dict[str, NetworkRecord]:
        return network_records(self.folder, "data-size")

    @cached_property
    def watched(self) -> list[History]:
        return list(histories("early-stopping", self.folder).values())

    @cached_property
    def few_shot(self) -> list[History]:
        return list(histories("few-shot", self.folder).values())

    @cached_property
    def bench(self) -> "pd.DataFrame | None":
        """This machine's last benchmark, else the recorded one."""
        import pandas as pd

        table, path = last_results(), self.folder / "benchmark.csv"
        return pd.read_csv(path) if table is None and path.is_file() else table

    @cached_property
    def suspects(self) -> "pd.DataFrame":
        """AUROC and cost of each score on networks whose wrong labels are known."""
        return suspects_table(RESULTS, self.folder)

    @cached_property
    def suspects_rates(self) -> "pd.DataFrame":
        return suspects_table(RATES, self.folder)

    @cached_property
    def suspects_repairs(self) -> "pd.DataFrame":
        return suspects_table(REPAIRS, self.folder)
