"""`python -m fairwitness`."""

from fairwitness.cli import main

raise SystemExit(main())
