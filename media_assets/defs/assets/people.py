"""Asset ``people``: whose faces are whose. The work is in ``pipeline.people``."""

from collections import defaultdict
from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from media_assets.defs.failures import failure_of
from media_assets.models.errors import ModelError
from media_assets.models.vision_recipe import FACES
from media_assets.pipeline.consent import read_consents
from media_assets.pipeline.derived_tables import TableBusyError
from media_assets.pipeline.library import CompactionBusyError, Library
from media_assets.pipeline.people.update import PEOPLE, update_people
from media_assets.storage import catalog as catalog_store
from media_assets.storage.errors import StorageError

_LISTED = 20

PEOPLE_CHECK = dg.AssetCheckSpec(
    "one_owner_per_person",
    asset=PEOPLE,
    description="No person has faces in the pictures of two owners, and none of an owner without consent.",
)


class PeopleConfig(dg.Config):
    """Configuration of a run."""

    anew: bool = Field(
        default=False,
        description="Group all faces anew, also in libraries of more than 20,000 faces, where people of before are "
        "kept as they are otherwise. Identifiers and names stay.",
    )


@dg.asset(
    name=PEOPLE,
    deps=[FACES],
    group_name="catalog",
    kinds={"parquet"},
    check_specs=[PEOPLE_CHECK],
    description="Faces grouped into people, for owners who consented to recognition: table people.",
)
def people(
    context: dg.AssetExecutionContext, config: PeopleConfig, library: dg.ResourceParam[Library]
) -> Iterator[dg.MaterializeResult[None]]:
    """Group the faces of each owner who consented, keep the people that are known, and apply what users said."""
    try:
        report = update_people(library, context.run.run_id, anew=config.anew)
        wrong = mixed_people(library)
    except (StorageError, ModelError, CompactionBusyError, TableBusyError) as error:
        raise failure_of(error) from None
    yield dg.MaterializeResult(
        metadata={
            "people": dg.MetadataValue.int(report.people),
            "named_people": dg.MetadataValue.int(report.named),
            "faces": dg.MetadataValue.int(report.faces),
            "faces_left_out": dg.MetadataValue.int(report.faces_left_out),
            "files_written": dg.MetadataValue.int(report.files_written),
            "files_removed": dg.MetadataValue.int(report.files_removed),
            "owners_without_consent": dg.MetadataValue.int(report.owners_without_consent),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=PEOPLE_CHECK.name,
                passed=not wrong,
                metadata={"people": dg.MetadataValue.json(wrong[:_LISTED])},
            )
        ],
    )


def mixed_people(library: Library) -> list[str]:
    """Return the people of several owners or of an owner without consent, sorted.

    Raises:
        StorageError: The catalog cannot be read.
    """
    consents = read_consents(library)
    owners: dict[str, set[str]] = defaultdict(set)
    for row in catalog_store.read_current(library.store, PEOPLE, ["person_id", "owner"]).to_pylist():
        owners[row["person_id"]].add(row["owner"])
    return sorted(
        person
        for person, found in owners.items()
        if len(found) > 1 or not all(consents.allows(owner, "recognition") for owner in found)
    )
