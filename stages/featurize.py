"""Stage featurize: turn the tables into indices, numbers and histories for a model."""

import argparse
from pathlib import Path

from widedeep.errors import exit_on_user_error
from widedeep.features.build import build_features
from widedeep.features.vocabulary import Vocabulary
from widedeep.files import replacing
from widedeep.params import load_params
from widedeep.tables.files import Tables
from widedeep.warm_start import earlier_model


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.featurize", description=__doc__)
    parser.add_argument("--params", required=True)
    parser.add_argument("--tables", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--model", required=True, type=Path, help="where revisions keep their model")
    args = parser.parse_args(arguments)
    with exit_on_user_error():
        params = load_params(args.params)
        earlier = None
        if params.train.warm_start_from is not None:
            with earlier_model(params.train.warm_start_from, Path(args.params), args.model) as folder:
                earlier = Vocabulary.load(folder)
        with replacing(args.out) as out:
            features = build_features(Tables.load(args.tables), params.featurize, earlier)
            if left_out := features.spec.crosses_left_out:
                crosses = ", ".join(" x ".join(names) for names in left_out)
                print(f"crosses left out, because {features.spec.dataset} lacks one of their fields: {crosses}")
            out.mkdir()
            features.save(out)


if __name__ == "__main__":
    main()
