"""Officers before the agency's pages, without a browser."""

import re
from dataclasses import dataclass

import pytest
from django.test import Client

from fairwitness.demo.authenticator import SoftClient


@dataclass
class Reader:
    """Somebody signed in, and what they see."""

    client: Client

    def get(self, path, **data):
        return self.client.get(path, data, headers={"accept": "text/html", "host": "localhost"})

    def post(self, path, **data):
        return self.client.post(path, data, headers={"accept": "text/html", "host": "localhost"})

    def again(self, path, **data):
        """Ask as the page's script does while the log is written."""
        return self.client.post(path, data, headers={"accept": "text/html", "host": "localhost", "hx-request": "true"})


def text(answer) -> str:
    """Return what a page says, without its markup."""
    body = re.sub(r"<(script|style|svg).*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).replace("&#x27;", "'")


@pytest.fixture
def sit(world, inline):
    """Sit a person of the agency down, signed in."""

    def down(name: str) -> Reader:
        soft = SoftClient.over_django(Client(enforce_csrf_checks=True))
        soft.enrol(world.codes[name])
        soft.sign_in()
        client = Client()
        client.cookies.load(soft.cookies)
        return Reader(client)

    return down


@pytest.fixture
def read():
    return text
