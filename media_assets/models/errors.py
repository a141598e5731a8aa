"""What can be wrong with a model: it is not there, not what it should be, or cannot be run here."""


class ModelError(Exception):
    """A model cannot be used. The message is one sentence or two for people and ends with the command to run.

    Nothing is wrong with the pictures: the work that needs the model is left undone and can be done later.
    """


class ModelMissingError(ModelError):
    """The files of a model are not on this machine, or not where they should be."""


class ModelCorruptError(ModelError):
    """A file of a model has another checksum than the registry names, or cannot be read as what it should be."""
