"""A server of TLS that ends its page with an alert, or for /cut without one: two arguments, the
certificate and its key. HTTP/1.0 has no other end of a page. It prints its address."""

import socket
import ssl
import sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
while True:
    connection, _ = listener.accept()
    connection.settimeout(10)
    stream = context.wrap_socket(connection, server_side=True)
    request = stream.recv(65536)
    stream.sendall(b"HTTP/1.0 200 OK\r\n\r\nhalf a page")
    if b"/cut" not in request:
        stream.unwrap()
    stream.close()
