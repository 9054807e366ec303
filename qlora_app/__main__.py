"""`python -m qlora_app`"""
# PYTHON_ARGCOMPLETE_OK: shells may ask this program what could come next

import sys

from .cli import main

sys.exit(main())
