"""What every role's operator needs: doctor, config --check, backup, restore, mirror, metrics. It knows no role.

A role describes itself once, in its own `operate.py`, as an `Operations`.
"""
