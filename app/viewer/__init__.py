"""The pixel viewer: photo, overlay, pins and live numbers, as a Streamlit component (v2) in plain JavaScript.

How the JavaScript gets there. Streamlit turns the `js=` string of a component into a blob module, from which relative
imports cannot be resolved; paths are only allowed for installed packages. So `js=` is a bootstrap of a few lines
(bootstrap.js) that imports main.js from the app's own route `/viewer/<version>/main.js` (app.routes); the modules then
import each other relatively and inherit the version, a hash of their contents, so that they may be cached for ever.
The bootstrap finds the server's base path from the address of Streamlit's own script.

Who owns what. Pins and view (reading, stage, scale, ...) live in the viewer while it is mounted, so that the picture
never waits for Python. After a change it reports ONE state value with everything in it and a new `revision`. The page
passes back the revision that it last adopted in `data["revision"]`. The viewer merges field by field: a field in which
`data` differs from what the viewer knows Python to have at that revision was changed by Python (URL, sidebar) and
wins; all others keep the viewer's own, perhaps newer, value. A late echo therefore never moves a slider back. A page
does this:

    seen = parse(st.session_state.get(key))          # None before the first report
    if seen and seen.revision != selection.revision: # the person did something in the viewer
        selection = selection.adopt(seen)
    result = viewer({..., "pins": selection.pins, "active": ..., "view": ..., "revision": selection.revision}, key)
    if result.expired: make the trace again and put it in the store, so that the addresses in `data` change
"""

from __future__ import annotations

from app.viewer.component import Board, ViewerResult, compare, guidance, parse, surgery, viewer
from app.viewer.files import FILES, bootstrap, folder, text, version
from app.viewer.payload import VIEW, describe, describe_guidance, describe_surgery, pane

__all__ = [
    "FILES",
    "VIEW",
    "Board",
    "ViewerResult",
    "bootstrap",
    "compare",
    "describe",
    "describe_guidance",
    "describe_surgery",
    "folder",
    "guidance",
    "pane",
    "parse",
    "surgery",
    "text",
    "version",
    "viewer",
]
