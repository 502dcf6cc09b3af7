"""Video: probing, cutting, cleaning, sealing. The only package that imports PyAV.

A recording is hostile input: its decoders are C code. `worker.pass_to_spool` runs the pass in a child process with limits,
and a role uses that; the other entry points serve tests, the child itself and files that this program made.
"""
