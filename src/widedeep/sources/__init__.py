"""The supported data sets. One module per publisher says where the files come from and what their layout is.

To add a data set, write a module with a `Source` and list it in `SOURCES`.
"""

from widedeep.sources.movielens import RELEASES
from widedeep.sources.myanimelist import MYANIMELIST_2023
from widedeep.sources.own import OWN
from widedeep.sources.rdatasets import MOVIELENS_SMALL
from widedeep.sources.source import Source

SOURCES: dict[str, Source] = {source.name: source for source in (MOVIELENS_SMALL, *RELEASES, MYANIMELIST_2023, OWN)}
