"""The web application of the hub, for a WSGI server."""

from fairwitness.kit.supervise import wsgi

application = wsgi("hub")
