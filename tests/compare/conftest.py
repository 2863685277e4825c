"""A repository of git and DVC without commits, which tests copy: to make one takes seconds."""

import pytest

from tests.conftest import Project


@pytest.fixture(scope="session")
def empty(unrun_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Make a repository of git and DVC without commits."""
    project = Project(tmp_path_factory.mktemp("empty") / "repo", unrun_project.environment)
    project.path.mkdir()
    project.run("git", "init", "-q", "-b", "main")
    project.run("dvc", "init", "-q")
    return project
