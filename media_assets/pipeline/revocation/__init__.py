"""What follows when owners give or withdraw consents: derived data go, or are computed again; and the proof of it."""
