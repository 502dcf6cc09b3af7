"""What can be wrong with a witness's own folder."""


class WitnessError(Exception):
    """The witness cannot work as it is set up; the message says what to do."""
