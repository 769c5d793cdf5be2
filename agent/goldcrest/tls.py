"""TLS for https servers. Without `ca` in the settings the server is not verified: manifests are signed, only the token is at stake."""


def wrap(sock, host, ca):
    import ssl  # here: some boards have none, and the guard imports every module of the agent to see that it loads

    if not hasattr(ssl, "SSLContext"):  # MicroPython 1.20
        return ssl.wrap_socket(sock, server_hostname=host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_NONE
    if ca:
        with open(ca, "rb") as f:
            context.load_verify_locations(f.read())  # DER; by position, as 1.21 wants it
        context.verify_mode = ssl.CERT_REQUIRED
    return context.wrap_socket(sock, server_hostname=host)
