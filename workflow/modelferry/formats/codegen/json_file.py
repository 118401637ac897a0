"""The JSON file of a byte CNN: `model_info`, `architecture`, `weights`; written here, and read as a checkpoint.

Read are also the files of pinybytecnn (https://github.com/mitchins/pinybytecnn): those without pooling, and flat ones
that have no level `weights` and batch norms that are not folded. Shapes are always those of the arrays.
"""

from __future__ import annotations

import json

from modelferry.core.contract import Contract
from modelferry.families.bytecnn.json_file import Architecture
from modelferry.formats.codegen.layer_graph import Description, architecture_name
from modelferry.formats.codegen.source_template import constant, contract_text, slot

BYTES_A_FLOAT32 = 4


def file_body(description: Description, contract: Contract) -> str:
    """Return the file's text with slots; the network must be a byte CNN."""
    text = description.text
    assert text is not None
    sizes = Architecture.model_validate(
        {
            "vocab_size": text.vocabulary,
            "embed_dim": text.width,
            "conv_filters": text.convolutions[0].outputs,
            "kernel_size": text.convolutions[0].kernel,
            "convolutions": [{"filters": layer.outputs, "kernel_size": layer.kernel} for layer in text.convolutions],
            "dense_dim": description.dense[0].outputs,
            "max_len": text.max_length,
            "pooling": text.pooling,
        }
    )
    info = {
        '"name"': slot("name"),
        '"version"': slot("version"),
        '"parameters"': str(description.parameters),
        '"accuracy"': slot("accuracy"),
        '"size_kb"': str(round(description.parameters * BYTES_A_FLOAT32 / 1024, 1)),
        '"architecture"': json.dumps(architecture_name(description)),
        '"exported"': slot("exported"),
    }
    lines = ",\n".join(f"  {key}: {value}" for key, value in info.items())
    weights = ",\n".join(f'  "{entry(name)}": {slot(name)}' for name in description.shapes)
    return (
        f'{{\n"model_info": {{\n{lines}\n}},\n"architecture": {sizes.model_dump_json()},\n'
        f'"contract": {contract_text(contract)},\n"weights": {{\n{weights}\n}}\n}}\n'
    )


def entry(name: str) -> str:
    """Return the key of a weight below `weights`."""
    return "embedding" if name == "embedding.weight" else constant(name)
