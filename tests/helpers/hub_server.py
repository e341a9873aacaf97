"""A Hub on this machine, which speaks what `huggingface_hub` and `datasets` ask over HTTP: repositories are folders.

    python tests/helpers/hub_server.py FOLDER

serves `FOLDER/models/ORG/NAME` and `FOLDER/datasets/ORG/NAME`, and prints its address. Clients find it by HF_ENDPOINT.
`FOLDER/log.jsonl` has a line for every request.
"""

import base64
import hashlib
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


API = re.compile(r"/api/(?P<kind>models|datasets)/(?P<id>[^/]+/[^/]+)(?:/(?P<what>[\w-]+)(?:/(?P<rest>.*))?)?")
FILE = re.compile(r"/(?P<kind>datasets/)?(?P<id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
STATE = ".state.json"  # what a repository is, beside its files: whether it is private, and its commits


class Handler(BaseHTTPRequestHandler):
    """Answers for the folder of its server."""

    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self):
        self._answer(self._get)

    def do_HEAD(self):
        self._answer(self._get)

    def do_POST(self):
        self._answer(self._post)

    def log_message(self, *args):
        pass

    def _answer(self, reply) -> None:
        self.place = unquote(urlsplit(self.path).path)
        self.query = parse_qs(urlsplit(self.path).query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        words = {"method": self.command, "path": self.place, "range": self.headers.get("Range")}
        with open(self.root / "log.jsonl", "a") as log:
            log.write(json.dumps(words) + "\n")
        if not reply():
            self._send({"error": "Repository or file not found"}, 404, {"X-Error-Code": "EntryNotFound"})

    def _send(self, content, status: int = 200, headers: dict | None = None) -> bool:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return True

    # What is asked for

    def _get(self) -> bool:
        if self.place == "/api/whoami-v2":
            return self._send({"name": "me", "type": "user", "orgs": [], "auth": {"accessToken": {"role": "write"}}})
        if asked := FILE.fullmatch(self.place):
            return self._send_file("datasets" if asked["kind"] else "models", asked["id"], asked["path"])
        asked = API.fullmatch(self.place)
        folder = asked and self.root / asked["kind"] / asked["id"]
        if not folder or not folder.is_dir():
            return self._send({"error": "no"}, 404, {"X-Error-Code": "RepoNotFound"})
        state = read_state(folder)
        if asked["what"] in (None, "revision"):
            files = [{"rfilename": name} for name in list_files(folder)]
            known = {"id": asked["id"], "sha": state["sha"], "private": state["private"], "siblings": files}
            return self._send(known | {"tags": [], "downloads": 0, "likes": 0})
        if asked["what"] == "tree":
            under = asked["rest"].partition("/")[2]
            return self._send(
                [describe(folder, name) for name in list_all(folder) if is_under(name, under, self.query)]
            )
        return False

    def _send_file(self, kind: str, repository: str, path: str) -> bool:
        folder = self.root / kind / repository
        if not (folder / path).is_file():
            return False
        content = (folder / path).read_bytes()
        headers = {
            "ETag": f'"{blob_id(content)}"',
            "X-Repo-Commit": read_state(folder)["sha"],
            "Accept-Ranges": "bytes",
        }
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return self._send(content[first : last + 1], 206, headers)
        return self._send(content, 200, headers)

    # What is sent

    def _post(self) -> bool:
        if self.place == "/api/validate-yaml":
            return self._send({"errors": [], "warnings": []})
        if self.place == "/api/repos/create":
            wanted = json.loads(self.body)
            kind = f"{wanted.get('type') or 'model'}s"
            name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            prefix = "" if kind == "models" else f"{kind}/"
            address = f"http://{self.headers['Host']}/{prefix}{name}"
            if (self.root / kind / name).exists():
                return self._send({"error": "exists", "url": address}, 409)
            (self.root / kind / name).mkdir(parents=True)
            write_state(self.root / kind / name, {"private": wanted.get("visibility") == "private", "commits": []})
            return self._send({"url": address, "id": name})
        asked = API.fullmatch(self.place)
        folder = asked and self.root / asked["kind"] / asked["id"]
        if not folder or not folder.is_dir():
            return self._send({"error": "no"}, 404, {"X-Error-Code": "RepoNotFound"})
        if asked["what"] == "preupload":
            files = json.loads(self.body)["files"]
            modes = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            return self._send({"files": modes})
        if asked["what"] == "paths-info":
            paths = parse_qs(self.body.decode()).get("paths") or json.loads(self.body)["paths"]
            return self._send([describe(folder, path) for path in paths if (folder / path).exists()])
        if asked["what"] == "commit":
            return self._commit(folder)
        return False

    def _commit(self, folder: Path) -> bool:
        lines = [json.loads(line) for line in self.body.splitlines()]
        for line in lines[1:]:
            file = line["value"]
            target = folder / file["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(base64.b64decode(file["content"]))
        state = read_state(folder)
        state["commits"].append(
            {"summary": lines[0]["value"]["summary"], "files": [x["value"]["path"] for x in lines[1:]]}
        )
        write_state(folder, state)
        address = f"http://{self.headers['Host']}/{folder.parent.name}/{folder.name}"
        return self._send(
            {"commitUrl": f"{address}/commit/{state['sha']}", "commitOid": state["sha"], "success": True}
        )


def read_state(folder: Path) -> dict:
    """Whether a repository is private, its commits, and the id of its files as they are."""
    state = {"private": False, "commits": []}
    if (folder / STATE).exists():
        state = json.loads((folder / STATE).read_text())
    digest = hashlib.sha1()
    for name in list_files(folder):
        digest.update(name.encode() + (folder / name).read_bytes())
    return state | {"sha": digest.hexdigest()}


def write_state(folder: Path, state: dict) -> None:
    """Keep that beside the files."""
    (folder / STATE).write_text(json.dumps(state))


def list_all(folder: Path) -> list[str]:
    """Paths of files and folders of a repository."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != STATE)


def list_files(folder: Path) -> list[str]:
    """Paths of its files."""
    return [name for name in list_all(folder) if (folder / name).is_file()]


def is_under(name: str, under: str, query: dict) -> bool:
    """Whether a listing of the folder `under` has a path."""
    inner = name.removeprefix(f"{under}/") if under else name
    deep = query.get("recursive", ["false"])[0].lower() in ("true", "1")
    return (not under or name.startswith(f"{under}/")) and (deep or "/" not in inner)


def describe(folder: Path, name: str) -> dict:
    """What the Hub says of a path."""
    if (folder / name).is_dir():
        return {"type": "directory", "oid": hashlib.sha1(name.encode()).hexdigest(), "size": 0, "path": name}
    content = (folder / name).read_bytes()
    return {"type": "file", "oid": blob_id(content), "size": len(content), "path": name}


def blob_id(content: bytes) -> str:
    """Git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def make_server(folder: Path) -> ThreadingHTTPServer:
    """A server for `folder` on a free port."""
    return ThreadingHTTPServer(("127.0.0.1", 0), type("FolderHandler", (Handler,), {"root": folder}))


if __name__ == "__main__":
    server = make_server(Path(sys.argv[1]))
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
