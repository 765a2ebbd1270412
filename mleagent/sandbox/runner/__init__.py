"""What runs inside a sandbox: standard library only, Python 3.9 or later, no import of the rest of mleagent.

Started as `python -I -S <this folder>`; it speaks the frames of `frames.py` on
stdin and stdout. The host side is `mleagent/sandbox/client.py`.
"""
