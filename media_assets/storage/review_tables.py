"""Columns of table `reviews`: what people decided about the publication of files."""

from media_assets.storage.columns import STRING, UTC_TIME, Column, common, required

REVIEWS = (
    *common(),
    required("decision", STRING, "`allow` or `block`: the latest that was said.", "`media-assets review`"),
    required("recorded_by", STRING, "Who decided.", "`media-assets review`"),
    required("recorded_at", UTC_TIME, "When it was decided.", "`media-assets review`"),
    Column("note", STRING, "Why, in the words of who decided. Null: nothing was said.", "`media-assets review`"),
)
