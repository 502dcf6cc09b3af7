"""What a recorder process is told to do."""

from dataclasses import dataclass, field
from urllib.parse import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to record. `address` has no credentials; `folder` takes the segments and `chain` their chain and the status file.

    A segment ends at the first key frame after `seconds`, after `longest` seconds anywhere; nothing is recorded while less than
    `reserve` bytes of the disk are free.
    """

    address: str
    user: str = ""
    password: str = field(default="", repr=False)
    folder: str
    chain: str
    seconds: float = 60.0
    longest: float = 600.0
    sound: bool = False
    reserve: int = 512 << 20

    def url(self) -> str:
        """Return the address as the library wants it, with the credentials inside; it MUST NOT be written anywhere."""
        scheme, _, rest = self.address.partition("://")
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user or self.password else ""
        return f"{scheme}://{login}{rest}"
