"""Jobs of a run have the models that its start had, whatever files come and go."""

import json
import time
from pathlib import Path
from typing import Any

from modelferry.config import Config
from modelferry.config.file import handed_on, parse_config, read_config
from modelferry.config.seen import Seen


def start(tmp_path: Path, campaign: dict[str, Any]) -> tuple[Config, Path]:
    data = {"campaigns": {"b": {"family": "bytecnn", "formats": ["json"], **campaign}}}
    config, path = parse_config(data), tmp_path / "handed.json"
    path.write_text(handed_on(data, config))
    return config, path


def test_files_that_come_and_go_do_not_change_the_models_of_a_run(tmp_path: Path) -> None:
    for name in ("0/a.pt", "1/a.pt", "e-0.root"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "two").mkdir()
    campaign = {"axes": "found", "checkpoint": f"{tmp_path}/{{fold}}/*.pt", "embed": {"files": f"{tmp_path}/e-*.root"}}
    config, path = start(tmp_path, campaign)
    (tmp_path / "two/a.pt").touch()
    (tmp_path / "1/b.pt").touch()
    (tmp_path / "0/a.pt").unlink()
    (tmp_path / "e-1.root").touch()
    assert read_config(path).models() == config.models()
    assert len(config.models()) == 2


def test_table_and_missing_checkpoints_are_those_of_the_start(tmp_path: Path) -> None:
    table = tmp_path / "models.csv"
    table.write_text(f"name,checkpoint\na,{tmp_path}/a.pt\nb,{tmp_path}/b.pt\n")
    (tmp_path / "a.pt").touch()
    config, path = start(tmp_path, {"models": str(table)})
    table.unlink()
    (tmp_path / "b.pt").touch()
    assert [bool(model.missing) for model in read_config(path).models()] == [False, True]
    assert read_config(path).models() == config.models()


def test_every_pattern_is_handed_on_and_nothing_is_looked_up_again(tmp_path: Path) -> None:
    (tmp_path / "1.pt").touch()
    campaign = {
        "axes": {"fold": [1, 2]},
        "checkpoint": f"{tmp_path}/{{fold}}*.pt",
        "events": f"{tmp_path}/{{fold}}.root",
    }
    _, path = start(tmp_path, campaign)
    seen = Seen.model_validate(next(reversed(json.loads(path.read_text()).values())))
    assert sorted(seen.files) == sorted(f"{tmp_path}/{name}" for name in ("1*.pt", "2*.pt", "1.root", "2.root"))


def test_five_thousand_models_of_any_kind_are_read_in_two_seconds(tmp_path: Path) -> None:
    for number in range(5000):
        (tmp_path / f"{number // 100}-{number % 100}-best.pt").touch()
    pattern, rows = f"{tmp_path}/{{a}}-{{b}}-*.pt", [f"{n // 100},{n % 100}" for n in range(5000)]
    (tmp_path / "models.csv").write_text("\n".join(["a,b", *rows]))
    (tmp_path / "5000").mkdir()
    axes = {"a": list(range(50)), "b": list(range(100))}
    exclude = [{"a": a, "b": b} for a in range(50) for b in range(90)]
    for campaign in (
        {"axes": axes, "checkpoint": pattern},
        {"axes": axes, "checkpoint": f"{tmp_path}/5000/{{a}}/{{b}}/model-*.pt"},
        {"axes": axes, "checkpoint": pattern, "exclude": exclude, "overrides": [{"where": where} for where in exclude]},
        {"axes": {"a": "found", "b": list(range(100))}, "checkpoint": f"{tmp_path}/{{a}}-{{b}}-best.pt"},
        {"models": f"{tmp_path}/models.csv", "checkpoint": pattern},
    ):
        began = time.process_time()
        config, path = start(tmp_path, campaign)
        read_config(path)
        assert time.process_time() - began < 2
        assert len(config.models()) == (500 if "exclude" in campaign else 5000)
