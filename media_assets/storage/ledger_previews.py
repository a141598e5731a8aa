"""Previews: what the analysis of each media file reads, and which results files have or lack.

Lives here: statements only. Must not: decide which results are out of date (``pipeline.staleness``).
"""

import json
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa

from media_assets.storage import ledger_schema as schema
from media_assets.storage.ledger_archive import is_archived
from media_assets.storage.ledger_engine import LedgerEngine, chunks
from media_assets.storage.ledger_schema import Outcome, Preview, ResultVersion


class PreviewLedger(LedgerEngine):
    """The part of the ledger that knows previews and the versions of results."""

    def _record_previews(self, connection: sa.Connection, previews: Iterable[Preview]) -> None:
        rows = [
            {
                "media_id": one.media_id,
                "input_version": one.input_version,
                "data_version": one.data_version,
                "preview_key": one.preview_key,
                "width_px": one.width_px,
                "height_px": one.height_px,
                "frames": json.dumps(one.frames),
            }
            for one in previews
        ]
        for chunk in chunks(rows):
            statement = self._insert(schema.preview).values(list(chunk))
            changed = {name: statement.excluded[name] for name in chunk[0] if name != "media_id"}
            connection.execute(
                statement.on_conflict_do_update(index_elements=[schema.preview.c.media_id], set_=changed)
            )

    def previews(self, media_ids: Iterable[str]) -> dict[str, Preview]:
        """Return the previews of those of ``media_ids`` that have one."""
        found = {}
        with self._transaction() as connection:
            for chunk in chunks(list(media_ids)):
                for row in connection.execute(sa.select(schema.preview).where(schema.preview.c.media_id.in_(chunk))):
                    frames = tuple((str(key), float(at)) for key, at in json.loads(row.frames))
                    found[row.media_id] = Preview(**{**row._asdict(), "frames": frames})
        return found

    def unanalyzed(
        self,
        assets: Sequence[str],
        *,
        inbox: str | None = None,
        never_tried: bool = False,
        month: str | None = None,
    ) -> dict[str, set[str]]:
        """Return, by media id, which of ``assets`` the files with a preview have no result of, newest version counted.

        Archived files are left out.

        Args:
            assets: Assets of op ``analyze``.
            inbox: Only files of this inbox.
            never_tried: Leave out what failed for the present version of the file.
            month: Only files of this month.
        """
        lacking: dict[str, set[str]] = {}
        outcome = schema.outcome
        with self._transaction() as connection:
            for asset in assets:
                done = sa.and_(
                    outcome.c.media_id == schema.preview.c.media_id,
                    outcome.c.asset == asset,
                    outcome.c.input_version == schema.preview.c.input_version,
                    *(() if never_tried else (outcome.c.state != "failed",)),
                )
                statement = (
                    sa.select(schema.preview.c.media_id)
                    .select_from(
                        schema.preview.join(
                            schema.media,
                            sa.and_(
                                schema.media.c.media_id == schema.preview.c.media_id,
                                # A newer version that is not ingested yet gets a preview of its own.
                                schema.media.c.sha256 == schema.preview.c.input_version,
                            ),
                        ).outerjoin(outcome, done)
                    )
                    .where(outcome.c.media_id.is_(None), ~is_archived())
                )
                if inbox is not None:
                    statement = statement.where(schema.media.c.inbox == inbox)
                if month is not None:
                    statement = statement.where(schema.media.c.month == month)
                for row in connection.execute(statement):
                    lacking.setdefault(row.media_id, set()).add(asset)
        return lacking

    def results_of(self, media_ids: Iterable[str], assets: Sequence[str]) -> dict[str, dict[str, Outcome]]:
        """Return the latest result of each of ``assets`` for each of ``media_ids`` that has any, by id and asset."""
        found: dict[str, dict[str, Outcome]] = {}
        table = schema.outcome
        with self._transaction() as connection:
            for chunk in chunks(list(media_ids)):
                statement = sa.select(table).where(table.c.media_id.in_(chunk), table.c.asset.in_(assets))
                for row in connection.execute(statement):
                    found.setdefault(row.media_id, {})[row.asset] = Outcome(**row._asdict())
        return found

    def result_versions(self, asset: str, *, archived: bool = False) -> Iterator[ResultVersion]:
        """Yield, for each accepted file, by which version of code and of the file its result of ``asset`` was made.

        Args:
            asset: Name of the asset.
            archived: Only files that are archived, instead of those that are not.
        """
        outcome = schema.outcome
        statement = (
            sa.select(
                schema.media.c.media_id,
                schema.media.c.owner,
                schema.media.c.sha256,
                outcome.c.state,
                outcome.c.code_version,
                outcome.c.input_version,
            )
            .select_from(
                schema.media.outerjoin(
                    outcome, sa.and_(outcome.c.media_id == schema.media.c.media_id, outcome.c.asset == asset)
                )
            )
            .where(schema.media.c.original_key.is_not(None), is_archived() if archived else ~is_archived())
            .order_by(schema.media.c.media_id)
        )
        with self._transaction() as connection:
            rows = connection.execute(statement).all()
        for row in rows:
            yield ResultVersion(**row._asdict())
