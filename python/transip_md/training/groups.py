"""Groups of weights that an optimizer treats alike: by Muon or not, and at which multiple of the learning rate."""

from __future__ import annotations

from typing import Any

from torch import nn

#: Parts of the network that stand before its blocks.
BEFORE = ("species_embedding", "charge_embedding", "multiplicity_embedding", "rotary", "radial")


def is_hidden_matrix(part: nn.Module, name: str) -> bool:
    """Whether a weight is a matrix of a linear layer that turns features into features, which Muon takes."""
    return isinstance(part, nn.Linear) and name == "weight" and min(part.weight.shape) > 3


def depth(name: str, layers: int) -> int:
    """Depth of a weight: 0 before the blocks, 1 to `layers` in them, `layers` + 1 behind them.

    Args:
        name: of the weight in the network.
        layers: number of blocks.
    """
    part, _, rest = name.partition(".")
    if part == "blocks":
        return 1 + int(rest.partition(".")[0])
    return 0 if part in BEFORE else layers + 1


def parameter_groups(
    module: nn.Module, learning_rate: float, muon: bool, layer_decay: float = 1.0, network: str = "model"
) -> list[dict[str, Any]]:
    """Trained weights in groups, as torch's optimizers take them, with `muon` set for the matrices that Muon takes.

    With a decay of layers, the weights at depth d of a network of L blocks have the rate learning_rate
    layer_decay^(L + 1 - d): those behind the blocks the whole, those before them the smallest (Howard and Ruder,
    arXiv 1801.06146, discriminative fine-tuning).

    Args:
        module: what is trained.
        learning_rate: of the weights behind the blocks.
        muon: whether Muon takes the matrices of linear layers.
        layer_decay: factor from each layer to the one before it.
        network: name of the network in the module.
    """
    found = module.get_submodule(network) if layer_decay != 1.0 else None
    layers = len(found.blocks) if found is not None else 0
    groups: dict[tuple[bool, int], list[nn.Parameter]] = {}
    seen = set()
    for path, part in module.named_modules():
        for name, parameter in part.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            whole = f"{path}.{name}"
            inside = found is not None and whole.startswith(f"{network}.")
            behind = layers + 1 - depth(whole.removeprefix(f"{network}."), layers) if inside else 0
            groups.setdefault((muon and is_hidden_matrix(part, name), behind), []).append(parameter)
    # Matrices first, as in states saved before there were more than two groups.
    return [
        {"params": parameters, "muon": by_muon, "lr": learning_rate * layer_decay**behind}
        for (by_muon, behind), parameters in sorted(groups.items(), key=lambda group: (not group[0][0], group[0][1]))
    ]
