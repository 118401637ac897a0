"""What the network of a checkpoint gives."""

from __future__ import annotations

import argparse
from pathlib import Path

from modelferry.core.errors import ContractError
from modelferry.core.files import write_arrays
from modelferry.families.hyperparameters import named_values
from modelferry.families.trained import load_checkpoint


def outputs(options: argparse.Namespace) -> int:
    """Write the outputs of a checkpoint's network, as trained, on the inputs or events of a file.

    The outputs go to an .npz, an array each, one row an event.
    """
    settings = named_values(options.set, "--set", "max_len=256")
    model = load_checkpoint(options.checkpoint, family=options.family, hyperparameters=settings)
    if not options.family:
        print(f"note: {model.path} is of family {model.family.name}, by the names and shapes of its tensors")
    if model.note:
        print(f"note: {model.note}")
    try:
        found = model.outputs(model.read(options.inputs, options.events))
    except ContractError as error:
        raise ContractError(f"{options.inputs}: {error}") from error
    out = Path(options.out)
    write_arrays(out, found)
    shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in found.items())
    print(f"{out}  {shapes}")
    return 0
