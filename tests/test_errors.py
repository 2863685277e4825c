"""After an error in a stage that DVC runs, the message says how the earlier outputs come back."""

import pytest

from widedeep.errors import UserError, exit_on_user_error

PIPELINE, STUDY = "git restore reports", "git restore $(git ls-files --deleted studies)"


@pytest.mark.parametrize(
    ("stage", "command"),
    [("train", PIPELINE), ("studies/comparison/dvc.yaml:model@dot", STUDY), ("studies/drift/dvc.yaml:policies", STUDY)],
)
@pytest.mark.parametrize("error", [UserError("wrong"), OSError(28, "Full", "file"), ZeroDivisionError()])
def test_stage_of_dvc_names_the_command_that_restores(
    stage: str, command: str, error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DVC_STAGE", stage)
    with pytest.raises((SystemExit, ZeroDivisionError)), exit_on_user_error():
        raise error
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"To bring back the earlier outputs: dvc checkout --force; {command}"


def test_without_dvc_nothing_was_removed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), exit_on_user_error():
        raise UserError("wrong")
    assert capsys.readouterr().err == "error: wrong\n"
