"""Jobs of a run are forked from its server, and end, answer and die as if they were processes of their own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelferry.core import job_server
from modelferry.launcher import SERVERS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the server needs Linux")

COMMANDS = '''
import atexit, multiprocessing, os, pathlib, signal, subprocess, sys, time, types

def say(*words):
    print(*words, flush=True)

def work(path):
    """Tell who works, and do so until somebody writes `path`."""
    pathlib.Path(f"{path}.pids").open("a").write(f"{os.getpid()} {os.getppid()}\\n")
    while not pathlib.Path(path).exists():
        time.sleep(0.01)

def end(code):
    print("on standard output")
    print("on standard error", file=sys.stderr)
    return int(code)

def facts():
    umask = os.umask(0)
    say(os.getcwd(), sys.argv[2:], os.environ["GIVEN"], oct(umask), sys.stdin.read(), os.getpid() == os.getsid(0))

def children(path):
    subprocess.Popen(["sleep", "20"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    work(path)

def stubborn(path):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    work(path)

def asked(path):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
    work(path)

def pools():
    for method in ("spawn", "forkserver", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            say(method, pool.apply(abs, (-3,)))

def leave():
    atexit.register(say, "at exit")

def main():
    name, *rest = sys.argv[1:]
    made = {
        "end": end, "facts": lambda *_: facts(), "work": work, "children": children, "stubborn": stubborn,
        "asked": asked, "pools": pools, "leave": leave, "server": lambda: say(os.getppid()),
        "report": lambda: say(os.getppid()),
        "die": lambda number: os.kill(os.getpid(), int(number)), "exit": lambda: sys.exit("said so"),
    }
    return made[name](*rest) or 0

def preload():
    if os.path.exists("preload.py"):
        import runpy
        runpy.run_path("preload.py")

for name, function in {"main": main, "preload": preload}.items():
    module = sys.modules[f"modelferry.cli.{name}"] = types.ModuleType(f"modelferry.cli.{name}")
    setattr(module, name, function)
'''


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    return not job_server.start_time(str(pid))


@dataclass
class Run:
    """Stands for a Snakemake process, with commands that do next to nothing."""

    path: Path
    snakemake: subprocess.Popen[bytes]
    started: str
    sockets: Path
    clients: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        pid = str(self.snakemake.pid)
        run = ":".join([pid, self.started, os.uname().nodename, str(self.sockets)])
        path = f"{self.path / 'site'}:{os.environ.get('PYTHONPATH', '')}"
        return {**os.environ, job_server.VARIABLE: run, "PYTHONPATH": path, "GIVEN": "a ' b"}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        client = subprocess.Popen(
            [sys.executable, "-c", "from modelferry.launcher import main; raise SystemExit(main())", *arguments],
            cwd=self.path,
            env=self.environment | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.clients.append(client)
        return client

    def call(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        client = self.start(*arguments, **environment)
        out, err = client.communicate("typed", timeout=60)
        return client.returncode, out, err

    def server(self, **environment: str) -> int:
        """Return the process that jobs are forked from: that of the client's parent if there is no server."""
        return int(self.call("server", **environment)[1])

    def working(self, *arguments: str) -> tuple[subprocess.Popen[str], int, int]:
        """Start a job that works until the file ``done`` is written; return client, job and server."""
        client = self.start(*arguments, "done")
        pids = self.path / "done.pids"
        until(lambda: pids.exists() and pids.read_text().endswith("\n"))
        job, server = map(int, pids.read_text().split())
        return client, job, server

    def finish(self) -> None:
        (self.path / "done").touch()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    folder = tmp_path / "it's a folder"
    (folder / "site").mkdir(parents=True)
    (folder / "site/sitecustomize.py").write_text(COMMANDS)
    with subprocess.Popen(["sleep", "600"]) as snakemake:
        sockets = Path(f"/tmp/{job_server.PREFIX}test-{os.getpid()}-{time.monotonic_ns()}")
        made = Run(folder, snakemake, job_server.start_time(str(snakemake.pid)), sockets)
        yield made
        made.finish()
        snakemake.kill()
        for client in made.clients:
            client.communicate(timeout=60)
    shutil.rmtree(sockets, ignore_errors=True)


@pytest.mark.parametrize("code", [0, 1, 2, 77])
def test_exit_code_and_both_streams_pass_through(run: Run, code: int) -> None:
    for _ in range(2):
        assert run.call("end", str(code)) == (code, "on standard output\n", "on standard error\n")
    assert run.call("exit") == (1, "", "said so\n")
    assert run.server() != os.getpid()


def test_a_job_has_folder_arguments_environment_umask_and_input_of_its_client(run: Run) -> None:
    before = os.umask(0o027)
    try:
        given = ["$(touch PWNED)", "", "ü\n", "\udcff"]
        code, out, err = run.call("facts", *given)
    finally:
        os.umask(before)
    assert (code, err) == (0, "")
    assert out == f"{run.path} {given} a ' b 0o27 typed True\n"
    assert not (run.path / "PWNED").exists()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_call_with_a_closed_stream_runs_by_itself(run: Run, closed: str) -> None:
    call = f"{sys.executable} -c 'from modelferry.launcher import main; raise SystemExit(main())' end 4 {closed}"
    done = subprocess.run(["bash", "-c", call], env=run.environment, cwd=run.path, capture_output=True, check=False)
    assert (done.returncode, run.sockets.exists()) == (4, False)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP])
def test_client_dies_of_the_signal_that_its_job_died_of(run: Run, number: signal.Signals) -> None:
    assert run.call("die", str(int(number)))[0] == -number
    assert run.server() != os.getpid()


def test_a_report_is_made_in_a_server_that_is_there_and_starts_none(run: Run) -> None:
    assert int(run.call("report")[1]) == os.getpid()
    assert not run.sockets.exists()
    server = run.server()
    assert int(run.call("report")[1]) == server != os.getpid()


def test_what_is_left_for_the_end_of_a_process_is_done(run: Run) -> None:
    assert run.call("leave") == (0, "at exit\n", "")


def test_jobs_may_start_processes_of_multiprocessing(run: Run) -> None:
    assert run.call("pools") == (0, "spawn 3\nforkserver 3\nfork 3\n", "")
    assert run.server() != os.getpid()


@pytest.mark.parametrize("command", ["work", "children", "stubborn"])
def test_job_ends_with_all_that_it_started_when_its_client_is_killed(run: Run, command: str) -> None:
    client, job, server = run.working(command)
    assert server != client.pid
    client.kill()
    until(lambda: gone(job))
    until(lambda: not in_group(job))
    assert run.server() == server


def in_group(leader: int) -> list[str]:
    """Return the processes of a group that have not ended."""
    stats = (path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat") if path.exists())
    return [facts[2] for facts in stats if facts[2] == str(leader) and facts[0] not in "ZX"]


def test_signals_reach_the_job(run: Run) -> None:
    client, job, _ = run.working("asked")
    client.send_signal(signal.SIGTERM)
    assert client.wait(60) == 5
    assert gone(job)


def test_two_first_clients_start_one_server(run: Run) -> None:
    clients = [run.start("server") for _ in range(8)]
    servers = {client.communicate("", timeout=60)[0] for client in clients}
    assert len(servers) == 1
    assert len(list(run.sockets.iterdir())) == 1


def test_a_call_in_other_surroundings_gets_another_server_and_few_of_them_are_started(run: Run) -> None:
    first = run.server()
    assert run.server(OMP_NUM_THREADS="7") not in (first, os.getpid())
    assert run.server(SHLVL="7") == first
    servers = [run.server(LD_SOMETHING=str(number)) for number in range(SERVERS)]
    assert len({*servers}) == SERVERS - 2 + 1
    assert servers[-1] == os.getpid()
    assert run.server() == first


def test_server_ends_with_snakemake_once_its_jobs_have_ended(run: Run) -> None:
    client, job, server = run.working("work")
    run.snakemake.kill()
    until(lambda: not run.sockets.exists())
    assert run.server() == os.getpid()
    assert not gone(job)
    assert not gone(server)
    run.finish()
    assert client.wait(60) == 0
    until(lambda: gone(server))


def test_idle_server_ends_with_snakemake_and_leaves_nothing(run: Run) -> None:
    server = run.server()
    run.snakemake.kill()
    until(lambda: gone(server))
    assert not run.sockets.exists()


def test_call_is_done_again_where_its_server_is_killed(run: Run) -> None:
    client, job, server = run.working("children")
    os.kill(server, signal.SIGKILL)
    until(lambda: len((run.path / "done.pids").read_text().splitlines()) == 2)
    again = (run.path / "done.pids").read_text().splitlines()[1]
    assert again == f"{client.pid} {os.getpid()}"
    assert gone(job)
    assert not in_group(job)
    run.finish()
    assert client.wait(60) == 0
    assert run.server() == os.getpid(), "none is started in its place"


def test_jobs_run_by_themselves_where_the_server_does_not_start(run: Run) -> None:
    (run.path / "preload.py").write_text("raise SystemExit('no')")
    assert run.call("end", "3")[0] == 3
    assert run.server() == os.getpid()


def test_jobs_run_by_themselves_where_an_import_has_started_threads(run: Run) -> None:
    (run.path / "preload.py").write_text("import threading as t, time\nt.Thread(target=time.sleep, args=[9]).start()")
    assert run.server() == os.getpid()


def test_jobs_run_by_themselves_once_the_code_of_the_run_has_changed(run: Run) -> None:
    (run.path / "mine.py").write_text("")
    (run.path / "preload.py").write_text("import sys, os; sys.path.insert(0, os.getcwd()); import mine")
    assert run.server() != os.getpid()
    (run.path / "mine.py").write_text("x = 1")
    assert run.server() == os.getpid()


def test_jobs_run_by_themselves_where_there_is_no_place_for_a_server(run: Run, tmp_path: Path) -> None:
    opened, long, linked = tmp_path / "opened", tmp_path / ("x" * 100), tmp_path / "linked"
    opened.mkdir()
    opened.chmod(0o755)
    linked.symlink_to(opened)
    for sockets in (opened, long, linked, tmp_path / "missing/folder"):
        run.sockets = sockets
        assert run.server() == os.getpid()
    named = run.environment[job_server.VARIABLE]
    for value in ("0", "", "nonsense", named.replace(f":{run.started}:", "::"), named.replace(run.started, "1")):
        assert run.server(**{job_server.VARIABLE: value}) == os.getpid()


def test_another_user_gets_no_answer(run: Run) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    server = run.server()
    run.sockets.chmod(0o755)
    (path,) = run.sockets.iterdir()
    path.chmod(0o777)
    stranger = os.fork()
    if stranger == 0:
        code = 1
        try:
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as link:
                link.connect(str(path))
                code = 0 if not job_server.is_mine(link) and link.recv(1) == b"" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(stranger, 0)[1]) == 0
    run.sockets.chmod(0o700)
    assert run.server() == server


def test_a_job_that_does_not_arrive_whole_stops_no_other(run: Run) -> None:
    server = run.server()
    (path,) = run.sockets.iterdir()
    for sent in (b"", b"\0", b"\0\0\0\5{", b"\0\0\0\2{}"):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            link.sendall(sent)
    assert run.server() == server


def test_what_killed_servers_left_is_removed_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pid, started = str(os.getpid()), job_server.start_time(str(os.getpid()))
    kept = {f"{job_server.PREFIX}{pid}-{started}-ab", f"{job_server.PREFIX}what", "other"}
    for name in (*kept, f"{job_server.PREFIX}{pid}-1-ab", f"{job_server.PREFIX}999999999-{started}-ab"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.socket").touch()
    job_server.remove_leftovers()
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_the_server_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(job_server.VARIABLE, "0")
    assert job_server.announced() == {}
    monkeypatch.delenv(job_server.VARIABLE)
    monkeypatch.setenv(job_server.VARIABLE, job_server.announced()[job_server.VARIABLE])
    assert (run := job_server.named_run())
    assert run.pid == str(os.getpid())
    assert not Path(run.folder).exists()
