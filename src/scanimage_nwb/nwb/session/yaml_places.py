"""YAML with the place of every key: what a file says, and on which line it says it."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import yaml

from scanimage_nwb.errors import SessionFileError

__all__ = ["BLANK", "PlacedYaml"]

BLANK = "???"
"""What stands where only the experimenter knows what to write."""
Place = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """A loader that can be closed."""

    close = yaml.SafeLoader.dispose


class PlacedYaml:
    r"""A YAML document, and where its keys are.

    Parameters
    ----------
    text : str
        The document.
    source : Path
        Its file, named in errors.

    Raises
    ------
    SessionFileError
        If it is no YAML, no mapping, or says something twice.

    Examples
    --------
    >>> document = PlacedYaml("a:\n  b: ???\n", Path("session.yaml"))
    >>> document.blanks, document.line(("a", "b"))
    ([('a', 'b')], 2)
    """

    def __init__(self, text: str, source: Path) -> None:
        self.source = source
        try:
            with closing(_Loader(text)) as loader:
                self._root = loader.get_single_node()
                problems = [] if self._root is None else list(self._repeated(self._root, ()))
                found = {} if self._root is None else loader.construct_document(self._root)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = "" if mark is None else f", line {mark.line + 1}"
            what = getattr(error, "problem", None) or str(error)
            raise SessionFileError([f"{source}{where}: this is no YAML: {what}"]) from error
        except (ValueError, RecursionError) as error:  # such as a day that is in no calendar
            raise SessionFileError([f"{source}: a value cannot be read: {error}"]) from error
        if problems:
            raise SessionFileError(problems)
        if not isinstance(found, dict):
            raise SessionFileError([f"{source} holds {type(found).__name__}; expected keys, such as recordings"])
        self.blanks: list[Place] = []
        """Places that hold `BLANK`."""
        self.data: dict[str, Any] = self._without_empty(found, ()) or {}
        """What it says, without what was left empty or blank; a day is its first moment."""

    def line(self, place: Place) -> int:
        """Return the line, from 1, of a place, or of the nearest one around it that is written down.

        Parameters
        ----------
        place : tuple of str and int
            Keys and ranks from the top. The rank of a list that was written as its only entry counts for nothing.

        Returns
        -------
        int
        """
        node, line = self._root, 1
        for part in place:
            if isinstance(node, yaml.MappingNode):
                keys = {key.value: (key, value) for key, value in node.value}
                if str(part) in keys:
                    key, node = keys[str(part)]
                    line = key.start_mark.line + 1
                elif not isinstance(part, int):
                    return line
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
        return line

    def _repeated(self, node: yaml.Node, seen: tuple[int, ...]) -> Iterator[str]:
        """Name the keys that are there twice, of which YAML would take the last, and anchors, which hide places."""
        if id(node) in seen:
            yield f"{self.source}, line {node.start_mark.line + 1}: an anchor refers to itself; write it out"
            return
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                yield from self._repeated(item, (*seen, id(node)))
        elif isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in first and isinstance(key.value, str):
                    yield f"{self.source}, line {line}: {key.value} is there already, in line {first[key.value]}"
                elif isinstance(key.value, str):
                    first[key.value] = line
                yield from self._repeated(value, (*seen, id(node)))

    def _without_empty(self, value: Any, place: Place) -> Any:
        """Return a value without fields that are empty, or blank, which are noted."""
        if isinstance(value, dict):
            kept = {str(key): self._without_empty(item, (*place, str(key))) for key, item in value.items()}
            filled = {key: item for key, item in kept.items() if item is not None}
            return filled if filled or not value else None
        if isinstance(value, list):
            items = [self._without_empty(item, (*place, rank)) for rank, item in enumerate(value)]
            kept_items = [item for item in items if item is not None]
            return kept_items if kept_items or not items else None
        if value == BLANK:
            self.blanks.append(place)
            return None
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime.combine(value, time())
        return value
