"""The command ``modelferry``: hands its call to the job server of the run that it belongs to, or does it itself.

A Snakemake run starts hundreds of jobs, and each would import torch and parse the config again. So a run names itself
in the environment of its jobs (`plan.start`), the first job starts a server (`cli.server`) that imports once what jobs
need, and each job is a process forked from it. It has the streams, folder, environment and arguments of the client
that asks for it, and the client ends as it ends: with its exit code, or by its signal. Signals reach the job, and it
is stopped when the client is gone.

The server is an optimisation. Without a run, or if the server does not answer, has other surroundings than the call
(`core.job_server.surroundings`), or ends in the middle of it, the call is done in this process, as without a server.
``MODELFERRY_SERVER=0`` in the environment of Snakemake switches it off; it needs Linux.

Nothing is imported here before it is needed.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time
from contextlib import suppress

from modelferry.core import job_server
from modelferry.core.job_server import Run

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SERVERS = 3
"""Servers of a run at most: one for each kind of surroundings, such as the number of threads of a rule."""
ALONE = ("gate", "report")
"""Commands without torch: they end sooner than a server has started, so they start none."""
PATIENCE = 10.0
"""Seconds that a job gets to end when its server has been killed."""


def main() -> int:
    """Run one command; return the exit code as `cli.main.main` does."""
    run = job_server.named_run()
    if run is not None and None not in (sys.stdin, sys.stdout, sys.stderr):  # a closed one cannot be handed over
        code = _served(run)
        if code is not None:
            return code
    from modelferry.cli.main import main as run_here

    return run_here()


def _served(run: Run) -> int | None:
    """Have the server do the call; return the exit code, or None if the call is still to be done."""
    try:
        with _connected(run) as link:
            _hand_over(link)
            answer = _followed(link)
    except OSError:
        return None
    last = answer[-1] if answer else []
    if last[:1] == ["exit"]:
        return int(last[1])
    if last[:1] == ["signal"]:
        if last[1] != str(int(signal.SIGKILL)):  # which nobody can handle
            signal.signal(int(last[1]), signal.SIG_DFL)
        os.kill(os.getpid(), int(last[1]))
        return 128 + int(last[1])
    return None


def _hand_over(link: socket.socket) -> None:
    folder = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        umask = os.umask(0o077)
        os.umask(umask)
        job = {
            "surroundings": job_server.surroundings(),
            "arguments": sys.argv,
            "environment": dict(os.environ),
            "path": sys.path,
            "umask": umask,
        }
        job_server.send(link, job, [0, 1, 2, folder])
    finally:
        os.close(folder)


def _followed(link: socket.socket) -> list[list[str]]:
    """Pass signals on until the server closes the connection; return the lines of its answer, by words."""
    got: list[int] = []

    def forward(number: int, _frame: object) -> None:
        got.append(number)
        with suppress(OSError):  # the server is gone, and the answer may be there
            link.send(bytes([number]))

    before = {number: signal.getsignal(number) for number in FORWARDED}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, forward)
    said = b""
    try:
        while part := link.recv(4096):
            said += part
    except OSError:  # the server was killed
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    answer = [line.split() for line in said.decode().splitlines()]
    if answer and answer[-1][0] == "pid":  # the server was killed
        _end_group(int(answer[-1][1]))
    if got and not (answer and answer[-1][0] in ("exit", "signal")):  # nobody has done what it asks for
        os.kill(os.getpid(), got[-1])
    return answer


def _connected(run: Run) -> socket.socket:
    """Return a connection to the server, which is started if there is none; raise `OSError` if that does not work."""
    path = job_server.socket_path(run, job_server.surroundings())
    link = socket.socket(socket.AF_UNIX)
    try:
        try:
            link.connect(path)
        except FileNotFoundError:
            if sys.argv[1:2] and sys.argv[1] in ALONE:
                raise
            _start(run, path)
            link.connect(path)
        if not job_server.is_mine(link):
            raise PermissionError(f"{path} is another user's")
    except BaseException:
        link.close()
        raise
    return link


def _start(run: Run, path: str) -> None:
    """Start the server, unless another client does so at this moment; raise `OSError` where there can be none.

    The socket listens before the server runs, so clients queue while it imports. A server that has ended leaves its
    socket behind, which refuses: none is started in its place.
    """
    import subprocess
    from pathlib import Path

    folder, made = Path(run.folder), Path(run.folder, str(os.getpid()))
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's alone")
    if len(list(folder.glob("*.socket"))) >= SERVERS:
        raise OSError(f"{folder} has {SERVERS} servers")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made))
        try:
            listener.listen(512)
            os.link(made, path)
        except FileExistsError:  # another client was first
            return
        finally:
            made.unlink()
        subprocess.Popen(
            [sys.executable, "-P", "-m", "modelferry.cli.server", str(listener.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )


def _end_group(leader: int) -> None:
    """Kill a job without a server, and wait until it is gone: it must not write while the call is done again."""
    end = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < end and job_server.start_time(str(leader)):
            os.killpg(leader, signal.SIGKILL)
            time.sleep(0.01)
    except ProcessLookupError:
        pass
