"""A TLS 1.3 client whose records are made here, one by one: of any length, empty ones too (RFC 8446, 5 and 7)."""

import ctypes
import ctypes.util
import hashlib
import hmac
import os
import socket
import ssl
import struct
import tempfile

from .base import Failed, require
from .tls import client, connect_plain

HEADER = struct.Struct("<IHH")  # of a message: length, type, zero
CONTROL = 1
ALERT, DATA = 21, 23
RECORD_MAX = 16384
GET_TAG = 0x10


def expand(secret, label, length):
    """HKDF-Expand-Label with an empty context, of at most one hash."""
    name = b"tls13 " + label
    info = struct.pack(">HB", length, len(name)) + name + b"\0\1"
    return hmac.new(secret, info, hashlib.sha384).digest()[:length]


class Gcm:
    """AES-256-GCM of OpenSSL's libcrypto."""

    def __init__(self, key):
        self.library = ctypes.CDLL(ctypes.util.find_library("crypto"))
        for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"):
            getattr(self.library, name).restype = ctypes.c_void_p
        self.context, self.key = ctypes.c_void_p(self.library.EVP_CIPHER_CTX_new()), key

    def seal(self, nonce, head, plain):
        library, out, length = self.library, ctypes.create_string_buffer(len(plain) + 32), ctypes.c_int()
        cipher, tag = ctypes.c_void_p(library.EVP_aes_256_gcm()), ctypes.create_string_buffer(16)
        steps = (library.EVP_EncryptInit_ex(self.context, cipher, None, self.key, nonce),
                 library.EVP_EncryptUpdate(self.context, None, ctypes.byref(length), head, len(head)),
                 library.EVP_EncryptUpdate(self.context, out, ctypes.byref(length), plain, len(plain)),
                 library.EVP_EncryptFinal_ex(self.context, None, ctypes.byref(ctypes.c_int())),
                 library.EVP_CIPHER_CTX_ctrl(self.context, GET_TAG, 16, tag))
        require(steps == (1,) * len(steps), f"libcrypto: {steps}")
        return out.raw[:len(plain)] + tag.raw


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, content):
    """A field of a message: a number or bytes."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def control(number, body):
    """A control message with this member of its oneof."""
    content = field(number, body)
    return HEADER.pack(len(content), CONTROL, 0) + content


def hello(name, versions=(1, 1), features=0, purpose=2):
    """Purpose 2: relayed commands."""
    body = field(1, versions[0]) + field(2, versions[1])
    if features:
        body += field(3, features)
    return control(1, body + field(4, name.encode()) + field(6, purpose))


def admin_request(verb):
    return control(10, field(1, verb.encode()))


class RecordClient:
    """Connected to a node's port with a certificate; `piece`: bytes of the handshake in one TCP segment."""

    def __init__(self, node, certificate, key, piece=None):
        handle, keys = tempfile.mkstemp()
        os.close(handle)
        context = client(certificate, key)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.keylog_filename = keys
        self.socket = connect_plain(node)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=node.name)
        self.plain, self.sent = b"", 0
        try:
            self.shake_hands(piece)
            with open(keys, encoding="ascii") as file:
                secret = next(bytes.fromhex(line.split()[2]) for line in file
                              if line.startswith("CLIENT_TRAFFIC_SECRET_0 "))
        finally:
            os.unlink(keys)
        require(self.tls.cipher()[0] == "TLS_AES_256_GCM_SHA384", f"the cipher is {self.tls.cipher()}")
        self.cipher, self.iv = Gcm(expand(secret, b"key", 32)), expand(secret, b"iv", 12)

    def shake_hands(self, piece):
        while True:
            try:
                self.tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            out = self.outgoing.read()
            for at in range(0, len(out), piece or len(out) or 1):
                self.socket.sendall(out[at:at + (piece or len(out))])
            if done:
                return
            self.take()

    def take(self):
        got = self.socket.recv(65536)
        if not got:
            raise Failed("the node ended the connection")
        self.incoming.write(got)

    def record(self, content, kind=DATA):
        """The bytes of one record."""
        inner = content + bytes([kind])
        head = b"\x17\x03\x03" + struct.pack(">H", len(inner) + 16)
        nonce = bytes(a ^ b for a, b in zip(self.iv, self.sent.to_bytes(12, "big")))
        self.sent += 1
        return head + self.cipher.seal(nonce, head, inner)

    def send(self, content, size=RECORD_MAX):
        """In records of `size` bytes."""
        self.socket.sendall(b"".join(self.record(content[at:at + size]) for at in range(0, len(content), size)))

    def end_writing(self):
        """close_notify: nothing more comes from here."""
        self.socket.sendall(self.record(b"\1\0", ALERT))

    def message(self):
        """The number of the next message's member and its body."""
        self.fill(HEADER.size)
        length, _, _ = HEADER.unpack(self.plain[:HEADER.size])
        self.fill(HEADER.size + length)
        body, self.plain = self.plain[HEADER.size:HEADER.size + length], self.plain[HEADER.size + length:]
        return body[0] >> 3, body

    def answer(self, number):
        """The next message with that member; others are passed over."""
        while True:
            found, body = self.message()
            if found == number:
                return body
            require(found != 9, f"the node said goodbye: {body!r}")

    def fill(self, count):
        while len(self.plain) < count:
            try:
                got = self.tls.read(65536)
                if not got:
                    raise Failed("the node ended the connection with close_notify")
                self.plain += got
            except ssl.SSLWantReadError:
                self.take()

    def ended(self):
        """Waits until the node has ended the connection; True: with close_notify."""
        try:
            while True:
                try:
                    if not self.tls.read(65536):
                        return True
                except ssl.SSLWantReadError:
                    self.take()
        except ssl.SSLZeroReturnError:
            return True
        except TimeoutError as error:
            raise Failed("the connection was not ended within 20 s") from error
        except (Failed, ssl.SSLError, ConnectionError):
            return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
