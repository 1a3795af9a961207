"""The screen as a picture: SVG of rectangles and words, each word in its cell, with nothing fetched from anywhere else."""

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.color import Color, blend_rgb
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI as THEME
from rich.text import Text

from sender.errors import ConfigError

COLUMNS, LINES = 100, 28
_CELL, _LINE, _SIZE, _EDGE = 8.4, 19.0, 14, 12.0  # pixels: a cell's width, a line's height, of the letters, around it all
_WORD = re.compile(r"\S+")
_DIM = 0.45  # how far dim words are from the background


def write(lines: Sequence[Text], file: Path) -> None:
    """Write a screen to a file; ConfigError where that can't be."""
    try:
        file.write_text(svg(lines), encoding="utf-8")
    except OSError as error:
        raise ConfigError("--picture", str(file), f"can't be written: {error.strerror}") from error


def svg(lines: Sequence[Text]) -> str:
    """The picture of these lines."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=COLUMNS)
    width, height = COLUMNS * _CELL + 2 * _EDGE, len(lines) * _LINE + 2 * _EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="penstock top">',
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{THEME.background_color.hex}"/>',
        f'<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{_SIZE}"'
        f' transform="translate({_EDGE:g} {_EDGE:g})">',
    ]
    for number, line in enumerate(lines):
        segments = Segment.apply_style(line.render(console), console.get_style(line.style))
        parts += _line(list(segments), number * _LINE)
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _line(segments: Sequence[Segment], top: float) -> Iterator[str]:
    cell = 0
    for text, style, _ in segments:
        colour, ground, bold = _colours(style or Style.null())
        if ground != THEME.background_color.hex:
            size = f'width="{cell_len(text) * _CELL:.1f}" height="{_LINE:g}"'
            yield f'<rect x="{cell * _CELL:.1f}" y="{top:g}" {size} fill="{ground}"/>'
        for word in _WORD.finditer(text):
            x, length = (cell + cell_len(text[: word.start()])) * _CELL, cell_len(word[0]) * _CELL
            place = f'x="{x:.1f}" y="{top + 0.74 * _LINE:.1f}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs"'
            yield f'<text {place} fill="{colour}"{bold}>{escape(word[0])}</text>'
        cell += cell_len(text)


def _colours(style: Style) -> tuple[str, str, str]:
    """Of the letters and of what is behind them, and whether they are bold."""
    letters = (style.color or Color.default()).get_truecolor(THEME, foreground=True)
    ground = (style.bgcolor or Color.default()).get_truecolor(THEME, foreground=False)
    if style.reverse:
        letters, ground = ground, letters
    if style.dim:
        letters = blend_rgb(letters, ground, _DIM)
    return letters.hex, ground.hex, ' font-weight="bold"' if style.bold else ""
