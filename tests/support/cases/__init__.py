"""Inputs that are legal or hostile in ways that are easily judged wrong, by kind, and what is right for each.

    PYTHONPATH=functions:tests:. python -m support.cases OUTDIR [NAME…]

makes them. All conform to the spec but for what they test, which their docstrings name. They are made
of ``parts``, with ``mp4_file``, ``bitstream`` and ``joining``.
"""

from support.cases import (  # noqa: F401  they fill the table
    colours,
    descriptions,
    edits,
    floods,
    frames,
    sequences,
    sizes,
    sound,
    span,
    timing,
)
from support.cases.table import CASES, Case, Right, Tone

__all__ = ["CASES", "Case", "Right", "Tone"]
