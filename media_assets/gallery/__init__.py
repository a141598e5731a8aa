"""A library to look at: an HTML page and contact sheets, from the catalog and the renditions. Reads only."""
