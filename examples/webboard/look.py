"""What the page looks like. Change the colour, raise the version in goldcrest.toml, then: goldcrest deploy"""

VERSION = "1.0.0"
COLOUR = "teal"
PAGE = """<!doctype html>
<body style="background: %s; color: white; font: 2em sans-serif">
<h1>%s</h1>
<p>webboard %s</p>
<p>microdot.mpy: %d bytes</p>
"""


def microdot_bytes(os):
    """Size of the web framework on this board: it differs from release to release."""
    for name in ("microdot.mpy", "microdot.py"):
        try:
            return os.stat("lib/microdot/" + name)[6]
        except OSError:
            pass
    return 0
