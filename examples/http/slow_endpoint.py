"""An ordinary endpoint, too slow to be called while somebody waits. It knows nothing of jobs."""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Render(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # the standard library's name
        order = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not order.get("pages"):
            self.answer(422, {"code": "no-pages", "detail": "There is nothing to render."})
            return
        time.sleep(0.1 * order["pages"])
        self.answer(200, {"file": f"{order['title']}.pdf", "pages": order["pages"]})

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    print(f"Rendering at http://127.0.0.1:{port}/render", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Render).serve_forever()
