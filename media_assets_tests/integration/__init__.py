"""Tests of media_assets."""
