"""Lines to paste, with a button that copies them."""

from html import escape


def code_block(lines: str) -> str:
    """As HTML; the button is followed by the script of the part it stands in."""
    return (
        '<div class="code deeds"><button type="button" data-do="copy">Copy</button>'
        f'<pre tabindex="0" translate="no">{escape(lines)}</pre></div>'
    )
