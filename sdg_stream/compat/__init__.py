"""Upstream's functions by their names and arguments, for code that was written against them.

They are an entry point as the command line is: they block, run an event loop of their own, and read the XDG
variables for the data directories. Whatever a person can put right is a ``GenerateException``.
"""

from ..errors import GenerateException
from .leaves import generate_taxonomy, generate_taxonomy_eval
from .rows import mix_datasets, postprocess_taxonomy, preprocess_taxonomy
from .whole import generate_data

__all__ = [
    "GenerateException",
    "generate_data",
    "generate_taxonomy",
    "generate_taxonomy_eval",
    "mix_datasets",
    "postprocess_taxonomy",
    "preprocess_taxonomy",
]
