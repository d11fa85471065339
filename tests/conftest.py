"""What every test shares: one thread, folders of its own, and no silent skips where NMFDIAG_NO_SKIPS is set."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def private_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point the cache and the zoo to a temporary folder, so that no test writes into the checkout."""
    folder = tmp_path_factory.mktemp("nmfdiag")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("NMFDIAG_CACHE", "NMFDIAG_ZOO"):
            (folder / variable).mkdir()
            patch.setenv(variable, str(folder / variable))
        yield folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the real data sets; skips where there is none."""
    if not os.environ.get("NMFDIAG_DATA"):
        pytest.skip("NMFDIAG_DATA is not set")
    return Path(os.environ["NMFDIAG_DATA"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip of a browser or real-data test into a failure where NMFDIAG_NO_SKIPS is 1."""
    report = yield
    must_run = any(item.get_closest_marker(marker) for marker in ("browser", "real_data"))
    if report.skipped and must_run and os.environ.get("NMFDIAG_NO_SKIPS") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and NMFDIAG_NO_SKIPS allows no skips: {report.longrepr}"
    return report
