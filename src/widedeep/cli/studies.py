"""The commands that run a study or a benchmark of the repository, such as `widedeep tune`.

Their code is in the folders `studies` and `benchmarks` beside dvc.yaml, which do not belong to the package. So a
command reads its options here, and imports its code from the current folder when it runs.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from widedeep.cli import complete
from widedeep.cli.values import whole
from widedeep.cli.versions import PARAMS, PATHS
from widedeep.errors import UserError

FEATURES = Path("data/features")

ParamsFile = Annotated[Path, typer.Option(metavar="FILE", help="File of parameters.")]
FeaturesFolder = Annotated[Path, typer.Option(metavar="FOLDER", help="Folder that stage featurize wrote.")]
Dataset = Annotated[
    str,
    typer.Argument(metavar="DATASET", help="A value of download.dataset.", autocompletion=complete.datasets),
]
Split = Annotated[
    str,
    typer.Argument(
        metavar="SPLIT",
        help="A value of preprocess.split: random, predefined, temporal or leave_last_out.",
        autocompletion=complete.splits,
    ),
]
Objective = Annotated[
    str,
    typer.Argument(
        metavar="OBJECTIVE",
        help="A value of train.objective: rating, ranking or joint.",
        autocompletion=complete.objectives,
    ),
]


def tune(
    params: ParamsFile = PARAMS,
    features: FeaturesFolder = FEATURES,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Tune this model of the comparison. Start from its values in studies/comparison/models.yaml.",
            autocompletion=complete.models,
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Search among the values in this file.  [default: the search space of the model in the registry]",
        ),
    ] = None,
    store: Annotated[Path, typer.Option(metavar="FILE", help="Keep finished trials in this SQLite file.")] = Path(
        "tuning.db"
    ),
    trials: Annotated[
        int,
        typer.Option(parser=whole(1), metavar="N", help="Number of trials, including those of earlier runs."),
    ] = 50,
    timeout: Annotated[
        int | None, typer.Option(parser=whole(1), metavar="MINUTES", help="Start no trial after this time.")
    ] = None,
    seed: Annotated[int, typer.Option(parser=whole(0), metavar="N", help="Seed of the sampler.")] = 0,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Write the best values into the preset of the data set, or with --model into models.yaml."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the best values into this file instead.")
    ] = None,
    refit: Annotated[
        bool,
        typer.Option(
            help="Make a preset that also trains on the validation rows, for the number of epochs that was best "
            "without them."
        ),
    ] = True,
) -> int:
    """Search for parameters with a lower validation loss.

    All values that are not searched, such as data set, split and objective, come from the file of parameters. With
    --model, the values of that model in studies/comparison/models.yaml replace them.

    Finished trials are kept. The same command later continues until there are --trials in all. Only training and
    validation rows are loaded, never a test row.
    """
    _find("studies")
    from studies.tuning.search import Options, tune

    write = write or out is not None
    return tune(Options(params, features, model, space, store, trials, timeout, seed, write, out, refit))


def presets(dataset: Dataset, split: Split, objective: Objective) -> None:
    """Print the preset of a data set as arguments of `dvc exp run`.

    Use it as in: dvc exp run $(widedeep presets ml-100k random rating)
    """
    _find("studies")
    from studies.tuning.presets import as_arguments

    print(as_arguments(dataset, split, objective))


def noise(
    params: ParamsFile = PARAMS,
    features: FeaturesFolder = FEATURES,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write the result into this file.")] = Path(
        "reports/noise.json"
    ),
    seeds: Annotated[int, typer.Option(parser=whole(2), metavar="N", help="Number of trainings.")] = 5,
) -> None:
    """Measure how much each metric varies with the training seed.

    The model is trained with several seeds on the same features. `widedeep compare` reads the result and takes a
    smaller difference for noise.
    """
    _find("studies")
    from studies.noise.measure import measure_noise

    measure_noise(params, PATHS.data, features, out, seeds)


def ablation(
    dataset: Dataset,
    split: Split,
    objective: Objective,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write the table into this file, as CSV.")],
    features: FeaturesFolder = FEATURES,
    seeds: Annotated[int, typer.Option(parser=whole(1), metavar="N", help="Number of trainings of each variant.")] = 3,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="Change this parameter in the preset and in all variants."
        ),
    ] = None,
) -> None:
    """Measure how much each ingredient of a preset contributes.

    The preset of a data set is compared with variants of it. Each variant makes one change from
    studies/ablation/variants.yaml. It is trained on the training rows with early stopping, and judged on the validation
    rows at its best epoch. Test rows are not read.

    The difference from the preset is the difference of the means over the seeds. Its 95 % interval comes from a
    bootstrap that resamples users.
    """
    _find("studies")
    from studies.ablation.run import run

    run(dataset, split, objective, features, out, seeds, changes or [])


def benchmark(
    listed: Annotated[bool, typer.Option("--list", help="Print the names of the protocols and exit.")] = False,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="Run this protocol. It sets data set, split and objective.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A value of download.dataset.", autocompletion=complete.datasets),
    ] = None,
    source: Annotated[
        str, typer.Option(help="A value of download.source. A path is relative to the current folder.")
    ] = "auto",
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="A value of preprocess.split.", autocompletion=complete.splits)
    ] = None,
    fold: Annotated[str | None, typer.Option(help="The fold to use with --split predefined.")] = None,
    train: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Train on these ratings. Give --test too: both files are your own split."),
    ] = None,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="Test on these ratings.")] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="A value of train.objective.  [default: rating]", autocompletion=complete.objectives),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The value of train.seed.")] = 0,
    preset: Annotated[
        str, typer.Option(help="auto (the preset for this data set, if there is one), none, or a file of presets.")
    ] = "auto",
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change any other parameter.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Work in this new or empty folder, and do not remove it.")
    ] = None,
) -> int:
    """Measure the quality of the pipeline on a protocol.

    Name a protocol, or give a data set and a split. The result is printed as a line of JSON.

    The stages of dvc.yaml up to evaluate run in a separate folder. Their parameters are those of params.yaml. A preset
    for this data set, split and objective replaces some of them, and the settings of the protocol replace some more.
    The output of the stages goes to stderr.
    """
    _find("benchmarks")
    from benchmarks.quality import Options, benchmark, print_protocols

    if listed:
        print_protocols()
        return 0
    own = tuple(changes or ())
    return benchmark(Options(protocol, dataset, source, split, fold, train, test, objective, seed, preset, own, keep))


def _find(folder: str) -> None:
    """Make a folder of the repository importable."""
    if not Path(folder, "__init__.py").is_file():
        raise UserError(
            f"There is no folder {folder} in {Path.cwd()}. Run this command in the root of the repository, beside "
            "dvc.yaml."
        )
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
