"""The web application of the agency, for a WSGI server."""

from fairwitness.kit.supervise import wsgi

application = wsgi("agency")
