"""Certificates that must not be accepted, and raw TLS connections, by openssl and Python's ssl."""

import os
import socket
import ssl

from .base import Failed, need_tool, run


def own_ca(directory, name="ca"):
    """Another CA, made with the openssl tool: (certificate, key)."""
    openssl = need_tool("openssl")
    os.makedirs(directory, exist_ok=True)
    certificate, key = f"{directory}/{name}.crt", f"{directory}/{name}.key"
    run([openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", f"/CN={name}", "-keyout", key, "-out", certificate,
         "-addext", "basicConstraints=critical,CA:TRUE"])
    return certificate, key


def issue(directory, ca, name, start=None, end=None):
    """A node certificate from `ca` = (certificate, key); start and end as YYYYMMDDHHMMSSZ. (certificate, key)."""
    openssl = need_tool("openssl")
    os.makedirs(directory, exist_ok=True)
    request, certificate, key = (f"{directory}/{name}.{end}" for end in ("csr", "crt", "key"))
    run([openssl, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
         "-keyout", key, "-out", request])
    settings = f"{directory}/{name}.cnf"
    with open(settings, "w", encoding="utf-8") as file:
        file.write(f"[ca]\ndefault_ca=d\n[d]\ndir={directory}\ndatabase={directory}/index.txt\nunique_subject=no\n"
                   f"new_certs_dir={directory}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nx509_extensions=x\n"
                   f"[p]\ncommonName=supplied\n[x]\nsubjectAltName=DNS:{name}\n"
                   "extendedKeyUsage=serverAuth,clientAuth\n")
    open(f"{directory}/index.txt", "w", encoding="utf-8").close()
    when = ["-startdate", start or "20200101000000Z", "-enddate", end or "20491231235959Z"]
    run([openssl, "ca", "-batch", "-notext", "-config", settings, "-cert", ca[0], "-keyfile", ca[1],
         "-in", request, "-out", certificate, *when])
    return certificate, key


def client(certificate=None, key=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def address_of(node):
    host, port = node.address.rsplit(":", 1)
    return host, int(port)


def connect_plain(node):
    return socket.create_connection(address_of(node), timeout=20)


def connect_tls(node, certificate=None, key=None):
    return client(certificate, key).wrap_socket(connect_plain(node), server_hostname=node.name)


def bytes_until_end(stream, limit=1 << 20):
    """What the other side sends before it ends the connection; Failed when it does not end it in 20 s."""
    got = b""
    try:
        while len(got) < limit:
            piece = stream.recv(65536)
            if not piece:
                return got
            got += piece
    except TimeoutError as error:
        raise Failed("the connection was not ended within 20 s") from error
    except (ssl.SSLError, ConnectionError, OSError):
        return got
    return got
