"""Objects that belong to somebody else, for the endpoints that declare `per_object`.

Each role's module `tests/permissions/objects/<role>.py` has OBJECTS: the name of the Django address or of the ninja
operation's function -> a function that takes the acting User and returns the path's arguments of an object that this
person must not reach. It may make what it needs in the database. Where the node must be set up first, `prepare()` does
that, before each case and cheaply.
"""
