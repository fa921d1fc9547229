"""Verifies a notification, and signs a decision, with each library of the scheme; JSON in, JSON out."""

import datetime
import json
import sys

import standardwebhooks
import svix

given = json.load(sys.stdin)
if given["what"] == "verify":
    verified = []
    for library in (standardwebhooks, svix):
        try:
            library.webhooks.Webhook(given["secret"]).verify(given["body"], given["headers"])
            verified.append("verified")
        except library.webhooks.WebhookVerificationError:
            verified.append("refused")
    print(json.dumps(verified))
else:
    now = datetime.datetime.now(tz=datetime.timezone.utc)
    signed = [
        library.webhooks.Webhook(given["secret"]).sign(given["id"], now, given["body"])
        for library in (standardwebhooks, svix)
    ]
    print(json.dumps([{"timestamp": str(int(now.timestamp())), "signature": signature} for signature in signed]))
