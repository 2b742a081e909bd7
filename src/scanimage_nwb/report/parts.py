"""What a page is made of: sections with words, pictures and tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Group", "Picture", "Section", "Table"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that lies in the page itself."""

    source: str
    """Data URI."""
    alt: str
    """What it shows, for who cannot see it."""
    caption: str = ""
    """Text below."""
    bar_percent: float | None = None
    """Length of the scale bar, in percent of the picture's width."""
    bar_label: str = ""
    """Length of the scale bar in words."""
    is_crisp: bool = False
    """Shown pixel by pixel when it is enlarged."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text."""

    rows: Sequence[tuple[str, ...]]
    """Cells of each row."""
    head: tuple[str, ...] = ()
    """Titles of the columns; without them the first column is a title."""
    caption: str = ""
    """Shown above; tables that are `folded` show nothing else until they are opened."""
    folded: bool = False


@dataclass(slots=True)
class Group:
    """Part of a section: words first, then pictures, then tables."""

    title: str = ""
    notes: list[str] = field(default_factory=list)
    """Paragraphs."""
    warnings: list[str] = field(default_factory=list)
    """Paragraphs that deserve a look."""
    pixels: list[Picture] = field(default_factory=list)
    """Pictures shown pixel by pixel, several in a row."""
    plots: list[Picture] = field(default_factory=list)
    """Drawings with axes."""
    tables: list[Table] = field(default_factory=list)


@dataclass(slots=True)
class Section:
    """A chapter of the page."""

    key: str
    """Anchor in the page."""
    title: str
    groups: list[Group] = field(default_factory=list)
