"""An issuer of tokens in miniature, on loopback: what an identity provider publishes and signs."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "app"
KEYS = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "new": ec.generate_private_key(ec.SECP256R1()),
}


class Issuer:
    """What an identity provider publishes, and the tokens it gives out."""

    def __init__(self) -> None:
        self.published = ["rsa", "ec"]
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}  # instead of the usual ones
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                status, headers, body = issuer.answers.get(self.path) or (200, {}, issuer.document(self.path))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def document(self, path: str) -> bytes:
        if path == "/keys":
            return json.dumps({"keys": [published(key_id) for key_id in self.published]}).encode()
        return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()

    @property
    def fetches(self) -> int:
        return self.asked.count("/keys")

    def token(self, key: str = "rsa", *, key_id: str | None = None, **claims: Any) -> str:
        """One for ``AUDIENCE`` that lasts five minutes; a claim that is None is left out."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 300}
        told = {name: value for name, value in (usual | claims).items() if value is not None}
        algorithm = "RS256" if isinstance(KEYS[key], rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(told, KEYS[key], algorithm, headers={"kid": key_id or key})

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def published(key_id: str) -> dict[str, Any]:
    key = KEYS[key_id].public_key()
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPublicKey) else ECAlgorithm
    return kind.to_jwk(key, as_dict=True) | {"kid": key_id, "use": "sig"}
