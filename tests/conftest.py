"""Shared by all tests: one thread, fixed random numbers, private folders, a browser, and in CI no silent skips (NMFDIAG_NO_SKIPS)."""

import os
import random
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from pickle_reader import read_in_process
from queues import drop_all
from xdist.scheduler import LoadFileScheduling

torch.set_num_threads(1)
settings.register_profile(
    "the same everywhere", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("the same everywhere")

pytest.register_assert_rewrite("browser_page")
LONGEST_FIRST = (
    *("test_properties", "test_corpus", "test_zoo_add", "test_bench", "test_pages", "test_truth"),
    *("test_what_networks_hold", "test_preflight", "test_your_network_page", "test_processes", "test_kill"),
    *(
        "test_open_network",
        "test_split",
        "test_activations",
        "test_record_experiments",
        "test_damage",
        "test_intercept",
    ),
    *("test_sessions", "test_distributed", "test_adapters", "test_report", "test_side_by_side", "test_memory"),
    *("test_open_process", "test_support", "test_claims"),
)
"""Names of the files that take longest; the others take seconds."""
MUST_RUN = ("browser", "real_data")


@pytest.fixture(scope="session", autouse=True)
def private_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point the cache, the zoo and the runs to a temporary folder, so that no test writes into the checkout."""
    folder = tmp_path_factory.mktemp("nmfdiag")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("NMFDIAG_CACHE", "NMFDIAG_ZOO", "NMFDIAG_RUNS"):
            (folder / variable).mkdir(mode=0o700)
            patch.setenv(variable, str(folder / variable))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def pickles_read_here() -> Iterator[None]:
    """Read pickled weights without a child process, which takes seconds to start; tests/networks has real ones."""
    with pytest.MonkeyPatch.context() as patch:
        read_in_process(patch)
        yield


@pytest.fixture(autouse=True)
def no_requests_left() -> Iterator[None]:
    """Cancel requests of pages that no test waits for any more."""
    yield
    drop_all()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of the real data sets, or skip the test."""
    if not os.environ.get("NMFDIAG_DATA"):
        pytest.skip("NMFDIAG_DATA is not set")
    return Path(os.environ["NMFDIAG_DATA"])


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the browser for Playwright's ``executable_path``, or skip the test."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("NMFDIAG_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium or Chrome found: install one, or name it in NMFDIAG_CHROMIUM")
    return path


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Start each test with the same random numbers, whichever tests ran before."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the browser tests (see the Makefile) and then the files that take longest, so that both processes end together."""
    order = {name: position for position, name in enumerate(LONGEST_FIRST)}

    def position(item: pytest.Item) -> int:
        return -1 if item.get_closest_marker("browser") else order.get(item.path.stem, len(order))

    items.sort(key=position)


class _BrowserTestsTogether(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "browser" if Path(file).name.startswith("test_browser") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling | None:
    """Keep the files of browser tests in one process."""
    return _BrowserTestsTogether(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip of a browser or real-data test into a failure where NMFDIAG_NO_SKIPS is 1."""
    report = yield
    must_run = any(item.get_closest_marker(marker) for marker in MUST_RUN)
    if report.skipped and must_run and os.environ.get("NMFDIAG_NO_SKIPS") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and NMFDIAG_NO_SKIPS allows no skips: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a file that skips as a whole, since its marks can't be seen."""
    report = yield
    if report.skipped and os.environ.get("NMFDIAG_NO_SKIPS") == "1":
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped as a whole, and NMFDIAG_NO_SKIPS allows none: {report.longrepr}"
    return report
