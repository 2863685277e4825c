"""The notebook docs/walkthrough.ipynb runs on the outputs of the pipeline, and is committed as it ran."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT, Project

NOTEBOOK = ROOT / "docs/walkthrough.ipynb"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def pictures(notebook: Any) -> int:
    return sum(
        "image/svg+xml" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ())
    )


def test_notebook_runs_on_the_outputs_of_the_pipeline(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", project.environment["HOME"])
    notebook, shown = read(), pictures(read())
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(project.path / "docs")}}).execute()
    assert pictures(notebook) == shown >= 7


def test_notebook_is_committed_with_its_outputs_in_order() -> None:
    cells = [cell for cell in read().cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


def test_notebook_is_small_and_holds_no_path_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert not re.search(r"/(?:tmp|home|root|Users|work)/", text)


def test_links_of_the_notebook_lead_to_pages() -> None:
    text = "".join(cell.source for cell in read().cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert not [link for link in links if not Path(NOTEBOOK.parent, link).is_file()]
