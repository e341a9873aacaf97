"""An app for the browser, of which nothing stays when its page is closed.

A recording that is dropped comes in; its timeline, people, explanation and corrected segments go out.
Start with `page.py`: what is seen. `visits.py` is what happens, `server.py` how it is served.
"""
