"""A TCP relay between two nodes that breaks the connection after a number of bytes. It sees only TLS."""

import contextlib
import socket
import threading
import time

from .nodes import free_port


class Proxy:
    """Stands before `node`: who dials `address` reaches it. Bytes are counted on the way to the node."""

    def __init__(self, node):
        host, port = node.address.rsplit(":", 1)
        self.target = (host, int(port))
        self.address = f"127.0.0.1:{free_port()}"
        self.budget = None     # bytes until the next break; None: none comes
        self.passed = 0        # bytes of the newest connection
        self.total = 0         # and of all
        self.breaks = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", int(self.address.rsplit(":", 1)[1])))
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def break_after(self, count):
        with self.lock:
            self.budget = count

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, 5)
            except OSError:
                client.close()
                continue
            self.passed = 0
            for source, sink, counted in ((client, server, True), (server, client, False)):
                threading.Thread(target=self.relay, args=(source, sink, counted), daemon=True).start()

    def relay(self, source, sink, counted):
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(1 << 16)
                if not data:
                    break
                last = counted and self.spend(len(data))
                sink.sendall(data)
                if last:
                    time.sleep(0.3)  # as a link that is silent before it is known to be broken
                    break
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def spend(self, count):
        """True when this piece is the last before the break."""
        with self.lock:
            self.passed += count
            self.total += count
            if self.budget is None:
                return False
            self.budget -= count
            if self.budget > 0:
                return False
            self.budget = None
            self.breaks += 1
            return True
