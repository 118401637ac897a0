"""How checkpoints of my analysis become networks: eight event variables, two classes.

`config.yaml` names it `family: my_family:MyTagger`. Snakemake imports this file at every start: import torch inside.
"""

import numpy as np

from modelferry import Contract, Dimension, Family, Tensor

VARIABLES = ("mll", "pt1", "pt2", "met", "njets", "nbjets", "ht", "dphi")


class MyTagger(Family):
    """Three linear layers."""

    name = "my_tagger"
    layouts = ("table",)  # forms of the inputs: one, for most networks
    reference_layout = "table"  # the one that the network was trained with
    hyperparameters = {"width": 32}  # defaults of what `infer` does not tell; the config may set them

    def infer(self, shapes):
        """Read hyperparameters off the shapes of a checkpoint's tensors."""
        return {"width": shapes["0.weight"][0]} if "0.weight" in shapes else {}

    def contract(self, hyperparameters, layout):
        """Say what goes in and what comes out, and in which ranges sizes vary."""
        return Contract(
            layout=layout,
            inputs=(Tensor(name="x", dtype="float32", shape=("events", len(VARIABLES)), features=VARIABLES),),
            outputs=(Tensor(name="logits", dtype="float32", shape=("events", 2)),),
            dimensions=(Dimension(name="events", minimum=1, typical=16, maximum=4096),),
            classes=("background", "signal"),
        )

    def reference(self, hyperparameters):
        """Return the network as it was trained."""
        from torch import nn

        width = hyperparameters["width"]
        return nn.Sequential(
            nn.Linear(len(VARIABLES), width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
        )

    def deployable(self, hyperparameters, layout):
        """Return the network to export: the same, unless it needs PyTorch Geometric or the like."""
        return self.reference(hyperparameters)

    def sample(self, dims, seed):
        """Return synthetic events to validate with; they should look like yours."""
        rows = np.random.default_rng(seed).normal(size=(dims["events"], len(VARIABLES)))
        return [{"x": row.astype(np.float32)} for row in rows]

    def collate(self, events, layout):
        """Put events into one batch."""
        return {"x": np.stack([event["x"] for event in events])}
