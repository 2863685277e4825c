"""Stage download: get the raw files of one data set."""

import argparse
from pathlib import Path

from widedeep.errors import exit_on_user_error
from widedeep.files import replacing
from widedeep.params import load_params
from widedeep.sources import SOURCES
from widedeep.sources.fetch import fetch


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.download", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("data/raw"), help="folder to write; default: %(default)s")
    options = parser.parse_args(arguments)
    with exit_on_user_error():
        params = load_params(options.params).download
        with replacing(options.out) as folder:
            folder.mkdir()
            fetch(SOURCES[params.dataset], params.source, folder, params.max_unpacked_gib)


if __name__ == "__main__":
    main()
