"""Training data: from whatever file a person has to conversations, with every row accounted for."""

from .choice import DatasetChoice
from .sources import Examples, import_file, load_examples, uploaded_files

__all__ = ["DatasetChoice", "Examples", "import_file", "load_examples", "uploaded_files"]
