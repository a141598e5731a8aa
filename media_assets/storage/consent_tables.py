"""Columns of the tables about consent: what owners said, and what was not computed for lack of it."""

from media_assets.storage.columns import BOOL, STRING, UTC_TIME, Column, common, required

CONSENTS = (
    required("owner", STRING, "Whose pictures are meant.", "register of consents"),
    required(
        "purpose",
        STRING,
        "`faces`, `recognition`, `text`, `location`, `analysis` or `publication`.",
        "register of consents",
    ),
    required("granted", BOOL, "Whether it is allowed from then on.", "register of consents"),
    required("recorded_by", STRING, "Who recorded it.", "register of consents"),
    required("recorded_at", UTC_TIME, "When; the newest row of an owner and purpose counts.", "register of consents"),
    Column("expires_at", UTC_TIME, "When the permission ends. Null: it does not.", "register of consents"),
    Column("note", STRING, "Where the evidence is. Null: nothing was noted.", "register of consents"),
)

SKIPPED = (
    *common(),
    required("asset", STRING, "What was not computed: an asset, or `people` for vectors of faces.", "asset"),
    required("purpose", STRING, "The use that was not allowed.", "register of consents"),
    required("reason", STRING, "`no_consent`.", "register of consents, policy"),
)
