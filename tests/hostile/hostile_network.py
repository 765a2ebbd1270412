# ruff: noqa: E501 - programs are data; most are one line an attempt
"""Programs that call out: over IP, sockets of every family, names; and that let others in."""

from __future__ import annotations

import socket

from hostile_kit import Program, Scene

PORT = 41_973


def _listening(_scene: Scene) -> str:
    for host in ("127.0.0.1", "172.17.0.2", "172.17.0.3"):
        try:
            socket.create_connection((host, PORT), timeout=0.3).close()
        except OSError:
            continue
        return f"host: a program could be reached at {host}"
    return ""


NETWORK = (
    Program(
        "IPv4 to the host and beyond",
        """
        socket.setdefaulttimeout(1)
        for host in ("127.0.0.1", "172.17.0.1", "10.0.2.2", "169.254.169.254", "1.1.1.1", "192.168.0.1"):
            tried("tcp " + host, lambda: socket.create_connection((host, FACTS["tcp"]), 1))
            handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            # To itself a datagram can always be sent; the host sees whether it arrived there.
            try: handle.sendto(b"x", (host, FACTS["udp"]))
            except OSError: pass
        """,
        safe=True,
    ),
    Program(
        "IPv6",
        """
        socket.setdefaulttimeout(1)
        for host, port in (("::1", FACTS["tcp6"]), ("fe80::1", 80), ("2606:4700:4700::1111", 53), ("::ffff:127.0.0.1", FACTS["tcp"])):
            handle = socket.socket(socket.AF_INET6)
            tried("tcp " + host, handle.connect, (host, port))
        """,
        safe=True,
    ),
    Program(
        "unix sockets of the host",
        """
        for path in (FACTS["unix"], "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket",
                     "/run/systemd/private", "/tmp/.X11-unix/X0", "/run/podman/podman.sock"):
            tried(path, socket.socket(socket.AF_UNIX).connect, path)
        """,
        safe=True,
    ),
    Program(
        "abstract unix sockets",
        """
        tried("abstract", socket.socket(socket.AF_UNIX).connect, "\\0" + FACTS["abstract"])
        for line in open("/proc/net/unix"):
            if FACTS["token"] in line: print("ESCAPED sees", line)
        """,
        safe=True,
    ),
    Program(
        "names",
        """
        socket.setdefaulttimeout(2)
        tried("resolve", socket.getaddrinfo, "example.com", 80)
        query = b"\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x07example\\x03com\\x00\\x00\\x01\\x00\\x01"
        for server in ("1.1.1.1", "8.8.8.8", "127.0.0.53", "127.0.0.11", "172.17.0.1"):
            handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            tried("ask " + server, lambda: (handle.sendto(query, (server, 53)), handle.recv(512)))
        """,
    ),
    Program(
        "raw and rare sockets",
        """
        for what, family, kind, protocol in (("raw", 2, 3, 1), ("packet", 17, 3, 3), ("raw 6", 10, 3, 58), ("vsock", 40, 1, 0), ("alg", 38, 5, 0),
                                             ("bluetooth", 31, 3, 1), ("can", 29, 3, 1), ("tipc", 30, 1, 0), ("xdp", 44, 3, 0), ("smc", 43, 1, 0)):
            tried(what, socket.socket, family, kind, protocol)
        """,
    ),
    Program(
        "netlink changes",
        """
        import struct
        def ask(kind, flags, body):
            handle = socket.socket(16, 3, 0); handle.settimeout(2)
            handle.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
            answer = handle.recv(4096)
            code = struct.unpack_from("=i", answer, 16)[0]
            if code < 0: raise OSError(-code, "refused")
        tried("add address", ask, 20, 0x505, struct.pack("=BBBBI", 2, 24, 0, 0, 1) + struct.pack("=HH4s", 8, 2, b"\\x0a\\x09\\x08\\x07"))
        tried("add link", ask, 16, 0x605, struct.pack("=BxHiII", 0, 0, 0, 1, 1) + struct.pack("=HH4s", 8, 3, b"evl\\0"))
        tried("add route", ask, 24, 0x605, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + struct.pack("=HHI", 8, 4, 1))
        """,
    ),
    Program(
        "listens for visitors",
        f"""
        server = socket.socket(); server.setsockopt(1, 2, 1); server.bind(("0.0.0.0", {PORT})); server.listen()
        server.settimeout(2.0)
        print("listening")
        tried("accept", server.accept)
        """,
        seen_from_host=_listening, safe=True,
    ),
    Program(
        "interfaces",
        """
        names = [name for _, name in socket.if_nameindex()]
        print("held" if not set(names) - {"lo", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0"} else "ESCAPED", names)
        """,
    ),
)  # fmt: skip
