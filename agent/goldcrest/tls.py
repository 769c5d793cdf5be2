"""TLS for https servers. Without `ca` in the settings the server is not verified: manifests are signed, only the token is at stake."""


def wrap(sock, host, ca):
    import ssl  # here: some boards have none, and the guard imports every module of the agent to see that it loads

    der = ca and _der(ca)
    if not hasattr(ssl, "SSLContext"):  # MicroPython 1.20; ESP8266's axTLS can't verify and refuses the arguments
        if der:
            return ssl.wrap_socket(sock, server_hostname=host, cert_reqs=ssl.CERT_REQUIRED, cadata=der)
        return ssl.wrap_socket(sock, server_hostname=host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if der:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(cadata=der)
        except TypeError:  # 1.21 and 1.22 take it by position
            context.load_verify_locations(der)
    else:
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock, server_hostname=host)


def _der(path):
    with open(path, "rb") as f:
        data = f.read()
    if data[:5] == b"-----":
        from binascii import a2b_base64

        data = a2b_base64(data.split(b"-----")[2])
    return data
