"""The Particle Transformer as weaver trains it: for JetClass (arXiv:2202.03772) and as Sophon (arXiv:2405.12972)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from modelferry.checkpoints.shapes import Shapes
from modelferry.core.contract import Tensor
from modelferry.core.errors import ConfigError, did_you_mean
from modelferry.families.jets.base import JetFamily
from modelferry.families.transforms import FOLD_BATCH_NORM, REMOVE_DROPOUT

if TYPE_CHECKING:
    import torch

    from modelferry.families import StateDict

SETTINGS = ("card", "card_sha256")
HEAD_SCALINGS = ("transposed", "plain")
SOPHON = "JetClassII_full"
SOPHON_CLASSES = 188
OLD_SPELLING = re.compile(r"\.in_proj_(weight|bias)$")
EMPTY = (
    "a jet without any particle gets what the class token makes of itself: a finite output that means nothing; weaver "
    "up to 0.4.17 gives NaN there"
)


class ParticleTransformer(JetFamily):
    """Attention between particles, biased by what each pair of them has in common; logits and an embedding.

    All but two settings is read off the checkpoint. Those are `pair_activation` (a GELU after the last layer of the
    pair embedding: true for JetClass, false for Sophon), which must be given, and `head_scaling`: ``transposed`` for
    weaver before 0.5, with which all public checkpoints were trained, ``plain`` after.
    """

    name = "particle_transformer"
    inputs = ("pf_features", "pf_vectors", "pf_mask")
    unperturbed = ("part_px", "part_py", "part_pz", "part_energy")  # what cancels in their last places is defined so
    cards = {7: "JetClass_kin", 13: "JetClass_kinpid", 17: "JetClass_full"}
    hyperparameters = {
        "features": 17,
        "classes": 10,
        "embed": [128, 512, 128],
        "pair_embed": [64, 64, 64],
        "heads": 8,
        "layers": 8,
        "class_layers": 2,
        "hidden": 512,
        "dense": [],
        "head_scaling": HEAD_SCALINGS[0],
        "pair_activation": True,
        "card": "",
        "card_sha256": "",
    }

    def infer(self, shapes: Shapes) -> dict[str, Any]:
        """Read everything but the two settings and the card off the shapes."""
        shapes = {OLD_SPELLING.sub(r".in_proj.\1", name): shape for name, shape in shapes.items()}
        needed = ("cls_token", "embed.input_bn.weight", "blocks.0.c_attn", "blocks.0.fc1.weight")
        if any(name not in shapes for name in needed):
            return {}

        def outputs(pattern: str) -> list[int]:
            matches = ((re.fullmatch(pattern, name), shape) for name, shape in shapes.items())
            return [size for _, size in sorted((int(m[1]), shape[0]) for m, shape in matches if m and len(shape) > 1)]

        *pair_embed, heads = outputs(r"pair_embed\.embed\.(\d+)\.weight")
        *dense, classes = outputs(r"fc\.(\d+)(?:\.0)?\.weight")
        return {
            "features": shapes["embed.input_bn.weight"][0],
            "classes": classes,
            "embed": outputs(r"embed\.embed\.(\d+)\.weight"),
            "pair_embed": pair_embed,
            "heads": heads,
            "layers": len(outputs(r"blocks\.(\d+)\.fc1\.weight")),
            "class_layers": len(outputs(r"cls_blocks\.(\d+)\.fc1\.weight")),
            "hidden": shapes["blocks.0.fc1.weight"][0],
            "dense": dense,
        }

    def own_names(self, state_dict: StateDict, source: str) -> StateDict:
        """Spell packed projections as weaver does since June 2024."""
        return {OLD_SPELLING.sub(r".in_proj.\1", name): tensor for name, tensor in state_dict.items()}

    def resolve(self, given: Mapping[str, Any], inferred: Mapping[str, Any]) -> dict[str, Any]:
        """Return all hyperparameters; raise `ConfigError` if what no checkpoint tells is not given, or is unknown."""
        if "pair_activation" not in given:
            why = "true for JetClass, false for Sophon: no checkpoint tells, and the other one is another function"
            raise ConfigError(f"family {self.name} needs the hyperparameter pair_activation", why)
        scaling = given.get("head_scaling", HEAD_SCALINGS[0])
        if scaling not in HEAD_SCALINGS:
            raise ConfigError(f"head_scaling cannot be '{scaling}'", did_you_mean(str(scaling), HEAD_SCALINGS))
        classes = {**self.hyperparameters, **inferred, **given}["classes"]
        return super().resolve({"card": SOPHON, **given} if classes == SOPHON_CLASSES else given, inferred)

    def own_outputs(self, hyperparameters: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """Return logits, and the class token from which they are made."""
        width = hyperparameters["embed"][-1]
        what = "representation of the jet before the head"
        embedding = Tensor(name="embedding", dtype="float32", shape=("jets", width), description=what)
        return (*super().own_outputs(hyperparameters), embedding)

    def notes(self, hyperparameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the settings that no checkpoint tells."""
        activation = "followed" if hyperparameters["pair_activation"] else "not followed"
        return (
            f"heads are scaled in the {hyperparameters['head_scaling']} form, and the pair embedding is {activation} "
            "by an activation: the checkpoint does not tell, the config does",
            EMPTY,
        )

    def reference(self, hyperparameters: Mapping[str, Any]) -> torch.nn.Module:
        """Return the network of weaver; pair features are float32 arithmetic also where all else is float64."""
        from modelferry.families.particle_transformer.reference import ParticleTransformer

        return ParticleTransformer(**_arguments(hyperparameters))

    def transforms(self, layout: str) -> tuple[str, ...]:
        """Return folding of batch norms of the pair embedding, and removal of dropout."""
        return (FOLD_BATCH_NORM, REMOVE_DROPOUT)

    def network(self, hyperparameters: Mapping[str, Any], transforms: frozenset[str]) -> torch.nn.Module:
        """Return the pure-torch network."""
        from modelferry.families.particle_transformer.deployable import ParticleTransformer

        return ParticleTransformer(**_arguments(hyperparameters), transforms=transforms)

    def network_weights(self, state_dict: StateDict, transforms: frozenset[str]) -> StateDict:
        """Return the checkpoint's weights, or those of the rewritten network computed from them."""
        from modelferry.families.particle_transformer.deployable import converted

        return converted(state_dict, transforms)

    def broken_networks(self) -> dict[str, Callable[[torch.nn.Module], torch.nn.Module]]:
        """Return mistakes that ports of this network make; what each costs on real jets is known (docs/jets.md)."""
        from modelferry.families.particle_transformer import mistakes as broken

        return {
            "heads scaled in the other form": broken.other_head_scaling,
            "activation of the pair embedding forgotten, or added": broken.other_pair_activation,
            "pair features without effect": broken.no_pairs,
            "class token normalised as a query": broken.normalised_query,
        }


def _arguments(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hyperparameters.items() if name not in SETTINGS}


FAMILY = ParticleTransformer()
