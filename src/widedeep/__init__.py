"""A reproducible Wide & Deep recommender pipeline."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from widedeep.serving.recommender import Recommender as Recommender
    from widedeep.serving.recommender import recommend_top_n as recommend_top_n


def __getattr__(name: str) -> Any:
    # Imported when asked for, so that the help of a command need not import torch.
    if name not in ("Recommender", "recommend_top_n"):
        raise AttributeError(f"module 'widedeep' has no attribute {name!r}")
    from widedeep.serving import recommender

    return getattr(recommender, name)
