"""Small networks and their training: what the paper pruned, and a few that the pruning literature knows.

Every network is a function that can be called without arguments, for import strings such as `secateur.zoo:lenet5`.
A recipe is a network with its data and its training; `trained` makes it, once, and keeps the weights in the cache.
"""

from secateur.zoo.lenet import lenet5, lenet_300_100
from secateur.zoo.mlp import mlp
from secateur.zoo.recipes import RECIPES, Recipe, Trained, demo_network, trained, untrained
from secateur.zoo.resnet import resnet8
from secateur.zoo.train import TrainingRecord, train

__all__ = [
    "mlp",
    "lenet_300_100",
    "lenet5",
    "resnet8",
    "train",
    "TrainingRecord",
    "RECIPES",
    "Recipe",
    "Trained",
    "trained",
    "untrained",
    "demo_network",
]
