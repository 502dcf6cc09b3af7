"""The web application of the hub, for a server that strangers reach."""

from fairwitness_core.model.response import PART_SIZE

from fairwitness.kit.supervise import rsgi

application = rsgi("hub", PART_SIZE + (1 << 16))
