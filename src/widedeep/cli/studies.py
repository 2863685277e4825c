"""The commands that run a study or a benchmark of the repository, as `widedeep tune`.

Their code lies in the folders `studies` and `benchmarks` beside dvc.yaml, which are no part of the package. So each
command takes its options here and imports its code from the current folder when it runs.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from widedeep.cli import complete
from widedeep.cli.values import whole
from widedeep.errors import UserError

PARAMS, FEATURES = Path("params.yaml"), Path("data/features")

ParamsFile = Annotated[Path, typer.Option(metavar="FILE", help="The parameters.")]
FeaturesFolder = Annotated[Path, typer.Option(metavar="FOLDER", help="The features, as stage featurize writes them.")]
Dataset = Annotated[
    str, typer.Argument(metavar="DATASET", help="As download.dataset.", autocompletion=complete.datasets)
]
Split = Annotated[
    str,
    typer.Argument(
        metavar="SPLIT",
        help="random, predefined, temporal or leave_last_out, as preprocess.split.",
        autocompletion=complete.splits,
    ),
]
Objective = Annotated[
    str,
    typer.Argument(
        metavar="OBJECTIVE", help="rating, ranking or joint, as train.objective.", autocompletion=complete.objectives
    ),
]


def tune(
    params: ParamsFile = PARAMS,
    features: FeaturesFolder = FEATURES,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Tune this model of the comparison, from its values in studies/comparison/models.yaml on.",
            autocompletion=complete.models,
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Search among the values in this file.  [default: studies/tuning/space.yaml, or that of the model]",
        ),
    ] = None,
    store: Annotated[Path, typer.Option(metavar="FILE", help="Keep finished trials in this SQLite file.")] = Path(
        "tuning.db"
    ),
    trials: Annotated[
        int,
        typer.Option(parser=whole(1), metavar="N", help="Run until there are this many trials, earlier ones included."),
    ] = 50,
    timeout: Annotated[
        int | None, typer.Option(parser=whole(1), metavar="MINUTES", help="Start no trial after this time.")
    ] = None,
    seed: Annotated[int, typer.Option(parser=whole(0), metavar="N", help="Seed of the sampler.")] = 0,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Write the best values as the preset of the data set, or with --model into models.yaml."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the best values into this file instead.")
    ] = None,
    refit: Annotated[
        bool,
        typer.Option(
            help="Let the preset train on the validation rows too, for as many epochs as were best without them."
        ),
    ] = True,
) -> int:
    """Search for better values of `train`, by the validation loss.

    Data set, split, objective and every value that is not searched are those of the parameters. With --model, the
    values of that model in studies/comparison/models.yaml come on top.

    Each finished trial is kept: the same command later goes on until there are --trials in all. Only training and
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
    """Measure how much each metric varies with the seed.

    The model is trained with several seeds on the same features. `widedeep compare` reads the result: a difference that
    is smaller is no evidence.
    """
    _find("studies")
    from studies.noise.measure import measure_noise

    measure_noise(params, features, out, seeds)


def ablation(
    dataset: Dataset,
    split: Split,
    objective: Objective,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write the table into this file, as CSV.")],
    features: FeaturesFolder = FEATURES,
    seeds: Annotated[int, typer.Option(parser=whole(1), metavar="N", help="Number of trainings of each variant.")] = 3,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change this key of train, for the preset and all variants."),
    ] = None,
) -> None:
    """Measure what each ingredient of a preset gives.

    The preset of a data set is compared with the same preset and one change at a time. The changes are those of
    studies/ablation/variants.yaml. Each variant is trained on the training rows with early stopping, and judged on the
    validation rows at its best epoch. Test rows are not read.

    The difference from the preset is that of the means over the seeds. Its 95 % interval comes from a bootstrap that
    resamples users.
    """
    _find("studies")
    from studies.ablation.run import run

    run(dataset, split, objective, features, out, seeds, changes or [])


def benchmark(
    listed: Annotated[bool, typer.Option("--list", help="Print the names of the protocols, and end.")] = False,
    protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="Run this protocol. It sets data set, split and objective.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="As download.dataset.", autocompletion=complete.datasets)
    ] = None,
    source: Annotated[str, typer.Option(help="As download.source, relative to the current folder.")] = "auto",
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="As preprocess.split.", autocompletion=complete.splits)
    ] = None,
    fold: Annotated[str | None, typer.Option(help="The fold of --split predefined.")] = None,
    train: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Train on these ratings. Together with --test, a split of your own."),
    ] = None,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="Test on these ratings.")] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="As train.objective.  [default: rating]", autocompletion=complete.objectives),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="As train.seed.")] = 0,
    preset: Annotated[str, typer.Option(help="auto, none, or a file of presets.")] = "auto",
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change any other parameter.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Work in this new or empty folder, and leave it there.")
    ] = None,
) -> int:
    """Measure the pipeline on a protocol, as a line of JSON.

    Name a protocol, or give a data set and a split of your own. The stages of dvc.yaml up to evaluate run in a folder
    of their own. They have params.yaml, the preset of studies/tuning for this data set, split and objective (where
    there is one), and the settings of the protocol. What they print goes to stderr.
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
            f"There is no folder {folder} in {Path.cwd()}. Run this command in the root of the repository, where "
            "dvc.yaml lies."
        )
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
