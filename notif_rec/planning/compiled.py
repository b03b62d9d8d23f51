"""How the planner's loops are compiled: `kernel` for the doors that Python opens, `inner` for what only compiled code calls.

Without a door of its own a function compiles in half the time. Compiled code is kept beside its file and made again when that
file changes, but not when a file it calls changes: delete `__pycache__` after editing one (make clean).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """`function` compiled, callable from Python."""
    compiled: F = njit(cache=True, nogil=True)(function)
    return compiled


def inner(function: F) -> F:
    """`function` compiled, callable from compiled code alone."""
    compiled: F = njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    return compiled
