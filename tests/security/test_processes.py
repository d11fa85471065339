"""Hostile input in real processes: those that the dashboard starts, the command line, and the server."""

import http.client
import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from corpus import CORPUS
from dashboard_server import serve
from file_bytes import png, zip_of
from foreign_network import Stranger
from headless_pages import ROOT
from hostile import SAMPLES, touch_command
from timeouts import CEILING, wait_until

from nmfdiag.cli import main
from nmfdiag.data import files
from nmfdiag.data.files import load_image_folder
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import browse, memory_limits
from nmfdiag.jobs.cache import CurveCache, cache_folder
from nmfdiag.jobs.memory_limits import keep_within
from nmfdiag.jobs.open_process import Opener, Opening, Prepare
from nmfdiag.monitor.run_reader import monitored_runs, run_files, runs_folder
from nmfdiag.zoo.registry import refresh, user_zoo

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bounds on memory and the list of sockets are Linux's")
MOST_KIB = 5 * 2**18
"""Peak memory that a process may take, in KiB; torch alone takes half of it."""


def open_and_wait(prepare: Prepare) -> tuple[str, int]:
    """Try to open a network as the dashboard does; return its message and the peak memory of the process, in KiB."""
    opener, peak_kib = Opener(), 0
    opener.start(prepare)

    def ended() -> bool:
        nonlocal peak_kib
        peak_kib = max(peak_kib, peak(opener))
        return not opener.state().running

    wait_until(ended)
    assert not opener.state().succeeded
    return opener.state().problem, peak_kib


def peak(opener: Opener) -> int:
    """Return the peak memory of an opener's process, in KiB."""
    with suppress(OSError, AttributeError, StopIteration):  # it has ended meanwhile
        status = Path(f"/proc/{opener._child.process.pid}/status").read_text()  # type: ignore[union-attr]
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    return 0


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path / "zoo"))
    refresh()
    yield tmp_path
    refresh()


def test_an_upload_that_would_run_code_is_refused_and_leaves_nothing(own: Path, stranger: Stranger) -> None:
    torch.save({"w": touch_command(own / "ran")}, own / "evil.pt")
    private: list[Path] = []

    def prepare(folder: Path) -> Opening:
        private.append(folder)
        path = browse.save_upload(folder, "weights", "../../evil.pt", (own / "evil.pt").read_bytes(), browse.WEIGHTS)
        return Opening("evil", weights=path, data=stranger.data)

    problem, _ = open_and_wait(prepare)
    assert problem == "The weights evil.pt can't be read: they name 'posix.system', which would run code."
    assert not (own / "ran").exists() and not private[0].exists() and not (own / "zoo").exists()


@pytest.mark.soak  # the command's message is tested in test_corpus.py
def test_an_image_of_a_gigapixel_is_refused_within_little_memory(own: Path, stranger: Stranger) -> None:
    [bomb] = [case for case in CORPUS if case.id == f"{SAMPLES}: an image of 900 megapixels"]
    bomb.write(own / "images.zip", own / "ran")
    problem, peak_kib = open_and_wait(lambda folder: Opening("bomb", Path(stranger.weights), str(own / "images.zip")))
    assert "decompression bomb" in problem and 0 < peak_kib < MOST_KIB


def test_a_process_that_takes_more_memory_than_there_is_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_limits, "LEAST_BYTES", 2**28)
    monkeypatch.setattr(memory_limits, "available_bytes", lambda: 2**28)
    code = "import sys; sys.stdin.read(1); bytearray(2**30)"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    keep_within(process.pid)
    _, errors = process.communicate(b"x", timeout=CEILING)
    assert process.returncode == 1 and b"MemoryError" in errors


def test_a_command_says_on_one_line_what_is_wrong(
    tmp_path: Path, stranger: Stranger, capsys: pytest.CaptureFixture[str]
) -> None:
    name = b"a\xff\n\x1b[2J.zip"
    command = [sys.executable, "-m", "nmfdiag", "zoo", "remove", name]  # fast, since it needs no torch
    process = subprocess.run(command, capture_output=True, timeout=CEILING, cwd=ROOT, check=False)
    path = tmp_path / os.fsdecode(name)
    zip_of(path, {"readme.txt": b"", "1.png": png()})
    code = main(["diagnose", "--weights", stranger.weights, "--data", str(path)])
    for returned, message in ((process.returncode, process.stderr.decode()), (code, capsys.readouterr().err)):
        lines = message.splitlines()
        assert returned == 2 and len(lines) == 1 and lines[0].startswith("nmfdiag: ") and "\x1b" not in lines[0]


def test_a_folder_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        for i in range(600):
            (tmp_path / kind / f"{i}.txt").touch()
    with pytest.raises(NmfdiagError, match="No images"):
        load_image_folder(tmp_path, "train")
    monkeypatch.setattr(files, "MAX_ENTRIES", 1000)
    with pytest.raises(NmfdiagError, match="holds more than 1,000 files"):
        load_image_folder(tmp_path, "train")


def test_only_plain_files_inside_the_folder_of_runs_are_read(tmp_path: Path) -> None:
    runs, line = tmp_path / "runs", b'{"name": "x", "experiment": "", "recipe": null, "probe": {}, "provenance": {}}\n'
    for name in ("good", "out", "pipe", "device", "folder", os.fsdecode(b"a\xff")):
        (runs / name).mkdir(parents=True)
    for path in (runs / "good" / "run.jsonl", runs / os.fsdecode(b"a\xff") / "run.jsonl", tmp_path / "secret.jsonl"):
        path.write_bytes(line)
    (runs / "out" / "run.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (runs / "device" / "run.jsonl").symlink_to("/dev/zero")
    (runs / "folder" / "run.jsonl").mkdir()
    os.mkfifo(runs / "pipe" / "run.jsonl")
    (runs / "around").symlink_to(tmp_path)
    assert [path.parent.name for path in run_files(runs)] == ["good"]
    read_runs, problems = monitored_runs(runs)
    assert len(read_runs) == 1 and not problems


def test_the_cache_is_closed_to_others_and_a_folder_of_others_keeps_its_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMFDIAG_CACHE", str(tmp_path / "new" / "inner"))
    CurveCache().close()
    assert stat.S_IMODE((tmp_path / "new" / "inner").stat().st_mode) == 0o700
    assert cache_folder() == tmp_path / "new" / "inner"
    for mode, part in ((0o755, "nmfdiag"), (0o1777, "nmfdiag"), (0o770, "nmfdiag"), (0o700, "")):
        folder = tmp_path / f"{mode:o}"
        folder.mkdir()
        folder.chmod(mode)
        (folder / "notes.txt").touch()
        monkeypatch.setenv("NMFDIAG_CACHE", str(folder))
        assert cache_folder() == folder / part
        CurveCache().close()
        assert stat.S_IMODE(folder.stat().st_mode) == mode
        assert stat.S_IMODE((folder / part).stat().st_mode) == 0o700
    before = tmp_path / "before"
    CurveCache(before).close()  # as an earlier version left it
    before.chmod(0o755)
    monkeypatch.setenv("NMFDIAG_CACHE", str(before))
    assert cache_folder() == before


def test_a_strangers_folder_in_a_shared_one_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "nmfdiag").mkdir()
    monkeypatch.setenv("NMFDIAG_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    cache = CurveCache()
    assert "belongs to another user" in cache.notice and not list((tmp_path / "nmfdiag").iterdir())


@pytest.mark.parametrize("value", ["", None])
def test_a_variable_that_is_empty_counts_as_not_set(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NMFDIAG_CACHE", "NMFDIAG_ZOO", "NMFDIAG_RUNS"):
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    assert cache_folder() == ROOT / "cache" and (user_zoo(), runs_folder()) == (Path("zoo"), Path("runs"))


def test_what_the_dashboard_may_open_ends_at_its_folders(tmp_path: Path) -> None:
    root, secret = tmp_path / "data", tmp_path / "secret"
    for folder in (root / "a", secret / "a", secret / "b"):
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(png())
    (root / "linked").symlink_to(secret)
    (root / "samples.npz").symlink_to(secret / "a" / "1.png")
    assert browse.samples(root) == [] and browse.image_folders(root) == []
    for name in ("linked", "linked/a", "a/../../secret", f"{secret}", "samples.npz", "../secret"):
        with pytest.raises(NmfdiagError, match="only what that folder holds"):
            browse.path_inside(root, name)


def test_the_server_is_closed_by_default() -> None:
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    server = settings["server"]
    assert server["address"] == settings["browser"]["serverAddress"] == "127.0.0.1"
    assert (
        server["enableXsrfProtection"] is True
        and server["maxUploadSize"] <= 200
        and not server.get("enableStaticServing")
    )
    assert server["fileWatcherType"] == "none"  # else the log fills with library files
    assert set(server["allowedHosts"]) == {"127.0.0.1", "localhost", "::1"}  # not a page's own name for this address
    assert server.get("enableCORS", True) is True and settings["browser"]["gatherUsageStats"] is False
    assert settings["client"]["showErrorDetails"] in ("type", "none") and settings["client"]["showErrorLinks"] is False


def test_a_server_is_reached_from_this_machine_only_and_contacts_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = tmp_path / "asked"
    with serve(
        tmp_path, {"ASKED": str(connections)}, program=(str(ROOT / "tests" / "support" / "streamlit_audit.py"),)
    ) as (base, process):
        port = int(base.rpartition(":")[2])
        own = f"127.0.0.1:{port}"
        assert listening_addresses(process.pid) == {"0100007F"}  # 127.0.0.1
        for method, path, refused in (
            ("PUT", "/_stcore/upload_file/session/file", (400, 403)),
            ("GET", "/../../../../etc/passwd", (200, 400, 404)),
            ("GET", "/media/../../nmfdiag/cli.py", (400, 404)),
            ("GET", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd", (200, 400, 404)),
            ("GET", "/component/x/%2e%2e%2f%2e%2e%2fapp.py", (400, 404)),
            ("GET", "/app/static/..%2f..%2fapp.py", (400, 404)),
        ):
            status, headers, content = answer_of(port, method, path, {})
            assert status in refused, (path, status)
            assert b"root:" not in content and b"import " not in content[:2000]
            assert headers["X-Frame-Options"] == "SAMEORIGIN"
            assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
        _, headers, _ = answer_of(port, "GET", "/network", {})
        preloaded = headers["Link"].removeprefix("<.").partition(">")[0]
        status, headers, content = answer_of(port, "GET", preloaded, {})
        assert status == 200 and "javascript" in headers["Content-Type"] and b"plotly" in content
        assert "Link" not in headers
        for host, origin, status in (
            (own, f"http://{own}", 101),
            (own, None, 101),
            (f"localhost:{port}", f"http://localhost:{port}", 101),
            (
                f"evil.example:{port}",
                f"http://evil.example:{port}",
                403,
            ),  # a name that was given this machine's address
            (f"127.0.0.1.evil.example:{port}", None, 403),
            (own, "https://evil.example", 403),
            (own, f"http://127.0.0.1:{port + 1}", 403),
            (own, f"http://localhost:{port}", 403),
            (own, "null", 403),
        ):
            shake = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
            shake |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", **({"Origin": origin} if origin else {})}
            assert answer_of(port, "GET", "/_stcore/stream", shake)[0] == status, (host, origin)
        assert answer_of(port, "GET", "/", {"Host": "evil.example"})[0] == 403
        assert answer_of(port, "GET", "/_stcore/health", {"Host": "evil.example"})[0] == 200
    assert not connections.exists(), connections.read_text()


def answer_of(port: int, method: str, path: str, headers: dict[str, str]) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Return status, headers and content of the server's answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CEILING)
    connection.request(method, path, body=b"x" if method == "PUT" else None, headers=headers)
    answer = connection.getresponse()
    content = b"" if answer.status == 101 else answer.read()
    connection.close()
    return answer.status, answer.headers, content


def listening_addresses(pid: int) -> set[str]:
    """Return the addresses that a process listens on, as the kernel writes them."""
    sockets = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            sockets.add(os.readlink(path).removeprefix("socket:[").rstrip("]"))
    addresses = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and fields[9] in sockets:
                addresses.add(fields[1].split(":")[0])
    return addresses
