"""What a client of the host knows and its document cannot say: how to sign, and which key it must not revoke."""

import base64
import hashlib
import hmac
import os
import re
import time
import uuid

import schemathesis
from requests.auth import AuthBase
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData

WEBHOOK_SECRET = os.environ["WEBHOOK_SECRET"]
SECRET_ID = os.environ["WEBHOOK_SECRET_ID"]
KEY_ID = os.environ["API_KEY"].rsplit("_", 1)[1][:8]


class StandardWebhooks(AuthBase):
    """Signs what is sent, as Standard Webhooks says."""

    def __call__(self, request):
        message, now, body = f"msg_{uuid.uuid4().hex}", str(int(time.time())), _bytes(request)
        key = base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
        signed = hmac.new(key, f"{message}.{now}.".encode() + body, hashlib.sha256).digest()
        request.headers["webhook-id"] = message
        request.headers["webhook-timestamp"] = now
        request.headers["webhook-signature"] = "v1," + base64.b64encode(signed).decode()
        return request


class AgentField(AuthBase):
    """Signs what is sent, as AgentField's tools do."""

    def __call__(self, request):
        now = str(int(time.time()))
        signed = hmac.new(WEBHOOK_SECRET.encode(), f"{now}.".encode() + _bytes(request), hashlib.sha256)
        request.headers["x-hax-signature"] = f"t={now},v1={signed.hexdigest()}"
        return request


def _bytes(request):
    body = request.body or b""
    return body.encode() if isinstance(body, str) else body


@schemathesis.serializer("application/wasm")
def wasm(context, value):
    """A component is sent as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    # All others may be revoked; without these two the client would be refused from then on.
    if case.path in ("/v1/keys/{id}", "/v1/secrets/{id}") and case.path_parameters.get("id") in (KEY_ID, SECRET_ID):
        case.path_parameters["id"] = "00000000"
    # Nor would it be served any more, or not as often.
    if case.path in ("/v1/tenants/{tenant}/suspend", "/v1/tenants/{tenant}/limits") and case.path_parameters.get("tenant") == "default":
        case.path_parameters["tenant"] = "other"
    # Nobody here decides what would be waited for.
    if case.path == "/v1/pauses/{id}" and str(case.query.get("wait", "0")).isdigit():
        case.query = {**case.query, "wait": 0}
    if case.path == "/api/v1/execute/{target}" and "Prefer" not in case.headers:
        case.headers["Prefer"] = "wait=0"
    # A bad signature is left bad: that is what such a case is about.
    if case.meta is not None and case.meta.is_negative_at(ParameterLocation.HEADER):
        return
    is_good_path = not (case.meta and case.meta.is_negative_at(ParameterLocation.PATH))
    if "/webhooks/" in case.path and "tenant" in case.path_parameters and is_good_path:
        case.path_parameters["tenant"] = "default"
    if case.path.startswith("/v1/webhooks/"):
        kwargs["auth"] = StandardWebhooks()
    elif case.path.startswith("/api/v1/webhooks/"):
        kwargs["auth"] = AgentField()


# What a schema cannot say, and the host refuses: a bound in bytes or on all things of a tenant, one field against another.
BEYOND_SCHEMA = [
    re.compile(pattern)
    for pattern in [
        r"at most \d+ bytes",
        r"1 to \d+ bytes",
        r"a tenant has at most \d+",
        r"differ; send one of them",
        r"`since` is a time after 1970",
    ]
]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    return not any(pattern.search(response.text) for pattern in BEYOND_SCHEMA)
