"""Whose faces are whose: faces of table ``faces`` grouped into people, and what users said about them."""
