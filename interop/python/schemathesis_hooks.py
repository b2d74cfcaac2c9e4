"""What schemathesis has to be told about a server of progress; named by SCHEMATHESIS_HOOKS."""

import http.client
import re

import schemathesis

WAIT = re.compile(r"[0-9]+(s|ms)?")


class UpgradedResponse(http.client.HTTPResponse):
    """What follows 101 is no HTTP, so that the connection is none to ask again on."""

    def begin(self):
        super().begin()
        self.will_close |= self.status == http.client.SWITCHING_PROTOCOLS


http.client.HTTPConnection.response_class = UpgradedResponse


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Tries one thing at a time, and not for long."""
    query = case.query or {}
    if "after" in query:
        # Which beats it: it would not be looked at.
        case.headers.pop("Last-Event-ID", None)
    if case.path.endswith("/sse") and not (query.get("ids") or query.get("channels")):
        # One of them is needed, which a description cannot say.
        query["ids"] = ["0"]
    # A poll is held for a moment, not for as long as it asks: up to a minute.
    wait = query.get("wait")
    if isinstance(wait, str | int) and WAIT.fullmatch(str(wait)):
        query["wait"] = "20ms"
    case.query = query
