"""Certificates that a test makes for itself: a CA, and what it has signed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """A CA with its files in `folder`."""

    folder: Path
    name: str = "ca"

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.pem"

    @property
    def _key(self) -> Path:
        return self.folder / f"{self.name}.key"

    def make(self) -> Authority:
        _openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN=zhice test {self.name}",
                 "-addext", _SIGNS, "-keyout", self._key, "-out", self.certificate)  # fmt: skip
        return self

    def sign(self, name: str, host: str = "IP:127.0.0.1") -> tuple[Path, Path]:
        """(certificate, key) for a name, good for a host."""
        certificate, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={host}\n{_SIGNED}\n", encoding="utf-8")
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
                 "-days", "2", "-extfile", extensions, "-out", certificate)  # fmt: skip
        return certificate, key


_SIGNS, _SIGNED = "keyUsage=critical,keyCertSign,cRLSign", "authorityKeyIdentifier=keyid"  # Python asks from 3.13 on
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*words: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
