"""The models by their name in `train.model`."""

from widedeep.errors import UserError
from widedeep.features.spec import Spec
from widedeep.models.bias import Bias
from widedeep.models.bias_dot import BiasDot
from widedeep.models.cnn import Cnn
from widedeep.models.dense import Dense
from widedeep.models.dot import Dot
from widedeep.models.ease import Ease
from widedeep.models.genre_dense import GenreDense
from widedeep.models.global_mean import GlobalMean
from widedeep.models.item_knn import ItemKnn
from widedeep.models.model import Ensemble, Model
from widedeep.models.popularity import Popularity
from widedeep.models.wide_deep import WideDeep
from widedeep.params import ModelParams

# By counting or in closed form.
BASELINES = {"global_mean": GlobalMean, "popularity": Popularity, "bias": Bias, "item_knn": ItemKnn, "ease": Ease}
# By gradient.
NETWORKS = {
    "dot": Dot,
    "bias_dot": BiasDot,
    "dense": Dense,
    "genre_dense": GenreDense,
    "cnn": Cnn,
    "wide_deep": WideDeep,
}


def build(spec: Spec, params: ModelParams) -> Model:
    """The untrained model that `params` ask for; its start is drawn from torch's random state.

    Raises
    ------
    UserError
        The model does not fit the objective or the data set.
    """
    if params.model in BASELINES:
        return BASELINES[params.model](spec, params)
    if params.objective == "joint" and params.model != "wide_deep":
        raise UserError(f"train.objective: joint needs two heads, which {params.model} has not. Choose wide_deep.")
    if params.model in ("dense", "genre_dense") and not params.hidden:
        raise UserError(f"train.hidden: {params.model} needs at least one hidden layer. Got [] instead.")
    members = [NETWORKS[params.model](spec, params) for _ in range(params.members)]
    return Ensemble(members, params)
