"""A mark for the compiler (`./run compile`), which the interpreter passes over."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    # Known to the compiler by this name; a need of its own at run time would be a package more, for nothing.
    from mypy_extensions import mypyc_attr as mypyc_attr
else:
    C = TypeVar("C", bound=type)

    def mypyc_attr(**marks: Any) -> Callable[[C], C]:
        """Return a decorator that leaves a class as it is."""
        return lambda cls: cls
