"""The web application of the home, for a WSGI server."""

from fairwitness.kit.supervise import wsgi

application = wsgi("home")
