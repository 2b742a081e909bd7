"""Classes that pynwb makes from the specification, and how ours change their constructors."""

from typing import Any

from hdmf.utils import get_docval
from pynwb import get_class

__all__ = ["check_unit", "generated", "is_read", "with_defaults"]


def generated(name: str) -> Any:
    """Return the class that pynwb makes of a type of the specification."""
    return get_class(name, "ndx-flim")


def with_defaults(kind: Any, **defaults: Any) -> list[dict[str, Any]]:
    """Return the arguments of a class for `docval`, some of them with a default.

    Parameters
    ----------
    kind : type
        A generated class.
    **defaults
        Argument to default, such as the only unit that the specification allows.

    Returns
    -------
    list of dict
    """
    arguments = [argument for argument in get_docval(kind.__init__) if argument["name"] != "skip_post_init"]
    return [
        {**argument, "default": defaults[argument["name"]]} if argument["name"] in defaults else argument
        for argument in arguments
    ]


def is_read(container: Any) -> bool:
    """Tell whether an object is made of what a file holds: then nothing is refused, so that others' files open."""
    return bool(getattr(container, "_in_construct_mode", False))


def check_unit(container: Any, fields: dict[str, Any], unit: str) -> None:
    """Refuse another unit than the one that the specification allows.

    Raises
    ------
    ValueError
        Names both.
    """
    if fields["unit"] != unit and not is_read(container):
        raise ValueError(f"{fields['name']}: unit is {fields['unit']!r}; expected {unit!r}, and data converted to it")
