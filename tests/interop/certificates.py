"""Certificates for the interop tests, made by the openssl program: an authority, and one for localhost."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from peers import skip


class Certificates:
    """Files in PEM: `authority`, `certificate` and `key`, for localhost and 127.0.0.1."""

    def __init__(self, directory):
        if not shutil.which("openssl"):
            skip("the openssl program is not installed")
        self.directory = Path(directory)
        self.authority, authority_key = self._path("ca.pem"), self._path("ca.key")
        self.certificate, self.key = self._path("server.pem"), self._path("server.key")
        request, extensions = self._path("server.csr"), self._path("server.ext")
        new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._openssl(*new, "-x509", "-days", "2", "-subj", "/CN=interop authority", "-keyout", authority_key,
                      "-out", self.authority)
        self._openssl(*new, "-subj", "/CN=localhost", "-keyout", self.key, "-out", request)
        Path(extensions).write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
        self._openssl("x509", "-req", "-in", request, "-CA", self.authority, "-CAkey", authority_key,
                      "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", self.certificate)

    def _path(self, name):
        return str(self.directory / name)

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


# For tests in Node: `python3 certificates.py DIRECTORY` says where the files are.
if __name__ == "__main__":
    made = Certificates(sys.argv[1])
    print(json.dumps({"authority": made.authority, "certificate": made.certificate, "key": made.key}))
