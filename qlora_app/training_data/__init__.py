"""Training data: from whatever file a person has to conversations, with every row accounted for."""

from .choice import DatasetChoice
from .data_folder import import_file, import_files, import_text, server_files, uploaded_files
from .hub_data import NotHere, kept_data
from .sources import Examples, changed_since, load_examples, pinned, stamp

__all__ = [
    "DatasetChoice",
    "Examples",
    "NotHere",
    "changed_since",
    "import_file",
    "import_files",
    "import_text",
    "kept_data",
    "load_examples",
    "pinned",
    "server_files",
    "stamp",
    "uploaded_files",
]
