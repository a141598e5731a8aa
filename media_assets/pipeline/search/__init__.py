"""Search in a library: by words, by likeness, by time, place and label. What is searched is the catalog."""
