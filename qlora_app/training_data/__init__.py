"""Training data: from whatever file a person has to conversations, with every row accounted for."""

from .choice import DatasetChoice
from .sources.examples import (
    Examples,
    changed_since,
    load_examples,
    pinned,
    stamp,
)
from .sources.folder import (
    import_file,
    import_files,
    import_text,
    server_files,
    uploaded_files,
)
from .sources.hub import NotHere, kept_data

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
