"""The demonstration: a sample library of real photos and the run of `make demo`.

Nothing here is used by the pipeline. Sample photos come from installed packages (extra ``demo``), never from a network.
"""
