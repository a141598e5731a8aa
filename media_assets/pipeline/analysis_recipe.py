"""Which models an installation uses: settings become a recipe and the places where models lie."""

from media_assets.models.registry import TASKS, ModelPlaces, ModelSpec, Task, choose
from media_assets.models.vision_recipe import VisionRecipe
from media_assets.settings import Settings


def places_of(settings: Settings) -> ModelPlaces:
    """Return where models lie on this machine."""
    folder = settings.models.expanduser().absolute() if settings.models is not None else None
    return ModelPlaces(folder, settings.model_cache_dir, settings.model_downloads)


def chosen(settings: Settings, task: Task) -> ModelSpec | None:
    """Return the model that does a task, ``None`` when it is switched off.

    Raises:
        ModelError: The settings name a model that does not exist or does not do this.
    """
    return choose(task, places_of(settings), tier=settings.model_tier, name=getattr(settings, f"{task}_model"))


def vision_recipe_of(settings: Settings) -> VisionRecipe:
    """Return the recipe of an installation; what lies in the folder of models decides too.

    Raises:
        ModelError: As :func:`chosen`.
    """
    specs = {task: chosen(settings, task) for task in TASKS}
    return VisionRecipe(
        models=tuple((task, spec.name) for task, spec in specs.items() if spec is not None),
        faces_threshold=settings.faces_threshold,
        objects_threshold=settings.objects_threshold,
        texts_threshold=settings.texts_threshold,
        scene_labels=settings.scene_labels,
        safety_review=settings.safety_review,
        safety_sensitive=settings.safety_sensitive,
    )
