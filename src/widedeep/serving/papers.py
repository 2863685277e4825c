"""The model card and the report that stage report wrote, for the page of the server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

from widedeep.reading import read_mapping
from widedeep.serving.export import CONTENTS

CARD: Final = "README.md"  # the model card of an export
REPORT: Final = "report.html"


@dataclass(frozen=True)
class Papers:
    """The model card and the report of a model.

    card : Markdown
    report : a whole page
    version : of the model that they are about
    """

    card: Path
    report: Path
    version: str


def papers_of_export(folder: Path) -> Papers | None:
    """Return the papers of an export. There are none in the folder that stage train wrote.

    Raises
    ------
    UserError
        The list of the files of the export is damaged.
    """
    contents = folder / CONTENTS
    if not contents.exists():
        return None
    version = str(read_mapping(contents, "Make the export again.").get("model"))
    return Papers(folder / CARD, folder / REPORT, version)


def card_as_html(markdown: str) -> str:
    """Render a model card as a part of a page: without its YAML, headings one level lower, tables that scroll."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule(
        "table_open", lambda *_: '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>\n'
    )
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    body = markdown.split("\n---\n", 1)[1] if markdown.startswith("---\n") else markdown
    tokens = parser.parse(body)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) + 1}"
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html
