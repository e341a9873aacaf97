"""The app as a server: where it listens, what it tells the browser, and that nothing of a visit stays."""

import os
import signal
import tempfile
import threading
from pathlib import Path

from modeling_clipcaer.app.arguments import AppArguments
from modeling_clipcaer.app.page import HEAD, build_page
from modeling_clipcaer.app.visits import Studio
from modeling_clipcaer.common.terminal import tell
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.recordings.settings import TimelineSettings


# What the browser may ask for: nothing of anybody but the app.
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"
# Of what visitors dropped, and what was made of it, moreover: no page among it can read the app's.
FILE_POLICY = f"{POLICY}; sandbox allow-scripts"


class Policy:
    """Adds the policy to every answer of an ASGI app."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        is_file = "/file=" in scope.get("path", "")
        header = (b"content-security-policy", (FILE_POLICY if is_file else POLICY).encode())

        async def answer(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], header]}
            await send(message)

        await self.app(scope, receive, answer)


def make_theme():
    """The look of our pages, by fonts that are there."""
    import gradio as gr

    blue = {"button_primary_background_fill": "#0a5fa8", "button_primary_background_fill_hover": "#084f8c"}
    theme = gr.themes.Default(primary_hue="blue", font="system-ui", font_mono="monospace")
    return theme.set(**blue, **{f"{name}_dark": colour for name, colour in blue.items()})


def serve(args: AppArguments, settings: TimelineSettings) -> None:
    """Serve the app until Ctrl-C or SIGTERM. Of what visitors dropped nothing stays."""
    with tempfile.TemporaryDirectory(prefix="clipcaer-app-", ignore_cleanup_errors=True) as folder:
        # Keep: before Gradio is imported, which else counts its users, and keeps their files where others look.
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        from starlette.middleware import Middleware

        visits = Path(folder) / "visits"
        visits.mkdir()
        page = build_page(Studio(args, settings, visits))
        try:
            _, address, _ = page.launch(
                server_name=args.host,
                server_port=args.port,
                allowed_paths=[str(visits)],
                app_kwargs={"middleware": [Middleware(Policy)]},
                theme=make_theme(),
                head=HEAD,
                **{"share": False, "ssr_mode": False, "pwa": False, "mcp_server": False, "run_history": False},
                **{"num_workers": 0, "enable_monitoring": False, "footer_links": [], "inbrowser": False},
                **{"quiet": True, "prevent_thread_lock": True},
            )
        except OSError as error:
            where = f"--port {args.port}" if args.port else f"--host {args.host}"
            raise InputError(f"{where}: is taken, or cannot be listened on; expected another one") from error
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        tell(f"the app is at {address} (Ctrl-C ends it)")
        try:
            ended.wait()
        except KeyboardInterrupt:
            pass
        finally:
            page.close(verbose=False)
