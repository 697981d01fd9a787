"""A mail server for tests: `smtp.py PORT FOLDER` takes mails into FOLDER/mails, lets `me` log in
with `secret`, and encrypts with FOLDER/leaf.pem and FOLDER/leaf.key."""

import signal
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import AuthResult, LoginPassword

port, folder = int(sys.argv[1]), sys.argv[2]


def authenticate(server, session, envelope, mechanism, data):
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"me", b"secret")
    return AuthResult(success=known, handled=False)


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(folder + "/leaf.pem", folder + "/leaf.key")
Controller(
    Mailbox(folder + "/mails"),
    hostname="127.0.0.1",
    port=port,
    authenticator=authenticate,
    auth_require_tls=False,
    tls_context=context,
).start()
signal.pause()
