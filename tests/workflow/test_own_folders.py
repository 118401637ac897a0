"""The workflow in repositories of one's own: in a folder of `modelferry init`, and as a module of a larger one."""

from pathlib import Path

import pytest
import torch

from chunk_samples import QUICK, save_byte_cnn
from modelferry.cli.init import write_folder
from modelferry.cli.main import main
from snippets import code
from workflow_harness import END, Folder, jobs_in, of_model

(MODULE,) = code("docs/install.md", "snakemake")
CAMPAIGN = {**QUICK, "axes": {"fold": [0]}, "checkpoint": "weights/{fold}.pt"}
MODEL = "alpha/fold-0"


@pytest.fixture
def larger(tmp_path: Path) -> Folder:
    """A workflow of someone else's, which uses this one as a module, in a folder with a blank in its name."""
    folder = Folder(tmp_path / "larger workflow")
    folder.path.mkdir()
    (folder.path / "Snakefile").write_text(MODULE)
    folder.configure({"samples": ["a"], "export": {"campaigns": {"alpha": CAMPAIGN}}})
    save_byte_cnn(folder.path / "weights/0.pt", 0)
    return folder


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def refusal(folder: Folder) -> str:
    """Start a run that must be refused with one line, and return it."""
    run = folder.snakemake("-n")
    assert run.returncode != 0
    (line,) = (line for line in run.stderr.splitlines() if line.strip() and not line.startswith("Using "))
    return line


def test_folder_of_init_runs_its_demo_and_the_family_that_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Folder(tmp_path / "my analysis")
    assert main(["init", str(folder.path), "--family"]) == 0
    assert f"cd '{folder.path}' && snakemake --cores 2" in capsys.readouterr().out
    assert names(folder.path) == {
        "Snakefile", "config.yaml", ".gitignore", "my_family.py",
        "profiles/default/config.yaml", "profiles/slurm/config.yaml", "profiles/htcondor/config.yaml",
    }  # fmt: skip
    written = (folder.path / "config.yaml").read_text()
    mine = written.partition("\n  # mine:")[2].replace("\n  #   ", "\n    ")
    (folder.path / "config.yaml").write_text(f"{written}\n  mine:{mine}")
    config = folder.config
    config["campaigns"]["mine"] |= {"axes": {"fold": [0]}, "checkpoint": "fold-{fold}.pt"}
    folder.configure(config)
    network = torch.nn.Sequential(*(torch.nn.Linear(*sizes) for sizes in ((8, 8), (8, 8), (8, 2))))
    state = {f"{2 * int(name[0])}{name[1:]}": tensor for name, tensor in network.state_dict().items()}
    torch.save(state, folder.path / "fold-0.pt")
    demo = "higgs/Run3Mu/TTToHcToWAToMuMu-MHc130_MA90/fold-3"
    jobs = folder.would_run()
    assert jobs >= of_model(demo) | of_model("mine/fold-0") | {f"demo_train {demo}", "template"} | END


@pytest.mark.parametrize("file", ["config.yaml", "profiles/default/config.yaml", "Snakefile"])
def test_init_overwrites_nothing_and_writes_nothing_if_something_is_there(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("precious")
    assert main(["init", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path / file} is there already; choose another folder, or move it\n"
    assert names(tmp_path) == {file}
    assert (tmp_path / file).read_text() == "precious"


def test_init_in_a_repository_leaves_its_gitignore_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.root\n")
    assert ".gitignore" not in write_folder(str(tmp_path))
    assert (tmp_path / ".gitignore").read_text() == "*.root\n"
    assert (tmp_path / "Snakefile").is_file()


@pytest.mark.parametrize(
    "name", ["", "  ", "a\nb", "a\x1b[31mb", "{model}", "taken", "taken/below", "/proc/nothing", "x" * 300]
)
def test_name_that_is_no_good_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    assert main(["init", name]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert names(tmp_path) - {"logs/modelferry.log"} == {"taken"}


def test_module_of_a_larger_workflow_runs_beside_other_rules(larger: Folder) -> None:
    run = larger.snakemake("-n")
    assert run.returncode == 0, run.stderr[-3000:]
    jobs = {f"{job.rule} {job.model}".strip() for job in jobs_in(run.stdout + run.stderr)}
    wanted = {f"ferry_{stage} {MODEL}" for stage in ("export", "validate", "benchmark")}
    assert jobs == wanted | {"ferry_template_python", "ferry_report", "ferry_gate", "plot", "all"}


def test_mistake_in_the_config_of_a_module_is_told_where_it_stands(larger: Folder) -> None:
    config = larger.config
    config["export"]["campaigns"]["alpha"]["formts"] = config["export"]["campaigns"]["alpha"].pop("formats")
    larger.configure(config)
    text = (larger.path / "config.yaml").read_text()
    line = text[: text.index("formts")].count("\n") + 1
    assert refusal(larger).startswith(f"error: config.yaml:{line}: export.campaigns.alpha: unknown key 'formts'")


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ('    config:\n        config["export"]\n', "", "the module modelferry has no config; give it `config: "),
        ("        SNAKEFILE\n", '        SNAKEFILE\n    prefix:\n        "ferry"\n', "cannot have a `prefix:`"),
        (
            "use rule * from modelferry as ferry_*\n",
            "use rule * from modelferry as ferry_*\n\nmodule other:\n    snakefile: SNAKEFILE\n"
            '    config: {"campaigns": {}}\n\nuse rule * from other as other_*\n',
            "with two configs; put all campaigns into one",
        ),
    ],
)
def test_module_that_does_not_work_is_one_line(before: str, after: str, wanted: str, larger: Folder) -> None:
    assert before in MODULE
    (larger.path / "Snakefile").write_text(MODULE.replace(before, after))
    assert wanted in refusal(larger)
