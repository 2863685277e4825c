"""Stage download: get the raw files of one data set."""

import argparse
from dataclasses import replace
from pathlib import Path

from widedeep.errors import exit_on_user_error
from widedeep.files import replacing
from widedeep.params import load_params
from widedeep.sources import SOURCES
from widedeep.sources.fetch import fetch
from widedeep.sources.own import Own


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.download", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("data/raw"), help="folder to write; default: %(default)s")
    options = parser.parse_args(arguments)
    with exit_on_user_error():
        params = load_params(options.params).download
        with replacing(options.out) as folder:
            folder.mkdir()
            source = SOURCES[params.dataset]
            if isinstance(source, Own):
                source = replace(source, files_chosen=dict(params.files))
            fetch(source, params.source, folder, params.max_unpacked_gib)


if __name__ == "__main__":
    main()
