"""The worker and the C++ program of docs/edge.md, run as they are printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modelferry.cli.main import main
from modelferry.families import load_family
from snippets import code

DOCUMENT = (Path(__file__).parents[2] / "docs/edge.md").read_text()
TEXTS = ["", "some text", "é" * 300, "a\0b"]
SHAPE_OF_CLOUDFLARE = """
class Response:
    def __init__(self, body, status=200):
        self.body, self.status = body, status


class WorkerEntrypoint:
    pass
"""
DRIVER = """
import asyncio, builtins, json, sys
sys.path.insert(0, sys.argv[1])
from worker import Default

class Request:
    def __init__(self, text):
        self.body = text
    async def text(self):
        return self.body

def refuse(event, arguments):
    if event in ("open", "os.listdir", "subprocess.Popen", "socket.connect", "import"):
        raise PermissionError(f"{event} {arguments}")

async def answers(texts):
    return [await Default().fetch(Request(text)) for text in texts]

texts, loop = json.loads(sys.argv[2]), asyncio.new_event_loop()
sys.addaudithook(refuse)  # from here on: no file, no import, no connection
found = loop.run_until_complete(answers(texts))
print(json.dumps([[response.status, json.loads(response.body)] for response in found]))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """A folder with the documented exports of a network, and its scores of `TEXTS`."""
    folder = tmp_path_factory.mktemp("edge")
    family = load_family("bytecnn")
    torch.manual_seed(12)
    network = family.reference(family.hyperparameters)
    with torch.no_grad():
        network.output.bias.zero_()
        network.output.weight.mul_(20)
    torch.save(network.state_dict(), folder / "toxicity.pth")
    for formats in (["both"], ["cpp"]):
        assert main(["export", str(folder / "toxicity.pth"), "--format", *formats, "--output-dir", str(folder)]) == 0
    texts = [torch.tensor([list(text.encode())], dtype=torch.uint8) for text in TEXTS]
    with torch.inference_mode():
        return folder, [float(network.double().eval()(text)) for text in texts]


def test_worker_answers_with_the_networks_scores_and_opens_no_file(exported: tuple[Path, list[float]]) -> None:
    import json

    folder, expected = exported
    (worker,) = code("docs/edge.md", "python")
    (folder / "worker.py").write_text(worker)
    (folder / "workers.py").write_text(SHAPE_OF_CLOUDFLARE)
    (folder / "driver.py").write_text(DRIVER)
    command = [sys.executable, "-I", "-S", "-B", folder / "driver.py", folder, json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [body["score"] for _, body in answers] == pytest.approx(expected, abs=1e-12)
    assert [status for status, _ in answers] == [403 if score > 0.5 else 200 for score in expected]
    assert {body["model"] for _, body in answers} == {"toxicity"}


def test_program_prints_the_networks_scores(exported: tuple[Path, list[float]]) -> None:
    folder, expected = exported
    (program,) = code("docs/edge.md", "cpp")
    (folder / "main.cpp").write_text(program)
    command = ["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", folder / "main.cpp", "-o", folder / "main"]
    subprocess.run(command, check=True)
    lines = "".join(f"{text}\n" for text in TEXTS).encode()
    printed = subprocess.run([folder / "main"], input=lines, capture_output=True, check=True).stdout.split()
    assert [float(score) for score in printed] == pytest.approx(expected, abs=1e-5)


def test_sizes_in_the_table_are_those_of_the_files(exported: tuple[Path, list[float]]) -> None:
    folder, _ = exported
    for name, file in (("json", "toxicity.json"), ("python", "toxicity_weights.py"), ("cpp", "toxicity.hpp")):
        said = re.search(rf"\| `{name}` \| (\d+) kB", DOCUMENT)
        assert said
        assert int(said[1]) * 1e3 == pytest.approx((folder / file).stat().st_size, rel=0.06)
