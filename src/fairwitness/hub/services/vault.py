"""Where sealed uploads lie until their agency has them. Trust: whoever reads it sees sizes and times, never a frame."""

from fairwitness.hub.services import identity
from fairwitness.kit.blobs import BlobStore, store_of


def store() -> BlobStore:
    """Return the store of ciphertexts, named by response id."""
    return store_of(identity.settings(), "inbox")
