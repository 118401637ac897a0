"""The command line: parse, call, write. The workflow's rules call the same commands with the same arguments."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from modelferry import cli
from modelferry.checkpoints.trusted import trust
from modelferry.cli import benchmark, chunk, demo, embeddings, outputs, release, report, setup
from modelferry.cli import compare as comparisons
from modelferry.cli import export as exports
from modelferry.cli import models as listing
from modelferry.cli import validate as validations
from modelferry.cli.completion import complete, names_a_model
from modelferry.cli.job_log import logged
from modelferry.cli.parser import ELSEWHERE, LOG, Parser, default_log, option_names
from modelferry.config.file import config_path, read_config
from modelferry.core.errors import ConfigError, ModelferryError, did_you_mean, in_words, log_traceback
from modelferry.core.running import job, timed
from modelferry.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0, 1 if something failed, 2 for a mistake in the call."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parser = _parser(arguments)
        complete(parser)
        if not arguments:
            parser.print_help()
            return 0
        options, unknown = parser.parse_known_args(arguments)
        options.log = options.log or default_log(options.config)
        if unknown:
            raise ConfigError(
                f"unknown argument '{unknown[0]}'", did_you_mean(unknown[0], option_names(options.parser))
            )
    except ModelferryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with logged(options.log, arguments):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        trust(options.trust)
        with job(), timed(options.parser.prog.rpartition(" ")[2]):
            code = int(options.run(options))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
    except BrokenPipeError:  # as from `head`; without this, Python would write again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        log_traceback(options.log)
        print(f"error: {in_words(error, options.log)}", file=sys.stderr)
    return 1


def _parser(arguments: Sequence[str]) -> Parser:
    common, chosen = _shared()
    parser = Parser(prog="modelferry", description=cli.__doc__, allow_abbrev=False)
    parser.lists_names = True
    parser.add_argument("--version", action="version", version=f"modelferry {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    choosing: list[Parser] = []

    def add(name: str, run: cli.Command, parent: Parser) -> Parser:
        summary = (run.__doc__ or "").splitlines()[0]
        added = subparsers.add_parser(name, help=summary, description=run.__doc__, parents=[parent], allow_abbrev=False)
        added.set_defaults(run=run, parser=added)
        choosing.extend([added] if parent is chosen else [])
        return added

    _add_json(add("models", listing.models, common))
    asking = add("why", listing.why, common)
    names_a_model(asking.add_argument("id", metavar="MODEL", help="id of a model"))
    _add_json(asking)
    exporting = add("export", exports.export, chosen)
    exporting.lists_names = True
    _add_export(exporting)
    _add_validate(add("validate", validations.validate, chosen))
    _add_compare(add("compare", comparisons.compare, common))
    _add_outputs(add("outputs", outputs.outputs, common))
    diagnose = add("diagnose", validations.diagnose, common)
    names_a_model(diagnose.add_argument("id", metavar="ID", help="id of a model"))
    diagnose.add_argument("export", metavar="FORMAT", help="name of an export")
    event = add("event", validations.event, chosen)
    event.add_argument("number", type=int, help="number of the event in the model's recording")
    timing = add("benchmark", benchmark.benchmark, chosen)
    timing.add_argument("--point", action="store_true", help="single events of typical size only, for a moment")
    embed = add("embed", embeddings.embed, chosen)
    embed.add_argument("--part", metavar="NAME", help="of one file of jets only, named by its stem; writes no tables")
    embed.add_argument("--collect", action="store_true", help="write the tables from what is there, embed nothing")
    embed.add_argument("--again", action="store_true", help="also what an earlier call finished")
    add("explore", embeddings.explore, common).add_argument("campaign", metavar="CAMPAIGN", help="name of a campaign")
    add("report", report.report, common).add_argument(
        "--against", metavar="FILE", help="summary.json of another report: write nothing, and tell what differs"
    )
    _add_json(add("verdict", report.verdict, common))
    shipping = add("release", release.release, chosen)
    shipping.add_argument("--out", required=True, metavar="FOLDER", help="folder to write, which must not be there")
    shipping.add_argument("--sign", metavar="KEY", help="private key in PEM; needs modelferry[sign]")
    verifying = add("verify", release.verify, common)
    verifying.add_argument("folder", help="folder of a release")
    verifying.add_argument("--key", metavar="KEY", help="public key in PEM of who signed it; needs modelferry[sign]")
    verifying.add_argument("--files-only", action="store_true", help="run nothing")
    _add_json(add("doctor", setup.doctor, common))
    starting = add("init", setup.init, common)
    starting.add_argument("folder", help="folder to write, such as my-analysis; nothing in it is overwritten")
    starting.add_argument("--family", action="store_true", help="start a family of your own too, my_family.py")
    for name, run in (("template", exports.template), ("certify", validations.certify)):
        add(name, run, common).add_argument("key", help="ARCHITECTURE/VARIANT below results/templates")
    add("weight-sets", validations.weight_sets, common).add_argument(
        "architecture", help="name below results/templates"
    )
    add("build-cpp", setup.build_cpp, common)
    add("reference", validations.reference, chosen)
    add("gate", report.gate, common)
    one = add("chunk", chunk.chunk, common)
    one.add_argument("chunk", metavar="RUN/CHUNK", help="name of the run and of its chunk")
    one.add_argument("--cores", type=int, default=1, help="cores that it may use (default: %(default)s)")
    one.add_argument("--attempt", type=int, default=1, metavar="N", help="which try of this chunk it is")
    events = add("demo-events", demo.demo_events, common)
    events.add_argument("family", help="family whose toy events are made")
    events.add_argument("group", help="group of events, such as Run3Mu/TTToHcToWAToMuMu-MHc160_MA85")
    add("demo-train", demo.demo_train, chosen)
    add("schemas", setup.schemas, common).add_argument("folder", help="where to write the JSON schemas")
    taken = {option for command in choosing for option in option_names(command)}
    for axis in _axes(_config(common, arguments)):
        for command in choosing if f"--{axis}" not in taken else ():
            command.add_argument(f"--{axis}", dest=f"axis_{axis}", metavar="VALUE", help=f"models with this {axis}")
    return parser


def _shared() -> tuple[Parser, Parser]:
    """Return the options of all commands, and with them those that choose models.

    An axis of the config has an option of its own unless a command has one of that name: then --model chooses.
    """
    common = Parser(add_help=False)
    common.add_argument("--config", help="config file (default: config.yaml)")
    common.add_argument(
        "--trust", action="append", default=[], metavar="NAME", help="a class that checkpoints may hold, module:Class"
    )
    common.add_argument("--exit-zero", action="store_true", help="leave the exit code to the gate")
    common.add_argument(
        "--log", help=f"file for tracebacks (default: {LOG}, or ~/.local/state/{ELSEWHERE} without a config)"
    )
    chosen = Parser(add_help=False, parents=[common])
    names_a_model(
        chosen.add_argument("--model", action="append", default=[], metavar="ID", help="id of a model; may be repeated")
    )
    chosen.add_argument("--all", action="store_true", help="all models")
    chosen.add_argument("--format", action="append", default=[], metavar="NAME", help="of these exports only")
    return common, chosen


def _config(common: Parser, arguments: Sequence[str]) -> str | None:
    """Return the config that the arguments name, whatever else they are."""
    named: str | None = common.parse_known_args([word for word in arguments if word not in ("-h", "--help")])[0].config
    return named


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, for machines")


def _add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("checkpoint", nargs="?", help="path of a checkpoint, instead of models of the config")
    alone = export.add_argument_group(
        "for a checkpoint given by its path", "written to the formats of its family (`--format both`) if none is given"
    )
    alone.add_argument("--name", help="name of the network (default: the checkpoint's own, or its file's)")
    alone.add_argument("--version", help="version of the network (default: the checkpoint's own, or 1.0.0)")
    alone.add_argument("--accuracy", type=accuracy, help="its accuracy, from 0 to 1 (default: the checkpoint's own)")
    alone.add_argument("--output-dir", default=".", metavar="FOLDER", help="where files go (default: here)")
    alone.add_argument("--family", help="family of the network (default: the one that its tensors fit)")
    alone.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter, such as max_len=256"
    )
    alone.add_argument("--layout", help="input layout of the files (default: the family's first one)")
    alone.add_argument(
        "--transform",
        action="append",
        default=[],
        metavar="NAME=off",
        help="switch an exact rewrite of the network off",
    )
    alone.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the formats, such as isa=avx2"
    )
    alone.add_argument("--time-stamp", action="store_true", help="write the time of the export into the files")


def _add_validate(validate: argparse.ArgumentParser) -> None:
    validate.add_argument("artifact", nargs="*", help="paths of artifacts, instead of models")
    validate.add_argument("--runtime", help="in this runtime only")
    validate.add_argument("--rtol", type=float, help="relative tolerance instead of the config's")
    validate.add_argument("--atol", type=float, help="absolute tolerance instead of the config's")
    validate.add_argument("--events", type=int, help="number of events instead of the config's")


def _add_compare(compare: argparse.ArgumentParser) -> None:
    kinds = "a file of any format, a checkpoint, or a network as package.module:Name"
    compare.add_argument("first", metavar="A", help=kinds)
    compare.add_argument("second", metavar="B", help="another")
    compare.add_argument("--inputs", metavar="FILE", help=".npz with an array for each input, or events of the family")
    compare.add_argument("--family", help="family of a checkpoint (default: the one that its tensors fit)")
    compare.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter of the checkpoint"
    )
    compare.add_argument("--layout", help="layout of the family that a file of others takes")
    compare.add_argument(
        "--map", action="append", default=[], metavar="A=B", help="an input or output of A is called so in B"
    )
    compare.add_argument(
        "--shape", action="append", default=[], metavar="NAME=SIZES", help="sizes of an input, such as x=events,9"
    )
    compare.add_argument(
        "--range", action="append", default=[], metavar="NAME=LOW,HIGH", help="values of an input, or sizes of an axis"
    )
    compare.add_argument("--events", type=int, default=500, help="ordinary events (default: %(default)s)")
    compare.add_argument("--rtol", type=float, help="relative tolerance, which then decides alone")
    compare.add_argument("--atol", type=float, help="absolute tolerance, which then decides alone")
    _add_json(compare)


def _add_outputs(outputs: argparse.ArgumentParser) -> None:
    outputs.add_argument("checkpoint", help="path of a checkpoint")
    outputs.add_argument(
        "--inputs", required=True, metavar="FILE", help=".npz with an array for each input, or events of the family"
    )
    outputs.add_argument("--out", required=True, metavar="FILE", help=".npz to write")
    outputs.add_argument("--family", help="family of the network (default: the one that its tensors fit)")
    outputs.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter, such as max_len=256"
    )
    outputs.add_argument("--events", type=int, default=10**9, help="read at most so many (default: all)")


def accuracy(text: str) -> str:
    """Return an accuracy, if it is a share, as Python and JSON write it."""
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return repr(float(text))


def _axes(config: str | None) -> list[str]:
    """Return the axes of all campaigns, for their options; none if there is no config to read."""
    if not config_path(config).is_file():
        return []
    return read_config(config).axes


if __name__ == "__main__":
    raise SystemExit(main())
