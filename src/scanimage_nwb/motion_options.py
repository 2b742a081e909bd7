"""Options of the commands that find motion: `register`, and `convert` with --register."""

import functools
from collections.abc import Callable
from typing import Any

import click

__all__ = ["motion_options"]

_SMOOTHNESS_HELP = (
    "Spread of the motion's step from volume to volume, in pixels: 0.2 for very dim data that hardly move, inf for "
    "frames that know nothing of each other. Default: learned."
)
_SHARE_HELP = "Whether the planes of a volume move together, or each on its own. Default: learned."


def motion_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --smoothness and --share-planes; it gets those that were used, by name, as `motion`."""

    @functools.wraps(function)
    def with_motion(*arguments: Any, smoothness: float | None, share_planes: bool | None, **options: Any) -> Any:
        given = {"smoothness": smoothness, "share_planes": share_planes}
        motion = {name: value for name, value in given.items() if value is not None}
        return function(*arguments, motion=motion, **options)

    share = click.option("--share-planes/--own-planes", default=None, help=_SHARE_HELP)
    return click.option("--smoothness", type=float, help=_SMOOTHNESS_HELP)(share(with_motion))
