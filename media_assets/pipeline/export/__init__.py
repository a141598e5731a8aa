"""A copy of the tables for analysts, without what identifies people, places and files."""
